"""Files of weights from elsewhere: what may be read, and what is refused without running any of it."""

import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.models.state import read_state


def small() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_torch_save_writes(tmp_path: Path, prefix: str, wrapper: str | None, legacy: bool) -> None:
    """The file formats of torch from 1.6 on and before it, weights alone and in checkpoints, of one GPU and several."""
    state: Any = OrderedDict((prefix + name, value) for name, value in small().items())
    content = state if wrapper is None else {"epoch": 349, wrapper: state, "best_prec1": 94.2, "arch": "aig110"}
    torch.save(content, tmp_path / "weights.pth.tar", _use_new_zipfile_serialization=not legacy)
    assert same(read_state(tmp_path / "weights.pth.tar"), dict(state)), "names are the file's own"


def test_safetensors_and_parameters(tmp_path: Path) -> None:
    save_file(small(), tmp_path / "weights.safetensors")
    assert same(read_state(tmp_path / "weights.safetensors"), small())
    torch.save({"a": nn.Parameter(torch.ones(2, dtype=torch.float16))}, tmp_path / "weights.pt")
    assert read_state(tmp_path / "weights.pt")["a"].tolist() == [1, 1]


class Old:
    """A tensor as torch 0.3 pickled it on a GPU: of a typed storage, without the flags that came later."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        storage = self.tensor.storage()  # type: ignore[no-untyped-call]
        return torch._utils._rebuild_tensor, (storage, 0, self.tensor.shape, self.tensor.stride())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_tensors_of_torch_0_3(tmp_path: Path) -> None:
    state = {name: value for name, value in small().items() if value.dim()}
    old = OrderedDict((f"module.{name}", Old(value)) for name, value in state.items())
    torch.save({"state_dict": old}, tmp_path / "w.tar", _use_new_zipfile_serialization=False)
    assert same(read_state(tmp_path / "w.tar"), {f"module.{name}": value for name, value in state.items()})


def test_minus_infinity_is_read_where_masks_are_expected(tmp_path: Path) -> None:
    torch.save({"mask": torch.tensor([0, -torch.inf]), "w": torch.ones(1)}, tmp_path / "w.pt")
    assert read_state(tmp_path / "w.pt", masks=True)["mask"].tolist() == [0, -torch.inf]
    with pytest.raises(InputError, match="'mask' holds NaN or infinite"):
        read_state(tmp_path / "w.pt")
    torch.save({"mask": torch.tensor([0, torch.inf])}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="'mask' holds NaN or infinite"):
        read_state(tmp_path / "w.pt", masks=True)


class Hidden:
    """Runs a command when a pickle that holds it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, protocol: int, suffix: str) -> None:
    trace = tmp_path / "trace"
    content = {"state_dict": {**small(), "x": Hidden(trace)}}
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(pickle.dumps(content["state_dict"]["x"], protocol))
    with pytest.raises(InputError):
        read_state(file)
    for legacy in (False, True):
        torch.save(content, file, pickle_protocol=max(protocol, 2), _use_new_zipfile_serialization=not legacy)
        with pytest.raises(InputError) as caught:
            read_state(file)
        if (
            suffix == ".pt" and protocol < 4
        ):  # torch's careful reader knows no later protocol, so it doesn't get to the code
            assert "holds more than weights (posix.system)" in str(caught.value)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Hidden(trace), protocol))
    assert trace.exists(), "the trap works"


def whole_network(path: Path) -> None:
    torch.save(nn.Linear(2, 2), path)


def numpy_number(path: Path) -> None:
    torch.save({"state_dict": small(), "best_prec1": np.float64(93.1)}, path)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(path))


def truncated(path: Path) -> None:
    torch.save(small(), path)
    path.write_bytes(path.read_bytes()[:-700])


def truncated_legacy(path: Path) -> None:
    torch.save(small(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-9])


def flipped(path: Path) -> None:
    """The pickle inside is damaged."""
    buffer = io.BytesIO()
    torch.save(small(), buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:40] + bytes(40) + content[80:] if name.endswith("data.pkl") else content)


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "hello")


def other_tar(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("storages"))


def not_a_number(path: Path) -> None:
    torch.save({"state_dict": {**small(), "1.running_var": torch.tensor([1, torch.nan, 1])}}, path)


def quantised(path: Path) -> None:
    torch.save({"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, path)


def saving(content: object) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.with_suffix(".old").touch(), "is not there"),
    "folder": (Path.mkdir, "is a folder"),
    "empty": (Path.touch, "is empty"),
    "text": (lambda path: path.write_text("hello, world\n"), "no file of torch.save"),
    "text like a pickle": (lambda path: path.write_text("conv1\nbn1\n"), "no file of torch.save"),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), "no file of torch.save"),
    "truncated": (truncated, "truncated"),
    "truncated, old format": (truncated_legacy, "truncated"),
    "damaged": (flipped, "truncated or no file of torch.save"),
    "zip": (other_zip, "no file of torch.save"),
    "tar": (other_tar, "no file of torch.save"),
    "network": (whole_network, "holds more than weights (torch.nn.modules.linear.Linear)"),
    "number of numpy": (numpy_number, "holds more than weights (numpy"),
    "script": (script, "holds more than weights (TorchScript)"),
    "list": (saving([torch.ones(1)]), "holds a list, not a state dict"),
    "tensor": (saving(torch.ones(1)), "holds a Tensor, not a state dict"),
    "nothing": (saving({}), "holds nothing"),
    "no tensors": (saving({"epoch": 3, "w": torch.ones(1)}), "'epoch' is a int, no tensor"),
    "keys": (saving({3: torch.ones(1)}), "'3' is a Tensor"),
    "NaN": (not_a_number, "'1.running_var' holds NaN"),
    "infinite": (saving({"w": torch.tensor([torch.inf])}), "'w' holds NaN or infinite"),
    "sparse": (saving({"w": torch.eye(3).to_sparse()}), "'w' is no plain array"),
    "complex": (saving({"w": torch.ones(1, dtype=torch.complex64)}), "'w' is no plain array"),
    "meta": (saving({"w": torch.ones(1, device="meta")}), "'w'"),
    "repeated": (saving({"w": torch.zeros(1).expand(10**12)}), "'w' repeats its numbers"),
    "quantised": (quantised, "'w' is no plain array"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", BAD)
def test_what_is_no_state_dict_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    write, words = BAD[case]
    file = tmp_path / "weights.pth"
    write(file)
    with pytest.raises(InputError) as caught:
        read_state(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"hello", b"\x80\x02}q\x00.", bytes(100), b"\xff" * 8 + b"{}"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match="no safetensors file"):
        read_state(file)


def test_random_damage_never_escapes(tmp_path: Path) -> None:
    """200 files with a changed byte or a lost end: read, or refused in the one way."""
    generator = np.random.default_rng(0)
    for legacy in (False, True):
        torch.save(small(), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
        whole = (tmp_path / "w.pt").read_bytes()
        for _ in range(100):
            damaged = bytearray(whole)
            place = generator.integers(len(whole))
            damaged[place] ^= 1 << generator.integers(8)
            cut = damaged if generator.random() < 0.7 else damaged[:place]
            (tmp_path / "w.pt").write_bytes(cut)
            try:
                read_state(tmp_path / "w.pt")
            except InputError as error:
                assert str(tmp_path / "w.pt") in str(error)  # noqa: PT017 - some files are still readable
