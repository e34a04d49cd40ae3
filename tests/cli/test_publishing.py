"""Published reports: the numbers of the published rows are the report's, by aigrob and without it."""

import errno
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from robustbench_aig.attacks import build_attack
from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records import Report
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate, publishing
from robustbench_aig.zoo import find_attack
from tests.command import aigrob_here, as_printed, refused
from tests.evaluation.conftest import evaluator, make
from tests.evaluation.test_cascade import mostly_right
from tests.evaluation.test_evaluator import Broken
from tests.test_architecture import ROOT
from tests.tiny import write_images

SCRIPT = ROOT / "examples" / "table_from_rows.py"


def publish(where: Path, directory: Path, out: str = "out") -> Path:
    result = aigrob_here(where, "report", str(directory), "--publish", out)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"report: {out}/report.html\n", "")
    return where / out


@pytest.fixture(scope="module")
def published(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published form of the pair's evaluation, which no test may change."""
    return publish(tmp_path_factory.mktemp("published"), uninterrupted)


@pytest.fixture
def copy(uninterrupted: Path, tmp_path: Path) -> Path:
    """A report directory that a test may damage, alone in its folder."""
    return Path(shutil.copytree(uninterrupted, tmp_path / "copy"))


def test_it_has_every_row_and_no_image(published: Path, uninterrupted: Path) -> None:
    files = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    tables = {f"samples/{path.name}" for path in (uninterrupted / "samples").iterdir()}
    clocks = {"times.json", "evaluations.jsonl", "latency.json", "pace.json"}
    written = {"evaluations.jsonl", "manifest.json", "plan.json", "report.html", "report.json", "report.schema.json"}
    assert files - tables == written | clocks
    for name in tables:
        before, after = (pq.read_table(folder / name) for folder in (uninterrupted, published))
        assert after.schema.equals(before.schema)
        assert repr(after.to_pylist()) == repr(before.to_pylist())  # where a NaN is like itself


def test_its_numbers_are_the_report_s_and_come_out_again(published: Path, uninterrupted: Path, tmp_path: Path) -> None:
    measured = load_report(uninterrupted)
    # Without what the networks were called on this machine no command can be given.
    answers = [one.model_copy(update={"command": None}) for one in measured.answers]
    assert load_report(published) == measured.model_copy(update={"asked": None, "answers": answers})
    again = Path(shutil.copytree(published, tmp_path / "again"))
    assert aigrob_here(tmp_path, "report", "again").returncode == 0
    assert (again / "report.json").read_bytes() == (published / "report.json").read_bytes()


def test_its_page_shows_the_images_that_it_leaves_out(published: Path, uninterrupted: Path) -> None:
    page, before = ((folder / "report.html").read_text() for folder in (published, uninterrupted))
    assert page == re.sub(r'<p class="said">To measure it:</p>\n<pre.*?</pre>\n', "", before)
    assert "No images were kept" not in page


def test_checks_and_names_go_along_and_no_place_of_the_machine(pair: Path, tmp_path: Path) -> None:
    runs = str(shutil.copytree(pair, tmp_path / "my runs"))
    images = write_images(tmp_path / "photos", test=10, classes=[str(digit) for digit in range(10)])
    on = [f"--runs={runs}", "--data", str(images), "--limit", "20", "--eps", "8/255", "--quiet"]
    result = aigrob_here(tmp_path, "attack", f"{runs}/plain", *on, "--attack", "fgsm", "--name", "r")
    assert result.returncode == 0, result.stderr
    assert (
        aigrob_here(tmp_path, "check", "plain", "--quick", *on, "--into", str(tmp_path / "reports" / "r")).returncode
        < 2
    )
    found = load_report(tmp_path / "reports" / "r")
    out = publish(tmp_path, tmp_path / "reports" / "r")
    told = load_report(out)
    assert told.checks
    assert [checkup.findings for checkup in told.checks] == [checkup.findings for checkup in found.checks]
    assert told.evaluations == found.evaluations
    assert (out / "names.parquet").read_bytes() == (tmp_path / "reports" / "r" / "names.parquet").read_bytes()
    assert told.command.startswith("aigrob attack plain '--runs=my runs' --data photos --limit 20")
    assert [path for path in out.rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()] == []


def lose_a_table(directory: Path) -> str:
    (directory / "samples" / "plain.none.fgsm.linf-8_255.parquet").unlink()
    return "1 of its"


def damage_a_table(directory: Path) -> str:
    (directory / "samples" / "plain.none.fgsm.linf-8_255.parquet").write_bytes(b"PAR1")
    return "plain.none.fgsm.linf-8_255.parquet"


def lose_all_rows(directory: Path) -> str:
    shutil.rmtree(directory / "samples")
    return "no sample tables"


def lose_the_plan(directory: Path) -> str:
    for name in ("plan.json", "report.json"):
        (directory / name).unlink()
    return "no report directory"


@pytest.mark.parametrize("harm", [lose_a_table, damage_a_table, lose_all_rows, lose_the_plan])
def test_what_is_not_whole_is_not_published(copy: Path, tmp_path: Path, harm: Callable[[Path], str]) -> None:
    told = harm(copy)
    refused(aigrob_here(tmp_path, "report", "copy", "--publish", "deep/out"), "copy", told)
    assert {path.name for path in tmp_path.rglob("*") if "copy" not in path.parts} <= {"deep"}


def test_the_way_on_from_an_unfinished_one_works(copy: Path, pair: Path, tmp_path: Path) -> None:
    lose_a_table(copy)
    line = aigrob_here(tmp_path, "report", "copy", "--publish", "out").stderr.partition("finish it with: ")[2]
    shutil.copytree(pair, tmp_path / "runs")
    (tmp_path / "reports").mkdir()
    copy.rename(tmp_path / "reports" / "whole")
    assert as_printed(tmp_path, line).returncode == 0
    assert (tmp_path / "reports" / "whole" / "samples" / "plain.none.fgsm.linf-8_255.parquet").exists()


def test_what_is_there_is_not_written_into(published: Path, pair: Path, tmp_path: Path) -> None:
    for there in (tmp_path / "file", tmp_path / "folder"):
        there.touch() if there.name == "file" else there.mkdir()
        refused(aigrob_here(tmp_path, "report", str(published), "--publish", there.name), f"{there.name} exists")
    refused(
        aigrob_here(tmp_path, "report", str(published), "--publish", "file/out"), "cannot write", "another --publish"
    )
    refused(aigrob_here(tmp_path, "report", str(published), "--publish", "out", "--json"), "exclude each other")
    refused(aigrob_here(tmp_path, "report", str(pair / "plain"), "--publish", "out"), "is a run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("of", ["mkdir", "rename", "replace"])
def test_a_disk_that_is_full_is_told_of_what_publish_named(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, of, full)
    with pytest.raises(InputError) as told:
        publishing.publish(uninterrupted, tmp_path / "out")
    assert str(told.value) == (
        f"cannot write {tmp_path / 'out'}: No space left on device; free some space or choose another --publish"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_not_told_as_unwritable(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", unreadable)
    with pytest.raises(RunError, match=r"manifest\.json: cannot be read \(.*Permission denied"):
        publishing.publish(uninterrupted, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def drawn(where: Path, pair: Path, published: Path) -> Path:
    """Ten draws of random gates, and a control."""
    report = load_report(published)
    assert {w.accuracy.draws for w in report.worst_case} == {1, 10}
    assert {e.role for e in report.evaluations} == {"clean", "attack", "control"}
    return published


def cascade(where: Path, pair: Path, draws: str) -> Path:
    """Random gates, and attacks that skip what is lost."""
    arguments = ["attack", "gated", "--runs", str(pair), "--policy", "sampled", "--suite", "quick", "--draws", draws]
    result = aigrob_here(
        where, *arguments, "--eps", "32/255", "--limit", "30", "--no-latency", "--quiet", "--name", "r"
    )
    assert result.returncode == 0, result.stderr
    report = load_report(where / "reports" / "r")
    assert str(report.worst_case[0].accuracy.draws) == draws
    assert any(e.skipped for e in report.evaluations)
    return where / "reports" / "r"


def exact_cascade(where: Path, pair: Path, published: Path) -> Path:
    """Every pattern of the gates."""
    return cascade(where, pair, "exact")


def drawn_cascade(where: Path, pair: Path, published: Path) -> Path:
    """So few draws that an image which was lost on those kept for choosing may be right on those that count."""
    return cascade(where, pair, "2")


def failed(where: Path, pair: Path, published: Path) -> Path:
    """An attack that fails on some of the images, in a cascade over draws."""
    plan = make(("fgsm", "pgd"), eps=("32/255",), cascade=True)
    attacks = {"fgsm": Broken(), "pgd": build_attack(find_attack("pgd:steps=5")[1].attack)}
    list(evaluator(where, plan, attacks=attacks, of=mostly_right()))
    report = aggregate(where)
    assert any(e.errors for e in report.evaluations)
    assert any(e.skipped for e in report.evaluations)
    (where / "report.json").write_text(report.model_dump_json())
    return where


def of_version_1(where: Path, pair: Path, published: Path) -> Path:
    """Rows that were written before there were exact ones."""
    return publish(where, ROOT / "tests" / "reporting" / "data" / "version_1_2026-11-24")


def of_version_1_as_it_is(where: Path, pair: Path, published: Path) -> Path:
    """The same rows without the columns that came later."""
    directory = ROOT / "tests" / "reporting" / "data" / "version_1_2026-11-24"
    assert all("p_correct" not in pq.read_schema(path).names for path in (directory / "samples").iterdir())
    return directory


def as_a_table(report: Report) -> list[str]:
    """What the script is to print."""
    unattacked = {(e.model, e.gate_policy): f"{e.clean_accuracy.value:.6f}" for e in report.evaluations}
    lines = ["network\tgates\tthreat\tattack\timages\tunattacked\tattacked\tMACs"]
    for e in report.evaluations:
        macs = e.compute.adversarial_macs if e.compute else float("nan")
        figures = f"{e.n}\t{unattacked[e.model, e.gate_policy]}\t{e.robust_accuracy.value:.6f}"
        who = f"{e.model}\t{e.gate_policy}\t{e.threat or 'none'}\t{e.attack}"
        lines.append(f"{who}\t{figures}\t{macs:.1f}")
    for w in report.worst_case:
        figures = f"{w.accuracy.n}\t{unattacked[w.model, w.gate_policy]}\t{w.accuracy.value:.6f}"
        lines.append(f"{w.model}\t{w.gate_policy}\t{w.threat}\tworst case\t{figures}")
    return lines


@pytest.mark.parametrize(
    "evaluation", [drawn, exact_cascade, drawn_cascade, failed, of_version_1, of_version_1_as_it_is]
)
def test_thirty_lines_compute_the_table_from_the_rows(
    evaluation: Callable[[Path, Path, Path], Path], pair: Path, published: Path, tmp_path: Path
) -> None:
    assert len(SCRIPT.read_text().splitlines()) <= 30
    directory = evaluation(tmp_path, pair, published)
    computed = subprocess.run([sys.executable, SCRIPT, directory], capture_output=True, text=True, check=True)
    assert computed.stdout.splitlines() == as_a_table(load_report(directory))


def test_the_table_needs_rows(tmp_path: Path) -> None:
    without = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert without.stderr == f"{tmp_path} has no rows: name a report directory with samples/\n"
