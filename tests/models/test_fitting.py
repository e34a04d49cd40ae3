"""Tensors of a file under the names of the network that is to have them, from the producers that change names."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from robustbench_aig.errors import InputError
from robustbench_aig.models.foreign.fitting import fit
from robustbench_aig.models.state import read_state

State = dict[str, Tensor]


class Parts(nn.Module):
    """Tied weights, a batch-norm, a mask, and a part that is called `module`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.module, self.norm, self.last = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)
        self.last.weight = self.module.weight
        self.register_buffer("mask", torch.tensor([0.0, 0, -torch.inf, 0]))
        self.norm.running_mean = torch.rand(4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.norm(self.module(x))) + self.mask
        return found


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def compiled(model: nn.Module) -> nn.Module:
    made = torch.compile(model)
    assert isinstance(made, nn.Module)
    return made


def compiled_inside() -> nn.Module:
    made = Parts()
    made.add_module("norm", compiled(made.norm))
    return made


WRAPPED: dict[str, Callable[[], nn.Module]] = {
    "as it is": Parts,
    "torch.compile": lambda: compiled(Parts()),
    "parallel": lambda: DataParallel(Parts()),
    "parallel, compiled": lambda: DataParallel(compiled(Parts())),
    "compiled, parallel": lambda: compiled(DataParallel(Parts())),
    "an average": lambda: AveragedModel(Parts()),
    "an average of parallel": lambda: AveragedModel(DataParallel(Parts())),
    "a part compiled": compiled_inside,
}


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_whatever_stood_around_it(tmp_path: Path, wrap: str, counted: bool) -> None:
    state = {k: v for k, v in WRAPPED[wrap]().state_dict().items() if counted or "num_batches" not in k}
    torch.save(state, tmp_path / "w.pt")
    model = Parts(1)
    assert not same(model, Parts())
    fit(model, read_state(tmp_path / "w.pt", masks=True), tmp_path / "w.pt")
    assert same(model, Parts())
    outer = DataParallel(Parts(1))
    fit(outer, read_state(tmp_path / "w.pt", masks=True), tmp_path / "w.pt")
    assert same(outer.module, Parts()), "a factory may wrap, too"


def test_safetensors_keeps_one_of_two_tied_tensors(tmp_path: Path) -> None:
    save_model(Parts(), str(tmp_path / "w.safetensors"))
    state = read_state(tmp_path / "w.safetensors", masks=True)
    assert len(state) == len(Parts().state_dict()) - 1
    model = Parts(1)
    fit(model, state, tmp_path / "w.safetensors")
    assert same(model, Parts())
    assert model.last.weight is model.module.weight


def test_shapes_and_numbers_may_come_with_the_file() -> None:
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    fit(lazy, plain.state_dict(), Path("w.pt"))
    assert same(lazy, plain)
    with torch.device("meta"):
        empty = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    fit(empty, plain.state_dict(), Path("w.pt"))
    assert same(empty, plain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("mask"), "1 missing, such as 'mask'"),
        (lambda state: state.update(extra=torch.ones(1)), "1 unknown, such as 'extra'"),
        (lambda state: state.update(mask=torch.ones(5)), "1 of another shape, such as 'mask'"),
        (lambda state: (state.pop("module.weight"), state.pop("last.weight")), "2 missing, such as 'last.weight'"),
        (lambda state: state.update({"last.weight": torch.ones(4, 4)}), "are one tensor of the network, but differ"),
        (lambda state: state.update({"norm.bias": torch.full((4,), -torch.inf)}), "'norm.bias' holds infinite"),
    ],
)
def test_what_does_not_fit_is_refused(change: Callable[[State], object], words: str) -> None:
    state = dict(Parts().state_dict())
    change(state)
    with pytest.raises(InputError, match=r"w\.pt") as caught:
        fit(Parts(), state, Path("w.pt"))
    assert words in str(caught.value)
