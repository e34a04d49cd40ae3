"""`make gpu`: parts in time boxes, what is kept of them, and which wheels a bare machine needs."""

import json
import os
import sys
import time
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

import pytest

from benchmarks import gpu, wheelhouse
from benchmarks.boxes import Ledger, Outcome, Part, Refused, run_parts
from benchmarks.gpu_page import page
from benchmarks.paper_epochs import make_job, measure
from tests.tiny import write_images

WHERE = {"device": "cpu", "torch": "2"}
ROOT = Path(__file__).parent.parent.parent


def part(name: str, code: str, *, box: float = 30, needs: tuple[str, ...] = ()) -> Part:
    return Part(name, [sys.executable, "-c", code], box, needs)


def run(folder: Path, parts: list[Part], *, seconds: float = 60, where: dict[str, str] = WHERE) -> dict[str, Outcome]:
    ledger = Ledger(folder / "cpu.json", where)
    ledger.load(parts)
    run_parts(parts, ledger, folder / "cpu", seconds=seconds, missing=gpu.missing)
    return ledger.outcomes


def noted(path: Path, word: str = "x") -> str:
    """Code that notes that it ran."""
    return f"open({str(path)!r}, 'a').write({word!r}); print('{{\"figure\": 7}}')"


def test_every_end_of_a_part_is_told_apart(tmp_path: Path) -> None:
    parts = [
        part("good", "print('words'); print('{\"figure\": 7}')"),
        part("bad", "print('half'); raise SystemExit('it broke')"),
        part("mute", "print('no figures')"),
        part("slow", "import time; print('begun', flush=True); time.sleep(60)", box=1),
        part("lacking", "print('{}')", needs=("json", "no_such_module")),
        part("idle", 'print(\'{"skipped": "no device"}\')'),
    ]
    found = run(tmp_path, parts)
    assert {name: each.state for name, each in found.items()} == {
        "good": "done",
        "bad": "failed",
        "mute": "failed",
        "slow": "timed out",
        "lacking": "skipped",
        "idle": "skipped",
    }
    assert found["good"].result == {"figure": 7}
    assert found["bad"].tail == ["half", "it broke"]
    assert "JSON" in found["mute"].reason
    assert found["slow"].tail == ["begun"]
    assert found["lacking"].reason.endswith("no_such_module")
    assert found["idle"].reason == "no device"
    shown = page("cpu", WHERE, list(found.values()))
    for words in (
        "| good | done |",
        "| figure | 7 |",
        "it broke",
        "cut after 1 s",
        "no_such_module",
        "dry run on a CPU",
    ):
        assert words in shown


def test_a_second_call_keeps_what_is_done_and_begins_with_what_was_never_begun(tmp_path: Path) -> None:
    ran, slow = tmp_path / "ran", "import time; time.sleep(60)"
    parts = [part("slow", slow, box=1), part("a", noted(ran, "a")), part("b", noted(ran, "b"))]
    assert {each.state for each in run(tmp_path, parts, seconds=0).values()} == {"not reached"}
    assert [each.state for each in run(tmp_path, parts[:2]).values()] == ["timed out", "done"]
    assert [each.state for each in run(tmp_path, parts).values()] == ["timed out", "done", "done"]
    assert ran.read_text() == "ab"
    written = json.loads((tmp_path / "cpu.json").read_text())["parts"]
    assert [each["result"] for each in written] == [None, {"figure": 7}, {"figure": 7}]
    ends = {each["name"]: each["ended"] for each in written}
    assert ends["b"] <= ends["slow"]


def test_a_part_gets_what_those_after_it_can_spare(tmp_path: Path) -> None:
    parts = [part(str(box), "print('{}')", box=box) for box in (70, 5, 20)]
    found = run(tmp_path, parts, seconds=110)
    assert 70 < found["70"].box <= 110 - 3 - 25
    assert (found["5"].box, found["20"].box) == (10, 40)


def test_figures_of_another_machine_or_another_command_are_not_kept(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    run(tmp_path, [part("one", noted(ran))])
    run(tmp_path, [part("one", noted(ran))], where={**WHERE, "device": "another"})
    run(tmp_path, [part("one", noted(ran) + "; 1")], where={**WHERE, "device": "another"})
    assert ran.read_text() == "xxx"


def test_a_damaged_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cpu.json").write_text("{")
    with pytest.raises(Refused, match="damaged"):
        run(tmp_path, [])


def test_nothing_is_left_of_a_part_that_is_cut(tmp_path: Path) -> None:
    """What it has started ends with it, even what doesn't listen."""
    pid = tmp_path / "pid"
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    code = f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
    code += f"open({str(pid)!r}, 'w').write(str(p.pid)); time.sleep(60)"
    run(tmp_path, [part("slow", code, box=2)])
    state = Path(f"/proc/{pid.read_text()}/stat")
    for _ in range(100):  # its new parent has to notice
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("a process was left")


def test_the_boxes_of_a_dry_run_are_less_than_nine_minutes() -> None:
    assert sum(each.box for each in gpu.parts_of("cpu", None, Path("out"))) < gpu.SECONDS - gpu._SLACK - 40


def test_the_paper_s_epochs_go_on_where_they_were(tmp_path: Path) -> None:
    data = write_images(tmp_path / "photos", train=6, test=2)

    def once() -> dict[str, object]:
        import torch

        return measure(make_job("digits/aig14", str(data), 8, torch.device("cpu"), tmp_path))

    first = once()
    assert (first["preset"], first["images"], first["precision"]) == ("paper", 8, "fp32")
    assert once() == first


def test_every_test_marked_gpu_has_its_part() -> None:
    marked = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if "pytest.mark.gpu,\n" in path.read_text()
    }
    assert marked == {*gpu.LIGHT_TESTS, *gpu.OTHER_TESTS}


def needed(texts: Iterable[str]) -> set[str]:
    return {each.name.lower() for each in wheelhouse.needed(texts, "3.12", wheelhouse.WITH_TORCH)}


def test_wheels_are_those_that_a_machine_with_torch_lacks() -> None:
    wanted = {each.name for each in wheelhouse.requirements(ROOT / "pyproject.toml")}
    assert {"torch", "pydantic", "foolbox", "pytest"} <= wanted
    assert "mypy" not in wanted
    assert needed(requires("foolbox") or []) >= {"eagerpy", "scipy", "requests"}
    assert not needed(requires("foolbox") or []) & {"torch", "numpy", "setuptools"}
    assert "pysocks" not in needed(requires("requests") or [])  # an extra
    assert needed(['tomli>=1; python_version < "3.11"']) == set()


def test_where_no_device_is_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(Refused, match="DEVICE=cpu"):
        gpu.look_at("cuda", {**os.environ, "PYTHONPATH": str(ROOT)})
