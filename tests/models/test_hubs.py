"""Networks of public hubs, out of caches as their own libraries lay them out; nothing is fetched."""

import json
import sys
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.models import save_for_hf

from robustbench_aig.errors import InputError
from robustbench_aig.models import hubs, load_own
from tests.command import aigrob_here, refused

ARCHITECTURE = "test_resnet"
"""Timm's own for tests: half a million parameters."""

REPOSITORY = "someone/tiny"
HUBCONF = """
from torch import nn
import torch

dependencies = ["torch"]

def linear(pretrained=False):
    torch.manual_seed(5 if pretrained else 6)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def plain():
    return linear(pretrained=True)

def broken():
    raise TypeError("oops")
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of this test's own, and no hub in reach."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(hubs, "_reached", lambda _: False)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))


def gray(seed: int = 0) -> torch.nn.Module:
    """A network for digits, whose normalisation its maker knows."""
    torch.manual_seed(seed)
    about = {"mean": (0.3,), "std": (0.4,), "input_size": (1, 8, 8)}
    model: torch.nn.Module = timm.create_model(ARCHITECTURE, num_classes=10, in_chans=1, pretrained_cfg_overlay=about)
    return model.eval()


def cached(tmp_path: Path, config: dict[str, object] | None = None) -> torch.nn.Module:
    """A repository in the cache of the Hugging Face hub, written by timm."""
    model = gray()
    snapshot = tmp_path / "hf" / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / ("0" * 40)
    save_for_hf(model, str(snapshot), safe_serialization=True)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    if config is not None:
        (snapshot / "config.json").write_text(json.dumps(config))
    return model


def torch_hub(tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "someone_nets_main"
    folder.mkdir(parents=True)
    (folder / "hubconf.py").write_text(HUBCONF)


def images() -> torch.Tensor:
    return torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_a_network_of_the_hugging_face_hub_gets_normalised_images(tmp_path: Path) -> None:
    theirs, ours = cached(tmp_path), load_own(f"hf:{REPOSITORY}", None)
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs((x - 0.3) / 0.4))
    assert ours.hub
    assert (ours.hub.mean, ours.hub.std, ours.hub.image) == ([0.3], [0.4], [1, 8, 8])


def test_weights_of_a_file_say_how_many_classes_and_channels(tmp_path: Path) -> None:
    """Of a gray network nobody knows how its images were normalised: timm's numbers are for colours."""
    theirs = gray(3)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours = load_own(f"timm:{ARCHITECTURE}", tmp_path / "w.safetensors")
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
    assert ours.hub
    assert ours.hub.mean is None


def test_colours_are_normalised_as_timm_says(tmp_path: Path) -> None:
    theirs = timm.create_model(ARCHITECTURE, num_classes=7).eval()
    about: dict[str, list[float]] = theirs.pretrained_cfg  # type: ignore[assignment]
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours, x = load_own(f"timm:{ARCHITECTURE}", tmp_path / "w.safetensors"), torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(about[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs((x - mean) / std))


@pytest.mark.parametrize(("entry", "seed"), [("linear", 5), ("plain", 5)])
def test_a_network_of_torch_hub_is_the_trained_one(tmp_path: Path, entry: str, seed: int) -> None:
    torch_hub(tmp_path)
    ours = load_own(f"hub:someone/nets:{entry}", None)
    torch.manual_seed(seed)
    wanted = torch.nn.Linear(64, 10)
    assert torch.equal(next(ours.network.parameters()), wanted.weight)


def test_attacked_from_end_to_end_and_told(tmp_path: Path) -> None:
    """By the command line, whose report says how images were normalised; and again with --resume."""
    cached(tmp_path)
    command = ["attack", "--model", f"hf:{REPOSITORY}", "--data", "digits", "--attack", "fgsm", "--eps", "8/255"]
    command += ["--limit", "12", "--name", "r", "--no-latency"]
    result = aigrob_here(tmp_path, *command)
    assert result.returncode == 0, result.stderr
    assert "hf-someone-tiny gets images normalised by mean 0.3 and std 0.4, as its hub says" in result.stderr
    report = json.loads((tmp_path / "reports" / "r" / "report.json").read_text())
    (model,) = report["models"]
    assert model["foreign"]["hub"] == {"hub": "hf", "mean": [0.3], "std": [0.4], "image": [1, 8, 8]}
    assert f"hf:{REPOSITORY}" in report["command"]
    assert "gets images normalised by mean 0.3" in (tmp_path / "reports" / "r" / "report.html").read_text()
    assert aigrob_here(tmp_path, *command, "--resume").returncode == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:test_resnt", ["did you mean 'test_resnet'?"]),
        ("timm:quite another thing", ["timm.list_models()"]),
        (f"timm:{ARCHITECTURE}", ["cache", "hf", "out of reach", "--weights FILE"]),
        ("hf:no/such", ["cache", "out of reach"]),
        ("hub:someone/nets", ["hub:OWNER/REPO:NAME"]),
        ("hub:someone/nets:other", ["other"]),
        ("hub:someone/nets:broken", ["oops"]),
        ("hub:nobody/nets@v1:linear", ["trusted", "where you can answer"]),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(name: str, words: list[str], tmp_path: Path) -> None:
    torch_hub(tmp_path)
    refused(aigrob_here(tmp_path, "attack", "--model", name, "--data", "digits"), name, *words)


def test_a_network_of_another_library_needs_a_function(tmp_path: Path) -> None:
    cached(tmp_path, {"model_type": "vit", "architectures": ["ViTForImageClassification"]})
    with pytest.raises(InputError, match=r"no timm network, but vit: write a function"):
        load_own(f"hf:{REPOSITORY}", None)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'robustbench_aig\[timm\]'"):
        load_own("timm:resnet18", None)
