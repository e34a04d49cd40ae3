"""Commands that are printed for the user to run: each is run here as it was printed, after bash has read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import save_file

from examples.skipnet import network
from robustbench_aig import checks
from robustbench_aig.checks.output import Logits
from robustbench_aig.cli import check
from robustbench_aig.commands import aigrob, with_flag
from robustbench_aig.records import Checkup
from robustbench_aig.reporting.documents import load_report
from tests.command import aigrob_here, as_printed, printed, words_of
from tests.tiny import write_images, write_recipe

FEW = ["--attack", "fgsm", "--limit", "40", "--no-latency"]


@pytest.fixture(autouse=True)
def one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single check on few images, of a quick attack: what is tested is that it can be asked."""
    monkeypatch.setattr(check, "IMAGES", 30)
    monkeypatch.setattr(checks, "ALL", (Logits(),))
    monkeypatch.setattr(checks, "reference_name", lambda **_: "fgsm")


def run_all(where: Path, lines: Sequence[str]) -> None:
    assert lines
    for line in lines:
        result = as_printed(where, line)
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def checked(where: Path, *arguments: str) -> list[Checkup]:
    """Attack, run what is printed, and see that nothing is left to be checked."""
    result = aigrob_here(where, "attack", *arguments, *FEW, "--eps", "1/255", "--name", "r")
    assert result.returncode == 0, result.stderr
    run_all(where, printed(result))
    again = aigrob_here(where, "report", "reports/r")
    assert printed(again) == []
    return load_report(where / "reports" / "r").checks


ODD = ["plain", "two words", "it's", 'a "b" c', "$HOME", "`ls`", "a;b", "*", "-x", "--seed", "", "ä\tb"]


@pytest.mark.parametrize("word", ODD)
def test_a_shell_reads_back_what_was_meant(word: str) -> None:
    line = aigrob("attack", word, "b", runs=Path(word), eps=["1/255", word], quiet=True, limit=None, seed=0)
    options = ["--runs", str(Path(word)), "--eps", "1/255", "--eps", word, "--quiet", "--seed", "0"]
    names = [word, "b"]
    words = ["attack", *([*options, "--", *names] if word.startswith("-") else [*names, *options])]
    assert words_of(line) == words
    flagged = words_of(with_flag(line, "--resume"))
    assert [w for w in flagged if w != "--resume"] == words
    assert flagged.index("--resume") == (words.index("--") if word.startswith("-") else len(words))


def test_runs_elsewhere_with_spaces_and_quotes(pair: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "my runs, it's"
    elsewhere.mkdir()
    for name in ("plain", "gated"):
        (elsewhere / name).symlink_to(pair / name)
    found = checked(tmp_path, "plain", "gated", "--runs", elsewhere.name, "--seed", "3", "--defence", "jpeg:60")
    assert {(c.run, c.policy) for c in found} >= {("gated+jpeg60", "argmax"), ("gated+jpeg60", "sampled")}
    assert {c.seed for c in found} == {3}


def test_a_run_by_its_directory(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "else where").symlink_to(pair)
    found = checked(tmp_path, "else where/gated", "--policy", "argmax")
    assert [c.run for c in found] == ["gated"]


def test_own_networks_their_weights_and_a_folder_of_images(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "my photos", train=2, test=4, classes=[f"class {n}" for n in range(10)], mode="L")
    save_file(network().state_dict(), tmp_path / "its weights.safetensors")
    own = ["--model", "examples.skipnet:network", "--weights", "its weights.safetensors", "--data", photos.name]
    (tmp_path / "a list.txt").write_text("class 3/0.png\nclass 7/1.png\n")
    found = checked(tmp_path, *own, "--defence", "none", "--defence", "jpeg:75", "--images", "a list.txt")
    assert {c.data.n for c in found} == {2}
    assert {c.run for c in found} == {"skipnet-network", "skipnet-network+jpeg75"}
    assert len({c.weights_digest for c in found}) == 1


def test_what_training_prints(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "my photos", test=20)
    recipes = [write_recipe(tmp_path / f"{name}.toml", gated=name == "gated", epochs=1) for name in ("plain", "gated")]
    result = aigrob_here(
        tmp_path, "train", *(r.name for r in recipes), "--data", photos.name, "--out", "my runs", "--quiet"
    )
    assert result.returncode == 0, result.stderr
    (line,) = printed(result)
    run_all(tmp_path, [f"{line} --attack fgsm --eps 8/255 --no-latency"])
