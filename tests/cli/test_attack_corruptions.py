"""`aigrob attack --corruption` and `--corruptions` as a user types them, on a pair trained in seconds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustbench_aig.corruptions.names import NAMES
from robustbench_aig.data import load_data
from robustbench_aig.runs import read_run
from robustbench_aig.training import load_model
from tests.command import aigrob_here, refused

FAST = ["plain", "--limit", "30", "--chunk", "20"]


@pytest.fixture
def where(pair: Path, tmp_path: Path) -> Path:
    """A working directory with the pair's runs."""
    (tmp_path / "runs").symlink_to(pair)
    return tmp_path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The digits' test split as files of CIFAR-10-C: darker by a fifth for each severity, under the name `dark`."""
    test = load_data("digits", seed=0).test
    pixels = (test.batch(slice(None)) * 255).round().permute(0, 2, 3, 1).numpy()
    folder = tmp_path / "published"
    folder.mkdir()
    darker = [(pixels * (1 - severity / 5)).astype(np.uint8) for severity in range(1, 6)]
    np.save(folder / "dark.npy", np.concatenate(darker))
    np.save(folder / "labels.npy", np.tile(test.labels.numpy(), 5))
    return folder


def report_of(where: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The report, and what was said beside it."""
    result = aigrob_here(where, "attack", *FAST, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def test_corruptions_alone_attack_nothing(where: Path) -> None:
    report, _ = report_of(where, "--corruption", "contrast:2", "--corruption", "jpeg", "--corruption", "jpeg:2")
    assert [(e["role"], e["attack"]) for e in report["evaluations"]] == [
        ("clean", "clean"),
        ("corruption", "contrast:2"),
        *(("corruption", f"jpeg:{severity}") for severity in (1, 2, 3, 4, 5)),
    ]
    assert report["status"] == "complete"
    assert report["worst_case"] == []
    assert [(m["name"], m["severities"]) for m in report["corruptions"]] == [
        ("contrast", [2]),
        ("jpeg", [1, 2, 3, 4, 5]),
    ]
    assert all(e["corruption"]["source"] == "computed" for e in report["evaluations"][1:])


@pytest.mark.parametrize("typed", [["--attack", "corners"], ["--eps", "4/255"]])
def test_what_is_typed_of_attacks_is_run_beside(where: Path, typed: Sequence[str]) -> None:
    both = ["--attack", "corners", "--eps", "4/255"]
    report, _ = report_of(where, "--corruption", "contrast:2", *(both if typed[0] == "--attack" else typed))
    roles = [e["role"] for e in report["evaluations"]]
    assert roles[0] == "clean"
    assert roles[-1] == "corruption"
    assert set(roles[1:-1]) == ({"control"} if typed[0] == "--attack" else {"attack", "control"})


def test_all_leaves_out_what_grey_images_cannot_have_and_says_so(where: Path) -> None:
    report, said = report_of(where, "--corruption", "all:1")
    assert [e["attack"] for e in report["evaluations"][1:]] == [f"{n}:1" for n in NAMES if n != "saturation"]
    assert "left out: saturation is of images in colour" in said


def test_images_are_read_from_files(where: Path, published: Path) -> None:
    """All that is there, counted by a pass over the darker images by hand."""
    report, _ = report_of(where, "--corruptions", str(published))
    assert [e["attack"] for e in report["evaluations"]] == ["clean", *(f"dark:{k}" for k in range(1, 6))]
    run = where / "runs" / "plain"
    test = load_data("digits", seed=read_run(run).data.seed).test.limit(30, 0)
    model = load_model(run, torch.device("cpu"))
    for severity, e in enumerate(report["evaluations"][1:], start=1):
        pixels = (test.batch(slice(None)) * 255).round() * (1 - severity / 5)
        with torch.no_grad():
            right = int((model(pixels.floor() / 255).argmax(1) == test.labels).sum())
        assert e["robust_accuracy"]["count"] == right
        assert e["corruption"] == {"name": "dark", "severity": severity, "source": e["corruption"]["source"]}
        assert len(e["corruption"]["source"]) == 64


def test_another_file_is_another_evaluation(where: Path, published: Path) -> None:
    arguments = ["--corruptions", str(published), "--corruption", "dark:2", "--name", "one"]
    before, _ = report_of(where, *arguments)
    again, _ = report_of(where, *arguments, "--resume")
    assert again == before
    stored = np.load(published / "dark.npy")
    stored[-1] = 255
    np.save(published / "dark.npy", stored)
    refused(aigrob_here(where, "attack", *FAST, *arguments, "--resume", "--quiet"), "another evaluation")


def test_the_terminal_says_one_line_for_each_kind(where: Path) -> None:
    result = aigrob_here(where, "attack", *FAST, "--corruption", "contrast", "--corruption", "jpeg")
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:-1] for line in lines if line and line[-1][0].isdigit()][-3:] == [
        ["corruption", "contrast"],
        ["jpeg"],
        ["mean"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--corruption", "jpg"], ["unknown corruption 'jpg'", "did you mean 'jpeg'?"]),
        (["--corruption", "jpeg:6"], ["severity from 1 to 5", "jpeg:3"]),
        (["--corruption", "all:0"], ["severity from 1 to 5", "all:3"]),
        (["--corruption", "saturation:2"], ["--corruption saturation:2", "in colour"]),
        (["--corruptions", "nowhere"], ["nowhere must hold labels.npy"]),
        (["--corruption", "jpeg:1", "--norm", "l2"], ["name the epsilons"]),
    ],
)
def test_what_cannot_be_meant(where: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    refused(aigrob_here(where, "attack", *FAST, "--quiet", *arguments), *words)
    assert not (where / "reports").exists()


def test_files_that_are_not_of_these_images(where: Path, published: Path) -> None:
    def words(*said: str) -> None:
        refused(aigrob_here(where, "attack", *FAST, "--quiet", "--corruptions", str(published)), *said)

    refused(
        aigrob_here(where, "attack", *FAST, "--quiet", "--corruptions", str(published), "--corruption", "jpeg"),
        "unknown corruption 'jpeg'",
        "known: all, dark",
    )
    labels, stored = np.load(published / "labels.npy"), np.load(published / "dark.npy")
    np.save(published / "dark.npy", np.repeat(stored, 3, axis=3))
    words("dark", "shape (3, 8, 8)", "(1, 8, 8)")
    np.save(published / "dark.npy", stored[5:])
    words("dark", "an image for each label")
    np.save(published / "dark.npy", stored)
    np.save(published / "labels.npy", (labels + 1) % 10)
    words("other images")
    np.save(published / "labels.npy", labels[:-5])
    words("five severities")
    (published / "dark.npy").unlink()
    words("must hold labels.npy")
