"""Loading weights: what is no safetensors file, or not this network's, is refused in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from robustbench_aig.errors import RunError
from robustbench_aig.runs import WEIGHTS
from robustbench_aig.training import load_model, train
from tests.tiny import job


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = job(tmp_path_factory.mktemp("runs") / "run", gated=False, epochs=1)
    for _ in train(done):
        pass
    return done.directory


@pytest.fixture
def weights(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "run") / WEIGHTS


def changed(path: Path) -> None:
    state = load_file(path)
    state["head.bias"] += 1
    save_file(state, path)


def foreign(path: Path) -> None:
    save_file({"layer.weight": torch.zeros(2, 2)}, path)


def reshaped(path: Path) -> None:
    state = load_file(path)
    save_file({**state, "head.bias": torch.zeros(7)}, path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "truncated or no safetensors file"),
        (lambda path: path.write_bytes(b""), "truncated or no safetensors file"),
        (lambda path: path.write_bytes(b"\x80\x04 a pickle"), "truncated or no safetensors file"),
        (lambda path: path.unlink(), "cannot read"),
        (foreign, "holds another network"),
        (reshaped, "1 of .* tensors don't fit the recipe, such as 'head.bias'"),
        (changed, "was changed after the training"),
    ],
)
def test_bad_weights_are_refused(weights: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(weights)
    with pytest.raises(RunError, match=words) as caught:
        load_model(weights.parent)
    assert str(weights) in str(caught.value)
    assert "train" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_draws_no_random_numbers(original: Path) -> None:
    before = torch.get_rng_state()
    load_model(original)
    assert torch.equal(torch.get_rng_state(), before)
