"""The tables of a paper against `report.json` itself, and against independent readers of the formats."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from robustbench_aig.records import Report
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.tables import write_tables
from robustbench_aig.reporting.tables.latex import escaped as latex_escaped
from robustbench_aig.reporting.tables.latex import to_latex
from robustbench_aig.reporting.tables.markdown import escaped as markdown_escaped
from robustbench_aig.reporting.tables.markdown import to_markdown
from robustbench_aig.reporting.tables.table import Link, Table
from tests.reporting.synthetic import Study, cascaded, corrupted, fail

NASTY = r"a_b|50% & $x$ #1 ~t ^u \v {w} <i> *y* `z` [k](l) !m --eps"


@pytest.fixture(scope="module")
def report(written: Path) -> Report:
    return load_report(written)


def lines_of(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write_tables(report, "csv"))))


def found(report: Report, **asked: str) -> dict[str, str]:
    (line,) = [line for line in lines_of(report) if all(line[key] == value for key, value in asked.items())]
    return line


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Tables, rows, cells, as a CommonMark parser with GitHub's tables reads them."""
    tables: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and token.level > 2 and tables:
            tables[-1][-1].append("".join(child.content for child in token.children or []))
    return tables


def latex_rows(text: str) -> list[list[str]]:
    """Cells of every line of a tabular; an ampersand that stands for itself doesn't part them."""
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    return [re.split(r"(?<!\\)&", row.removesuffix(r" \\")) for row in rows]


def test_csv_has_every_number_of_the_report_once(written: Path, report: Report) -> None:
    said: dict[str, Any] = json.loads((written / "report.json").read_text())
    expected = {
        (e["model"], e["gate_policy"], f"linf {e['threat']['eps']}" if e["threat"] else "none", e["attack"]): e
        for e in said["evaluations"]
    }
    lines = [line for line in lines_of(report) if line["quantity"] == "accuracy" and line["attack"] != "union"]
    keys = [(line["model"], line["policy"], line["threat"], line["attack"]) for line in lines]
    assert sorted(keys) == sorted(expected)
    for key, line in zip(keys, lines, strict=True):
        accuracy = expected[key]["robust_accuracy"]
        for column in ("value", "low", "high", "n"):
            assert float(line[column]) == accuracy[column]
    unions = [line for line in lines_of(report) if (line["attack"], line["quantity"]) == ("union", "accuracy")]
    assert sorted(float(line["value"]) for line in unions) == sorted(w["accuracy"]["value"] for w in said["worst_case"])


def test_csv_has_every_comparison_and_every_claim_with_its_verdict(report: Report) -> None:
    differences = [line for line in lines_of(report) if line["quantity"] == "difference"]
    assert len(differences) == len(report.comparisons) > 0
    for line, c in zip(differences, report.comparisons, strict=True):
        assert (line["model"], line["policy"], line["against"]) == (c.gated, c.gate_policy, c.plain)
        assert (float(line["value"]), float(line["low"]), float(line["high"])) == (c.difference, c.low, c.high)
        assert (float(line["p"]) if line["p"] else None) == c.p_value
        assert (line["verdict"] == "not significantly different") == (c.low <= 0 <= c.high)
    claimed = [line for line in lines_of(report) if line["quantity"].startswith("claim ")]
    assert [line["verdict"] for line in claimed] == [m.verdict for claim in report.claims for m in claim.measurements]


def test_gates_and_compute_are_those_of_the_attack_that_is_worst_for_most(report: Report) -> None:
    lines = [line for line in lines_of(report) if line["quantity"] == "adversarial_macs"]
    assert len(lines) == len(report.worst_case)
    for worst in report.worst_case:
        of = {"model": worst.model, "policy": worst.gate_policy, "threat": str(worst.threat)}
        strongest = max((count, name) for name, count in worst.strongest.items() if name != "clean")[1]
        (e,) = [
            e
            for e in report.evaluations
            if (e.model, e.gate_policy, e.threat, e.attack) == (worst.model, worst.gate_policy, worst.threat, strongest)
        ]
        assert e.compute
        assert float(found(report, **of, quantity="adversarial_macs")["value"]) == e.compute.adversarial_macs
        assert found(report, **of, quantity="clean_macs")["attack"] == strongest
        if e.gates:
            assert float(found(report, **of, quantity="flip_rate")["value"]) == e.gates.flip_rate
            assert float(found(report, **of, quantity="noise_flip_rate")["value"]) == e.gates.noise_flip_rate
    assert not [line for line in lines_of(report) if line["policy"] == "none" and line["quantity"] == "flip_rate"]


def test_markdown_shows_every_accuracy_in_its_row_and_column(report: Report) -> None:
    accuracies, gates = markdown_tables(write_tables(report, "markdown"))
    assert accuracies[0] == ["threat", "attack", "plain", "gated · argmax", "gated · sampled"]
    assert [row[1] for row in accuracies[1:]] == [
        "clean",
        *["fgsm", "pgd", "worst case over attacks", "random-sign noise (control)"] * 2,
    ]
    column = {"none": 2, "argmax": 3, "sampled": 4}
    for e in report.evaluations:
        threat = f"ε = {e.threat.eps} (L∞)" if e.threat else "–"
        name = "random-sign noise (control)" if e.role == "control" else e.attack
        (row,) = [row for row in accuracies if row[:2] == [threat, name]]
        a = e.robust_accuracy
        assert row[column[e.gate_policy]] == f"{100 * a.value:.1f} [{100 * a.low:.1f},\u00a0{100 * a.high:.1f}]"
    assert {len(row) for row in gates} == {8}
    assert len(gates) == 1 + len(report.worst_case)


