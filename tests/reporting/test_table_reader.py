"""Sample tables are read when they are asked for, and not all held: that must not change a byte of the report."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from robustbench_aig.reporting import table_reader, write_report
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.reporting.table_columns import Rows
from tests.reporting.synthetic import N, Study, with_many_attacks


def test_a_report_that_does_not_fit_into_memory_is_the_same(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = with_many_attacks(study)
    write_report(many.write(tmp_path / "kept"))
    monkeypatch.setattr(table_reader, "KEPT_BYTES", 1)
    read: list[weakref.ref[Rows]] = []
    alive: list[int] = []
    load = table_reader._load_rows

    def counted(*asked: object) -> tuple[Rows, object]:
        rows, lost_to = load(*asked)  # type: ignore[arg-type]
        read.append(weakref.ref(rows))
        alive.append(sum(one() is not None for one in read))
        return rows, lost_to

    monkeypatch.setattr(table_reader, "_load_rows", counted)
    write_report(many.write(tmp_path / "forgotten"))
    for name in ("report.json", "report.html"):
        assert (tmp_path / "forgotten" / name).read_bytes() == (tmp_path / "kept" / name).read_bytes()
    assert len(many.rows) > 80
    assert max(alive) <= 6, "an evaluation, its clean rows, two controls; and what is read next"


def test_what_is_asked_for_again_stays(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_evidence(study.write(tmp_path)).rows
    first, second, third, *_ = rows
    monkeypatch.setattr(table_reader, "KEPT_BYTES", rows[first].nbytes + max(rows[n].nbytes for n in rows))
    kept = rows[first]
    for name in (second, first, third):
        assert rows[name].image.size == N
    assert rows[first] is kept
    assert rows[first].nbytes == sum(part.nbytes for part in vars(kept).values() if part is not None)


def test_a_table_that_is_not_there_is_unfinished(study: Study, tmp_path: Path) -> None:
    (study.write(tmp_path) / "samples" / f"{study.plan.evaluations[3].id}.parquet").unlink()
    rows = load_evidence(tmp_path).rows
    assert list(rows) == [e.id for e in study.plan.evaluations if e is not study.plan.evaluations[3]]
    assert (len(rows), study.plan.evaluations[3].id in rows) == (len(study.rows) - 1, False)
