"""Commands that are printed for the user to run: each is run here as it was printed, after bash has read it."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import save_file

from examples.skipnet import network
from robustbench_aig import checks
from robustbench_aig.checks.output import Logits
from robustbench_aig.cli import check
from robustbench_aig.commands import aigrob, placeless, with_flag
from robustbench_aig.records import Checkup
from robustbench_aig.records.documents import load_report
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


def checked(where: Path, *arguments: str, attacks: bool = False) -> list[Checkup]:
    """Attack, run what is printed, and see that nothing is left to be checked; `attacks` takes those, too."""
    result = aigrob_here(where, "attack", *arguments, *FEW, "--eps", "1/255", "--name", "r")
    assert result.returncode == 0, result.stderr
    lines = [line for line in printed(result) if attacks or not line.startswith("aigrob attack ")]
    assert len(lines) < len(printed(result)) or attacks
    run_all(where, lines)
    again = aigrob_here(where, "report", "reports/r")
    assert [line for line in printed(again) if not line.startswith("aigrob attack ")] == []
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
    found = checked(tmp_path, "else where/gated", "--policy", "argmax", attacks=True)
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


def commands_on(page: Path) -> list[str]:
    """The command lines of ours that a page shows."""
    shown = [html.unescape(text) for text in re.findall(r"<code>(.*?)</code>", page.read_text(), re.DOTALL)]
    return [text for text in shown if text.startswith("aigrob ")]


def test_commands_of_pages_make_the_same_again(tmp_path: Path) -> None:
    there, again = tmp_path / "there", tmp_path / "again"
    for where in (there, again):
        write_images(where / "my photos", test=20)
        recipe = write_recipe(where / "my recipe.toml", gated=True, epochs=1)
    train = ["train", recipe.name, "--data", "my photos", "--out", "my runs", "--name", "it's gated", "--quiet"]
    attack = ["attack", "it's gated", "--runs", "my runs", *FEW, "--eps", "1/255", "--out", "my reports", "--quiet"]
    inspect = ["inspect", "it's gated", "--runs", "my runs", "--limit", "20", "--name", "in side", "--quiet"]
    for arguments in (train, attack, inspect):
        made = aigrob_here(there, *arguments)
        assert made.returncode == 0, made.stderr
    pages = sorted(there.rglob("*.html"), key=lambda page: page.name != "run.html")
    assert [page.name for page in pages] == ["run.html", "report.html", "inspect.html"]
    lines = [line for page in pages for line in commands_on(page)]
    # The page of the attack also has a command for what it didn't measure.
    missing = [line for line in lines if "--suite compute" in line]
    assert len(lines) == len(pages) + len(missing)
    run_all(again, [line for line in lines if line not in missing])
    assert {p.relative_to(again) for p in again.rglob("*.html")} == {p.relative_to(there) for p in pages}


def test_an_interrupted_training_says_how_to_go_on(tmp_path: Path) -> None:
    """Until the last epoch a run is unfinished; its page and whoever wants to attack it name the command."""
    recipe = write_recipe(tmp_path / "my recipe.toml", gated=False, epochs=1, batch=32)
    made = aigrob_here(tmp_path, "train", recipe.name, "--out", "my runs", "--name=-odd one", "--quiet")
    assert made.returncode == 0, made.stderr
    record = tmp_path / "my runs" / "-odd one" / "run.json"
    record.write_text(record.read_text().replace('"status": "finished"', '"status": "training"'))
    (record.parent / "model.safetensors").unlink()
    told = aigrob_here(tmp_path, "attack", "--runs", "my runs", "--", "-odd one")
    assert told.returncode == 2
    line = told.stderr.strip().partition("resume with: ")[2]
    assert words_of(line) == ["train", "my recipe.toml", "--out", "my runs", "--name=-odd one", "--quiet", "--resume"]
    aigrob_here(tmp_path, "report", "my runs/-odd one")
    assert line in commands_on(record.parent / "run.html")


def test_the_ladder_and_its_missing_controls(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "gated.toml", gated=True, epochs=1, batch=32)
    made = aigrob_here(tmp_path, "train", recipe.name, "--out", "my runs", "--name", "a gated one", "--quiet")
    assert made.returncode == 0, made.stderr
    told = aigrob_here(tmp_path, "attack", "--ladder", "--runs", "my runs", *FEW, "--eps", "1/255", "--name", "r")
    assert told.returncode == 0, told.stderr
    missing = {line.partition("train it with ")[2] for line in told.stderr.splitlines() if "is missing" in line}
    run_all(tmp_path, [*{line for line in missing if line}, printed(told)[0]])
    assert len(list((tmp_path / "my runs").iterdir())) >= 3


def test_a_real_shell_runs_the_real_command(pair: Path, tmp_path: Path) -> None:
    shutil.copytree(pair, tmp_path / "my runs")
    line = aigrob("report", "gated", runs="my runs", json=True)
    script = f'aigrob() {{ "{sys.executable}" -m robustbench_aig.cli "$@"; }}\n{line}'
    told = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["name"] == "gated"


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("/home/me/digits", "digits"),
        ("/data/lr=0.1/plain", "plain"),
        ("/data/a:b/plain", "plain"),
        ("/", "/"),
        ("--weights=/h/w=1.pt", "--weights=w=1.pt"),
        ("--data=/data/lr=0.1/digits", "--data=digits"),
        ("/home/me/mine.toml:steps=5", "mine.toml:steps=5"),
        ("--attack=/home/me/mine.toml:steps=5,source=/runs/a", "--attack=mine.toml:steps=5,source=a"),
        ("transfer:source=/home/me/run", "transfer:source=run"),
        ("transfer:steps=5,source='/home/me/run',objective.x=1", "transfer:steps=5,source=run,objective.x=1"),
        ("/home/me/nets.py:network", "nets.py:network"),
        ("package.nets:network", "package.nets:network"),
        ("runs/digits", "runs/digits"),
        ("pgd:steps=5,gates.slope=3", "pgd:steps=5,gates.slope=3"),
        ("linf:8/255", "linf:8/255"),
        ("--quiet", "--quiet"),
        ("", ""),
    ],
)
def test_of_absolute_paths_in_a_command_the_last_part_stays(word: str, kept: str) -> None:
    line = shlex.join(["aigrob", "attack", "plain", "--attack", word, "--limit", "20"])
    assert shlex.split(placeless(line)) == ["aigrob", "attack", "plain", "--attack", kept, "--limit", "20"]


def test_what_no_shell_reads_stays_as_it_is() -> None:
    assert placeless("aigrob attack 'plain") == "aigrob attack 'plain"