def test_latex_has_the_cells_of_markdown(report: Report) -> None:
    text = write_tables(report, "latex")
    shown = [row for table in markdown_tables(write_tables(report, "markdown")) for row in table]
    rows = latex_rows(text)
    assert [len(row) for row in rows] == [len(row) for row in shown]
    for row, cells in zip(rows[1:10], shown[1:10], strict=True):
        assert [cell.strip().replace("~", "\u00a0") for cell in row[2:]] == cells[2:]
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 2
    assert re.findall(r"\\begin\{tabular\}\{(\w+)\}", text) == ["llrrr", "lllrrrrr"]


def test_a_cascade_says_of_how_many_images(study: Study, tmp_path: Path) -> None:
    report = aggregate(cascaded(study).write(tmp_path, images=False))
    skipping = [e for e in report.evaluations if e.skipped]
    assert skipping
    for e in skipping:
        of = {"model": e.model, "policy": e.gate_policy, "threat": str(e.threat), "attack": e.attack}
        line = found(report, **of, quantity="kept_of_remainder")
        rows = [row for row in study.rows[e.id] if row["status"] == "ok"]
        assert int(line["n"]) == len(rows)
        assert float(line["value"]) == pytest.approx(
            sum(row["correct_draws"] / row["draws"] for row in rows) / len(rows)
        )
        assert not [x for x in lines_of(report) if x["quantity"] == "accuracy" and of.items() <= x.items()]
    assert f"{len(rows)} " in write_tables(report, "markdown").replace("|", " ")
    assert "A cascade" in write_tables(report, "latex")


def test_failed_images_give_no_accuracy(study: Study, tmp_path: Path) -> None:
    name = next(name for name in study.rows if name.startswith("aig-digits-argmax-pgd-8"))
    fail(study.rows[name][0])
    report = aggregate(study.write(tmp_path, images=False))
    of = {"model": "aig-digits", "policy": "argmax", "threat": "linf 8/255"}
    for attack in ("pgd", "union"):
        assert found(report, **of, attack=attack, quantity="accuracy")["value"] == ""
    (row,) = [row for row in markdown_tables(write_tables(report, "markdown"))[0] if row[1] == "pgd" and "8/" in row[0]]
    assert row[3] == "failed"
    assert row[2] != "failed"


def test_corruptions_have_a_row_each_and_their_mean(study: Study, tmp_path: Path) -> None:
    report = aggregate(corrupted(study, {"jpeg": [1, 3], "contrast": [1, 3]}, alone=True).write(tmp_path, images=False))
    (accuracies,) = markdown_tables(write_tables(report, "markdown"))
    assert [row[1] for row in accuracies[1:]] == ["clean", "jpeg", "contrast", "mean"]
    jpeg = [e for e in report.evaluations if e.attack.startswith("jpeg") and e.gate_policy == "argmax"]
    line = found(report, policy="argmax", threat="corruption", attack="jpeg")
    assert float(line["value"]) == pytest.approx(sum(e.robust_accuracy.value for e in jpeg) / 2)


def nasty_table() -> Table:
    return Table("nasty", NASTY, (NASTY, "n"), (("[1pt] *", NASTY), ("*", "−1.0\u00a0%"), ("", Link(NASTY, "a b"))), 2)


def test_markdown_lets_texts_stand_for_themselves() -> None:
    ((head, *rows),) = markdown_tables(to_markdown([nasty_table()]))
    assert head[0] == NASTY
    assert rows[0] == ["[1pt] *", NASTY]
    assert rows[2][1] == NASTY
    assert "\n" not in markdown_escaped("a\n| b")
    (paragraph, *_) = [t for t in MarkdownIt("commonmark").parse(to_markdown([nasty_table()])) if t.type == "inline"]
    assert [c.type for c in paragraph.children or [] if c.type not in {"text", "text_special"}] == [
        "strong_open",
        "strong_close",
    ]


def test_latex_lets_texts_stand_for_themselves() -> None:
    text = latex_escaped(NASTY)
    assert not re.search(r"(?<!\\)[%&$#_~^|<>]", text)
    assert text.count("{") - 2 * text.count(r"\{") == text.count("}") - 2 * text.count(r"\}")
    lines = to_latex([nasty_table()]).splitlines()
    assert all(line.startswith("{}") for line in lines if "1pt" in line or line.startswith("*"))
    assert "\n" not in latex_escaped("a\nb")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex on the PATH")
def test_latex_compiles_as_a_fragment(report: Report, tmp_path: Path) -> None:
    (tmp_path / "tables.tex").write_text(write_tables(report, "latex") + to_latex([nasty_table()]))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{tables.tex}\\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000
