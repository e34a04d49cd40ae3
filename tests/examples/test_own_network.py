"""The shortest way from a fresh file to a report."""

import runpy
from pathlib import Path

import pytest
import torch

from robustbench_aig.records import Report
from tests.test_architecture import ROOT

FILE = ROOT / "examples" / "own_network.py"


def test_thirty_lines_from_a_fresh_file_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(FILE.read_text().splitlines()) <= 30
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        runpy.run_path(str(FILE), run_name="__main__")
    report = Report.model_validate_json((tmp_path / "reports" / "mine" / "report.json").read_text())
    assert report.status == "complete"
    assert [gate.macs for gate in report.models[0].gates] == [9 * 16 * 16 * 36] * 3
    clean = report.evaluations[0]
    assert clean.clean_accuracy.value > 0.9
    attacked = [worst.accuracy.value for worst in report.worst_case]
    assert clean.clean_accuracy.value > attacked[0] > attacked[1]
    assert capsys.readouterr().out.splitlines() == [
        f"{value:.1%} of 364 images withstand {eps}" for value, eps in zip(attacked, ("8/255", "16/255"), strict=True)
    ]
