"""`aigrob inspect` as a user types it, on networks trained in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig.evaluation import inspection as measuring
from robustbench_aig.inspection_record import Inspection
from robustbench_aig.runs import read_history, read_run
from robustbench_aig.training import train
from tests.command import aigrob_here, refused
from tests.sharing import shared
from tests.tiny import job


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`runs/` of a plain, a gated and a stochastic-depth network."""

    def make(where: Path) -> None:
        list(train(job(where / "runs" / "plain", gated=False, epochs=1)))
        list(train(job(where / "runs" / "gated", epochs=2)))
        list(train(job(where / "runs" / "stochastic", gated=False, epochs=1, algorithm="stochastic-depth-resnet")))

    with shared(tmp_path_factory, "inspect", make) as where:
        yield where / "runs"


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A working directory with these runs."""
    (tmp_path / "runs").symlink_to(trained)
    return tmp_path


def inspected(root: Path, *arguments: str) -> Inspection:
    result = aigrob_here(root, "inspect", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return Inspection.model_validate_json(result.stdout)


def test_a_gated_run_is_inspected_under_argmax(root: Path) -> None:
    """Accuracy and rates over the whole test split are those that the training wrote down, by other code."""
    found = inspected(root, "gated", "--out", "whole")
    record = read_run(root / "runs" / "gated")
    assert record.metrics is not None
    tested = record.metrics.test["argmax"]
    assert (found.data.n, found.policy) == (tested.n, "argmax")
    assert found.accuracy.value == pytest.approx(tested.accuracy)
    assert found.gates is not None
    assert found.gates.rates == pytest.approx(tested.rates)
    assert sum(found.gates.histogram) == sum(sum(c.histogram) for c in found.gates.per_class) == tested.n
    assert found.gates.history is not None
    history = read_history(root / "runs" / "gated")
    assert found.gates.history.rates == [epoch.validation["argmax"].rates for epoch in history]
    written = root / "whole" / "inspect-gated"
    assert Inspection.model_validate_json((written / "inspect.json").read_text()) == found
    assert "inspection of gated" in (written / "inspect.html").read_text()


def test_table_and_path_on_the_terminal(root: Path) -> None:
    result = aigrob_here(root, "inspect", "gated", "--limit", "40", "--name", "table")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "gated on 40 images of digits, argmax gates" in lines[0]
    assert [line.split()[0] for line in lines if line.strip()[:1].isdigit()] == ["1.1", "2.1", "3.1"]
    assert lines[-1] == "inspection: reports/table/inspect.html"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("run", "policy", "gates"), [("plain", "none", 0), ("stochastic", "expected", 3), ("gated", "argmax", 3)]
)
def test_every_family_has_its_own_policy(root: Path, run: str, policy: str, gates: int) -> None:
    found = inspected(root, run, "--limit", "30")
    assert (found.policy, len(found.model.gates), len(found.lesions)) == (policy, gates, 3)
    assert (found.gates is None) == (gates == 0)


@pytest.mark.parametrize(("run", "policy"), [("gated", "sampled"), ("gated", "open"), ("stochastic", "random")])
def test_other_policies_and_the_same_result_twice(root: Path, run: str, policy: str) -> None:
    arguments = [run, "--policy", policy, "--limit", "60", "--name", "twice"]
    first, second = (inspected(root, *arguments).model_dump(exclude={"created"}) for _ in range(2))
    assert first == second
    assert first["policy"] == policy


def test_seed_decides_the_images_and_the_noise(root: Path) -> None:
    arguments = ["gated", "--policy", "sampled", "--limit", "60"]
    first, second = inspected(root, *arguments), inspected(root, *arguments, "--seed", "1")
    assert first.data.digest != second.data.digest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["RUN", "--help"]),
        (["gatd"], ["no run", "did you mean 'gated'"]),
        (["runs/gatd"], ["no run", "did you mean 'gated'"]),
        (["gated", "--policy", "argmx"], ["unknown gate policy", "did you mean 'argmax'"]),
        (["plain", "--policy", "argmax"], ["plain network", "no gates", "leave out --policy"]),
        (["stochastic", "--policy", "argmax"], ["--policy expected or random"]),
        (["gated", "--limit", "0"], ["--limit"]),
        (["gated", "--data", "digit"], ["unknown data set 'digit'", "did you mean 'digits'"]),
        (["gated", "--resume"], ["--resume", "--help"]),
        (["gated", "plain"], ["unexpected", "--help"]),
    ],
)
def test_bad_arguments(root: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    refused(aigrob_here(root, "inspect", "--out", "nothing", *arguments), *words)
    assert not (root / "nothing").exists()


def test_damaged_history_and_missing_history(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "gated", tmp_path / "runs" / "gated")
    path = tmp_path / "runs" / "gated" / "history.jsonl"
    path.write_text(path.read_text()[:-20])
    refused(aigrob_here(tmp_path, "inspect", "gated"), "history.jsonl", "damaged")
    path.unlink()
    found = inspected(tmp_path, "gated", "--limit", "20")
    assert found.gates is not None
    assert found.gates.history is None


def test_output_that_cannot_be_written(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    arguments = ["inspect", str(trained / "plain"), "--limit", "10"]
    refused(aigrob_here(tmp_path, *arguments), "--out", "reports")
    refused(aigrob_here(tmp_path, *arguments, "--out", "/proc"), "cannot write", "--out")


def test_ctrl_c_exits_3_and_says_how_to_try_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "inspect_network", interrupted)
    result = aigrob_here(root, "inspect", "gated", "--limit", "10")
    assert result.returncode == 3
    assert result.stderr == "aigrob: interrupted; nothing was written, try again: aigrob inspect gated --limit 10\n"


def test_help_has_examples_and_the_command_is_listed(root: Path) -> None:
    told = aigrob_here(root, "inspect", "--help").stdout
    for words in ("Examples:", "aigrob inspect digits-aig14-s0 --policy sampled", "lesion", "[default: 1000]"):
        assert words in told
    assert "--resume" not in told
    assert "inspect" in aigrob_here(root, "--help").stdout


def test_json_has_a_schema_version(root: Path) -> None:
    inspected(root, "plain", "--limit", "10", "--name", "versioned")
    assert json.loads((root / "reports" / "versioned" / "inspect.json").read_text())["schema_version"] == "2"


def test_a_name_in_a_record_leads_nowhere_else(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "gated", tmp_path / "in" / "runs" / "gated")
    file = tmp_path / "in" / "runs" / "gated" / "run.json"
    content = json.loads(file.read_text())
    content["name"], content["data"]["name"] = "../../x", "../../y"
    file.write_text(json.dumps(content))
    inspected(tmp_path / "in", "gated", "--limit", "20")
    attacked = aigrob_here(tmp_path / "in", "attack", "gated", "--limit", "10", "--attack", "fgsm", "--eps", "8/255")
    assert attacked.returncode == 0, attacked.stderr
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"runs", "reports"}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(list((tmp_path / "in" / "reports").iterdir())) == 2
