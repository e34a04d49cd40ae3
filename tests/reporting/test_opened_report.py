"""A report opened by a program: frame, lines of JSON and samples hold what `report.json` and the tables hold."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from robustbench_aig import load_report
from robustbench_aig.errors import InputError
from robustbench_aig.records import Report


@pytest.fixture
def report(written: Path) -> Report:
    return load_report(written).record


def test_a_frame_has_a_row_for_each_evaluation_and_each_union(written: Path, report: Report) -> None:
    frame = load_report(written).to_frame()
    assert len(frame) == len(report.evaluations) + len(report.worst_case)
    assert not frame.duplicated(["model", "gate_policy", "attack", "norm", "eps", "corruption"]).any()
    for e in report.evaluations:
        (row,) = frame[frame["id"] == e.id].to_dict("records")
        assert (row["accuracy"], row["n"], row["role"]) == (e.robust_accuracy.value, e.n, e.role)
        if e.gates and e.compute:
            assert (row["flip_rate"], row["macs"]) == (e.gates.flip_rate, e.compute.adversarial_macs)
    worst = frame[(frame["attack"] == "union") & (frame["eps"] == "8/255")].groupby("gate_policy")["accuracy"].mean()
    for w in report.worst_case:
        if w.threat.eps == "8/255":
            assert worst[w.gate_policy] == w.accuracy.value


def test_lines_beside_the_report_are_the_same_frame(written: Path) -> None:
    frame, lines = load_report(written).to_frame(), pd.read_json(written / "evaluations.jsonl", lines=True)
    assert list(frame.columns) == list(lines.columns)
    for name in ("accuracy", "flip_rate", "macs", "radius"):
        assert frame[name].to_numpy(float) == pytest.approx(lines[name].to_numpy(float), nan_ok=True)


def test_answers_and_samples(written: Path, report: Report, tmp_path: Path) -> None:
    opened = load_report(written)
    assert opened.answers == report.answers
    assert [one.question for one in opened.answers][:3] == ["more-robust", "slower", "gates"]
    rows = opened.samples().to_table(columns=["image"])
    assert rows.num_rows == sum(e.n for e in report.evaluations)
    lone = shutil.copy(written / "report.json", tmp_path)
    assert load_report(lone).record == report
    with pytest.raises(InputError, match="sample tables are missing"):
        load_report(str(tmp_path)).samples()
