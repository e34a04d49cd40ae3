"""`aigrob attack` and `aigrob report` as a user types them, on a pair trained in seconds."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import FAST, WHOLE, chunks_done
from tests.command import aigrob_here, refused, start


@pytest.fixture
def runs(pair: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage; its parent is the working directory."""
    return Path(shutil.copytree(pair, tmp_path / "runs"))


def test_defaults_attack_the_newest_pair(uninterrupted: Path) -> None:
    report = json.loads((uninterrupted / "report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["plain", "gated"]
    subjects = {(e["model"], e["gate_policy"]) for e in report["evaluations"]}
    assert subjects == {("plain", "none"), ("gated", "argmax"), ("gated", "sampled")}
    assert report["command"].startswith("aigrob attack --eps 8/255")
    schema = json.loads((uninterrupted / "report.schema.json").read_text())
    jsonschema.validate(report, schema, cls=jsonschema.Draft202012Validator)
    assert (uninterrupted / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_ctrl_c_exits_3_and_says_how_to_go_on(runs: Path) -> None:
    process = start(runs.parent, "attack", "--eps", "8/255", "--quiet", *FAST)
    while process.poll() is None and not list(runs.parent.glob("reports/*/parts/*.parquet")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 3, stderr
    assert stderr.startswith("aigrob: interrupted")
    assert len(stderr.strip().splitlines()) == 1
    assert "aigrob attack --eps 8/255 --quiet" in stderr
    assert "--resume" in stderr


def test_report_renders_again_from_the_sample_table(uninterrupted: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(uninterrupted, tmp_path / "copy"))
    before = (copy / "report.json").read_bytes()
    (copy / "report.json").unlink()
    (copy / "report.html").unlink()
    result = aigrob_here(tmp_path, "report", "copy")
    assert result.returncode == 0, result.stderr
    assert (copy / "report.json").read_bytes() == before
    assert "worst case" in result.stdout
    assert "  Gates cost almost nothing" in result.stdout
    assert "report.html" in result.stdout


def test_a_second_time_costs_nothing_and_needs_resume(uninterrupted: Path) -> None:
    where, before = uninterrupted.parent.parent, (uninterrupted / "latency.json").read_bytes()
    refused(aigrob_here(where, *WHOLE, "--quiet"), "--resume")
    again = aigrob_here(where, *WHOLE, "--resume")
    assert again.returncode == 0
    assert "measuring latency" not in again.stderr
    assert (uninterrupted / "latency.json").read_bytes() == before
    refused(aigrob_here(where, *WHOLE, "--resume", "--quiet", "--seed", "1"), "another evaluation", "--name")


def test_latency_is_that_of_gated_networks_alone(uninterrupted: Path) -> None:
    report = json.loads((uninterrupted / "report.json").read_text())
    timed = [e for e in report["evaluations"] if e["compute"]["latency"]]
    assert [(e["model"], e["gate_policy"], e["threat"]["eps"]) for e in timed] == [
        ("gated", "argmax", "32/255"),
        ("gated", "sampled", "32/255"),
    ]
    assert {e["id"]: e["compute"]["latency"] for e in timed} == json.loads((uninterrupted / "latency.json").read_text())
    assert (uninterrupted / "report.html").read_text().count("<strong>×&nbsp;") == 2


def test_latency_may_be_left_out_and_measured_later(runs: Path) -> None:
    arguments = ["attack", "gated", "--policy", "argmax", "--attack", "fgsm", "--eps", "8/255", "--limit", "20"]
    for latency in ("--no-latency", "--resume"):
        result = aigrob_here(runs.parent, *arguments, "--name", "x", latency, "--json")
        assert result.returncode == 0, result.stderr
        found = [e["compute"]["latency"] for e in json.loads(result.stdout)["evaluations"]]
        assert [bool(one) for one in found] == [False, latency == "--resume"]
        assert result.stderr.count("measuring latency") == found.count(None) % 2
        assert (runs.parent / "reports" / "x" / "latency.json").exists() == (latency == "--resume")


def test_a_suite_may_be_a_cascade(runs: Path) -> None:
    (runs.parent / "mine.toml").write_text('summary = "mine"\nsuite = ["fgsm", "pgd", "corners"]\ncascade = true\n')
    arguments = ["attack", "gated", "--policy", "argmax", "--suite", "mine.toml", "--eps", "16/255", "--limit", "60"]
    result = aigrob_here(runs.parent, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    clean, fgsm, pgd, corners = json.loads(result.stdout)["evaluations"]
    assert fgsm["skipped"] == 60 - clean["robust_accuracy"]["count"] > 0
    assert pgd["skipped"] == 60 - fgsm["robust_accuracy"]["count"]
    assert corners["skipped"] == 0


@pytest.mark.evidence
@pytest.mark.timeout(1800)
def test_chunk_size_moves_accuracy_by_no_more_than_rounding_can(runs: Path) -> None:
    """Our own attacks on all test images, in chunks of 64 and of 256."""
    for chunk in ("64", "256"):
        arguments = ["attack", "--attack", "fgsm", "--attack", "pgd", "--limit", "100000", "--eps", "16/255"]
        done = aigrob_here(runs.parent, *arguments, "--chunk", chunk, "--name", chunk, "--quiet")
        assert done.returncode == 0, done.stderr
    reports = runs.parent / "reports"
    tables = list((reports / "64" / "samples").iterdir())
    flipped = 0
    for path in tables:
        one, other = (pq.read_table(reports / chunk / "samples" / path.name) for chunk in ("64", "256"))
        right = [np.asarray(rows["correct_draws"]) / np.asarray(rows["draws"]) for rows in (one, other)]
        assert abs(right[0].mean() - right[1].mean()) < 0.003
        flipped += int((right[0] != right[1]).sum())
    images = json.loads((reports / "64" / "report.json").read_text())["data"]["n"]
    assert flipped < 0.003 * images * len(tables), f"{flipped} of {images * len(tables)} rows"


def test_json_is_one_document_and_nothing_else(runs: Path) -> None:
    arguments = ["attack", "gated", "--policy", "argmax", "--attack", "fgsm", "--limit", "20", "--json"]
    result = aigrob_here(runs.parent, *arguments)
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert {e["threat"]["eps"] for e in report["evaluations"] if e["threat"]} == {
        "4/255",
        "8/255",
        "16/255",
        "32/255",
    }


def test_l2_leaves_out_what_cannot_search_it_and_says_so(runs: Path) -> None:
    result = aigrob_here(runs.parent, "attack", "--norm", "l2", "--eps", "0.5", "--limit", "20", "--draws", "2")
    assert result.returncode == 0, result.stderr
    assert "left out" in result.stderr
    assert "fgsm-torchattacks" in result.stderr
    rows = pq.read_table(next(runs.parent.glob("reports/*/samples/plain.none.pgd.l2-0.5.parquet")))
    assert np.asarray(rows["l2"]).max() <= 0.5 + 2e-6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--eps", "8"], ["'8'", "did you mean 8/255?"]),
        (["--eps=-1/255"], ["above 0"]),
        (["--eps", "4/0"], ["divides by zero"]),
        (["--eps", "abc"], ["'abc'", "4/255"]),
        (["--eps", "nan"], ["'nan'", "not a number"]),
        (["--norm", "l3", "--eps", "1/255"], ["unknown norm", "did you mean"]),
        (["--norm", "l2"], ["--eps"]),
        (["--attack", "pdg", "--eps", "1/255"], ["unknown attack 'pdg'", "did you mean 'pgd'"]),
        (["--suite", "defalt", "--eps", "1/255"], ["unknown suite", "did you mean 'default'"]),
        (["gatd", "--eps", "1/255"], ["no run", "did you mean 'gated'"]),
        (["--policy", "argmx", "--eps", "1/255"], ["unknown gate policy", "did you mean 'argmax'"]),
        (["--limit", "0", "--eps", "1/255"], ["--limit"]),
        (["--processes", "0", "--eps", "1/255"], ["--processes", "at least 1"]),
        (["--data", "digit", "--eps", "1/255"], ["unknown data set 'digit'", "did you mean 'digits'"]),
        (["--epz", "1/255"], ["--epz", "--help"]),
        (["--norm", "l2", "--eps", "1", "--attack", "fgsm-torchattacks"], ["l2", "--attack"]),
    ],
)
def test_bad_arguments(runs: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    refused(aigrob_here(runs.parent, "attack", "--quiet", *arguments), *words)
    assert not (runs.parent / "reports").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none(runs: Path) -> None:
    refused(aigrob_here(runs.parent, "attack", "--eps", "1/255", "--device", "cuda"), "no CUDA device", "--device cpu")


def damage(runs: Path, kind: str) -> None:
    run = runs / "gated"
    weights = run / "model.safetensors"
    match kind:
        case "empty":
            shutil.rmtree(run)
            run.mkdir()
        case "unfinished":
            record = json.loads((run / "run.json").read_text())
            (run / "run.json").write_text(json.dumps(record | {"status": "training"}))
        case "half-written":
            (run / "run.json").write_text((run / "run.json").read_text()[:100])
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "no weights":
            weights.unlink()
        case "foreign":
            save_file({"a": torch.zeros(3)}, weights)
        case "changed":
            tensors = load_file(weights)
            tensors["head.bias"] += 1
            save_file(tensors, weights)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", ["no run", "run.json"]),
        ("unfinished", ["interrupted", "--resume"]),
        ("half-written", ["run.json", "damaged"]),
        ("truncated", ["model.safetensors", "truncated"]),
        ("no weights", ["model.safetensors", "such file"]),
        ("foreign", ["model.safetensors", "another network"]),
        ("changed", ["model.safetensors", "changed"]),
    ],
)
def test_damaged_run(runs: Path, kind: str, words: Sequence[str]) -> None:
    damage(runs, kind)
    refused(aigrob_here(runs.parent, "attack", "gated", "--eps", "1/255", "--quiet"), *(word.lower() for word in words))


def test_no_runs_at_all(tmp_path: Path) -> None:
    refused(aigrob_here(tmp_path, "attack", "--eps", "1/255"), "no finished run", "aigrob train")
    refused(aigrob_here(tmp_path, "report", "nowhere"), "nowhere")


@pytest.mark.parametrize("target", ["reports", "/proc"])
def test_output_that_cannot_be_written(runs: Path, target: str) -> None:
    """A file where the folder should be, and a file system that takes no files."""
    if target == "reports":
        (runs.parent / "reports").write_text("in the way")
    result = aigrob_here(runs.parent, "attack", "--eps", "1/255", "--out", target, "--quiet")
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (15000, 15000))
from robustbench_aig.cli import main
main()
"""


def test_full_disk_keeps_what_is_finished(runs: Path) -> None:
    """No file may grow beyond 15,000 bytes: chunks fit, a merged table does not."""
    arguments = ["attack", "--eps", "8/255", "--name", "full", "--quiet", "--resume", *FAST]
    command = [sys.executable, "-c", LIMITED, *arguments]
    refused(
        subprocess.run(command, cwd=runs.parent, capture_output=True, text=True, check=False), "cannot write", "--out"
    )
    report = runs.parent / "reports" / "full"
    assert chunks_done(report) > 0
    assert not list(report.rglob("*.partial"))
    assert aigrob_here(runs.parent, *arguments).returncode == 0
