"""`aigrob report --format`, `aigrob compare` and `aigrob leaderboard` as a user types them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_aig.reporting import aggregate
from tests.command import aigrob_here, refused
from tests.reporting.synthetic import make_study


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `reports/a` and `reports/b`, of other answers to the same images."""
    where = tmp_path_factory.mktemp("where")
    for seed, name in enumerate("ab"):
        study = make_study(seed)
        directory = study.write(where / "reports" / name, images=False)
        plan = study.plan.model_copy(update={"digest": name * 64})
        (directory / "plan.json").write_text(plan.model_dump_json())
        (directory / "report.json").write_text(aggregate(directory).model_dump_json())
    return where


@pytest.fixture
def where(reports: Path, tmp_path: Path) -> Path:
    return shutil.copytree(reports, tmp_path / "copy")


@pytest.mark.parametrize(
    ("form", "begins"),
    [("csv", "model,policy,threat"), ("latex", "% \\usepackage"), ("markdown", "**Accuracy in % on 60")],
)
def test_tables_go_to_stdout_or_into_a_file(where: Path, form: str, begins: str) -> None:
    before = (where / "reports" / "a" / "report.json").read_bytes()
    shown = aigrob_here(where, "report", "reports/a", "--format", form)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(begins)
    written = aigrob_here(where, "report", "reports/a/report.json", "--format", form, "--out", "table")
    assert (written.returncode, written.stdout) == (0, "")
    assert (where / "table").read_text() == shown.stdout
    assert (where / "reports" / "a" / "report.json").read_bytes() == before
    assert not (where / "reports" / "a" / "report.html").exists()


def test_options_of_report_that_exclude_each_other(where: Path) -> None:
    refused(aigrob_here(where, "report", "reports/a", "--out", "x"), "--out goes with --format")
    refused(aigrob_here(where, "report", "reports/a", "--format", "csv", "--json"), "exclude each other")
    refused(aigrob_here(where, "report", "reports/a", "--format", "tsv"), "csv", "latex", "markdown")
    refused(aigrob_here(where, "report", "reports", "--format", "csv"), "reports is no report")


def test_compare_tells_and_dumps(where: Path) -> None:
    shown = aigrob_here(where, "compare", "reports/a", "reports/b")
    assert (shown.returncode, shown.stderr) == (0, "")
    for expected in ("aig-digits · argmax: accuracy, %", "linf 8/255", "worst case", "A: reports/a", "B: reports/b"):
        assert expected in shown.stdout
    found = json.loads(aigrob_here(where, "compare", "reports/a", "reports/b", "--json").stdout)
    assert (found["first"], found["notes"], len(found["changes"])) == ("reports/a", [], 27)
    assert shown.stdout.count("not significantly different") == sum(
        not c["significant"] and not c["same"] for c in found["changes"]
    )


def test_compare_names_networks_that_only_one_has(where: Path) -> None:
    path = where / "reports" / "b" / "report.json"
    path.write_text(path.read_text().replace("resnet-digits", "other-digits"))
    shown = aigrob_here(where, "compare", "reports/a", "reports/b").stdout
    assert "only in A: resnet-digits\n" in shown
    assert "only in B: other-digits\n" in shown


def test_compare_refuses_what_cannot_be_compared(where: Path) -> None:
    path = where / "reports" / "b" / "report.json"
    path.write_text(path.read_text().replace('"name":"digits"', '"name":"cifar10"'))
    refused(aigrob_here(where, "compare", "reports/a", "reports/b"), "different data", "digits and cifar10")
    refused(aigrob_here(where, "compare", "reports/a", "reports/c"), "reports/c")
    refused(aigrob_here(where, "compare", "reports/a"), "B")


def test_leaderboard_writes_a_page(where: Path) -> None:
    shown = aigrob_here(where, "leaderboard", "reports")
    assert (shown.returncode, shown.stderr) == (0, "")
    text = " ".join(shown.stdout.split())
    assert "ε = 4/255 (L∞): stochastic networks, 2 attacks, 60 images of digits (test)" in text
    assert shown.stdout.endswith("leaderboard: reports/leaderboard.html\n")
    assert 'href="a/report.json"' in (where / "reports" / "leaderboard.html").read_text()
    elsewhere = aigrob_here(where, "leaderboard", "reports", "--by", "linf:8/255", "--out", "site/board.html")
    assert "ε = 8/255 (L∞): " in elsewhere.stdout
    assert 'href="../reports/a/report.json"' in (where / "site" / "board.html").read_text()


def test_leaderboard_in_other_formats(where: Path) -> None:
    for form, begins in (
        ("csv", "data,split,n"),
        ("markdown", "**ε = 4/255 (L∞): deterministic networks, 2 attacks, 60 images of digits"),
        ("json", '{"groups":'),
    ):
        shown = aigrob_here(where, "leaderboard", "reports", "--format", form)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith(begins)
        assert aigrob_here(where, "leaderboard", "reports", "--format", form, "--out", "reports/board").stdout == ""
        assert (where / "reports" / "board").read_text() == shown.stdout
    assert aigrob_here(where, "leaderboard", "reports", "--json").stdout == shown.stdout
    assert not (where / "reports" / "leaderboard.html").exists()


def test_leaderboard_refuses(where: Path) -> None:
    refused(aigrob_here(where, "leaderboard", "reports", "--by", "linf:1"), "did you mean 1/255")
    refused(aigrob_here(where, "leaderboard", "reports", "--by", "linf:1/255"), "known: linf:4/255, linf:8/255")
    refused(aigrob_here(where, "leaderboard", "reports", "--by", "l3:1/255"), "unknown norm 'l3'")
    refused(aigrob_here(where, "leaderboard", "reports", "--format", "csv", "--json"), "exclude each other")
    refused(aigrob_here(where, "leaderboard", "nowhere"), "nowhere")


@pytest.mark.parametrize("command", ["report", "compare", "leaderboard"])
def test_help_has_examples_and_needs_no_torch(command: str) -> None:
    code = (
        "import sys; from robustbench_aig.cli.app import app; app.main([sys.argv[1], '--help'], standalone_mode=False);"
        "sys.exit('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert f"aigrob {command} reports" in shown.stdout
