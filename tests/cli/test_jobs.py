"""What `aigrob train` is asked for: presets, adversarial training, initial weights; and what is refused."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from robustbench_aig.runs import WEIGHTS
from robustbench_aig.training import hardware
from tests.command import aigrob_here, refused
from tests.tiny import write_images, write_recipe

PRESETS = """
[presets.short]
epochs = 1
[presets.long]
epochs = 2
optimizer = { lr = 0.02 }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a gated and a plain recipe, and a plain run."""
    root = tmp_path_factory.mktemp("jobs")
    write_images(root / "photos")
    write_recipe(root / "gated.toml", gated=True, epochs=1)
    write_recipe(root / "plain.toml", gated=False, epochs=1)
    (root / "both.toml").write_text((root / "gated.toml").read_text() + PRESETS)
    assert aigrob_here(root, "train", "plain.toml", "--data", "photos", "--quiet").returncode == 0
    return root


@pytest.fixture
def where(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "here")


def trained(where: Path, *arguments: str) -> dict[str, Any]:
    done = aigrob_here(where, "train", "--data", "photos", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert isinstance(run, dict)
    return {**run, "stderr": done.stderr}


def test_a_cpu_takes_the_short_preset_and_says_so(where: Path) -> None:
    run = trained(where, "both.toml")
    assert run["name"] == "photos-both-s0"
    assert (run["recipe"]["preset"], run["recipe"]["training"]["epochs"]) == ("short", 1)
    assert run["recipe"]["presets"] == {}
    assert "preset short" in run["reason"]
    assert "this is a CPU" in run["reason"]
    assert run["reason"] in run["stderr"]


def test_a_named_preset_is_in_the_name(where: Path) -> None:
    run = trained(where, "both.toml", "--preset", "long")
    assert run["name"] == "photos-both-long-s0"
    assert (run["recipe"]["preset"], run["recipe"]["training"]["epochs"]) == ("long", 2)
    assert run["recipe"]["training"]["optimizer"]["lr"] == 0.02
    assert run["reason"] is None


@pytest.mark.parametrize(
    ("device", "pair", "preset"),
    [
        ("cpu", ["cifar10/resnet20", "cifar10/aig20"], "short"),
        ("cuda", ["cifar10/resnet110", "cifar10/aig110"], "long"),
    ],
)
def test_the_default_pair_suits_the_hardware(made: Path, device: str, pair: Sequence[str], preset: str) -> None:
    from robustbench_aig.cli.jobs import TrainRequest, _recipes
    from robustbench_aig.data import load_data

    nothing: dict[str, Any] = dict.fromkeys(TrainRequest.__dataclass_fields__)
    request = TrainRequest(**{**nothing, "models": ()})
    found, reason = _recipes(request, load_data(str(made / "photos"), seed=0, image_size=32), torch.device(device))
    assert [name for name, _ in found] == pair
    assert {recipe.preset for _, recipe in found} == {preset}
    assert reason is not None
    assert all(name in reason for name in pair)


def test_bfloat16_where_the_hardware_computes_it_and_images_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: {"avx512_bf16": able}, raising=False)
        assert hardware.computes_bf16(torch.device("cpu")) is able


def test_adversarial_training_is_asked_for_by_method_and_eps(where: Path) -> None:
    run = trained(where, "gated.toml", "--adversarial", "fast", "--eps", "16/255")
    assert run["name"] == "photos-gated-fast-s0"
    chosen = run["recipe"]["training"]["adversarial"]
    assert chosen == {
        "method": "fast",
        "eps": "16/255",
        "norm": "linf",
        "steps": 1,
        "step": 1.25,
        "gates": "sampled",
        "beta": 6.0,
    }
    assert run["best_epoch"] == 1


def test_a_recipes_own_adversarial_settings_are_kept(where: Path) -> None:
    recipe = where / "gated.toml"
    recipe.write_text(recipe.read_text() + 'adversarial = { method = "pgd", steps = 2, gates = "argmax" }\n')
    assert trained(where, "gated.toml", "--name", "own")["recipe"]["training"]["adversarial"]["steps"] == 2
    asked = trained(where, "gated.toml", "--adversarial", "pgd", "--eps", "2/255")["recipe"]["training"]["adversarial"]
    assert (asked["steps"], asked["gates"], asked["eps"]) == (2, "argmax", "2/255")


def test_gates_learn_on_top_of_a_plain_run(where: Path) -> None:
    """With a learning rate of almost nothing the weights must still be the plain run's."""
    recipe = where / "gated.toml"
    recipe.write_text(recipe.read_text().replace("lr = 0.05", "lr = 1e-12"))
    run = trained(where, "gated.toml", "--init", "photos-plain-s0")
    assert run["name"] == "photos-gated-init-s0"
    given = load_file(where / "runs" / "photos-plain-s0" / WEIGHTS)
    learned = load_file(where / "runs" / "photos-gated-init-s0" / WEIGHTS)
    assert run["init"]["run"] == "photos-plain-s0"
    assert run["init"]["recipe_name"] == "plain"
    assert run["init"]["seed"] == 0
    assert run["init"]["tensors"] == len(given) < len(learned)
    plain = json.loads((where / "runs" / "photos-plain-s0" / "run.json").read_text())
    assert run["init"]["weights_digest"] == plain["weights_digest"]
    for name in ("stem.conv.weight", "head.weight"):
        torch.testing.assert_close(learned[name], given[name])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gated.toml", "--preset", "long"], ["no presets"]),
        (["both.toml", "--preset", "paper"], ["no preset 'paper'"]),
        (["both.toml", "--preset", "brief"], ["paper", "--help"]),
        (["gated.toml", "--eps", "8/255"], ["--adversarial"]),
        (["gated.toml", "--adversarial", "fast", "--eps", "8"], ["did you mean 8/255"]),
        (["gated.toml", "--adversarial", "free"], ["pgd", "--help"]),
        (["gated.toml", "--sync-bn"], ["CUDA"]),
        (["gated.toml", "--init", "nothing"], ["no run", "nothing"]),
        (["gated.toml", "--init", "photos-plain-s0", "--seed", "1"], ["sets aside for validation", "--seed 0"]),
        (["deeper.toml", "--init", "photos-plain-s0"], ["another network"]),
        (["gated.toml", "--init", "photos-plain-s0", "--data", "digits"], ["was trained on photos"]),
        (["--ladder", "photos-plain-s0", "--preset", "long"], ["--ladder takes everything"]),
    ],
)
def test_what_cannot_be_meant(where: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    (where / "deeper.toml").write_text((where / "gated.toml").read_text().replace("[4, 4, 4]", "[4, 8, 8]"))
    before = sorted((where / "runs").iterdir())
    data = [] if "--data" in arguments or "--ladder" in arguments else ["--data", "photos"]
    refused(aigrob_here(where, "train", *arguments, *data, "--quiet"), *words)
    assert sorted((where / "runs").iterdir()) == before
