"""One evaluation by several processes, killed and resumed as often as one likes: not a byte differs."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import WHOLE, chunks_done
from tests.command import COMMAND, aigrob

pytestmark = pytest.mark.slow


def evidence(report: Path) -> dict[str, object]:
    """Sample tables and images byte for byte, and report.json but for times, latencies and dates."""
    found: dict[str, object] = {
        str(path.relative_to(report)): path.read_bytes()
        for folder in ("samples", "images")
        for path in sorted((report / folder).iterdir())
    }
    content = json.loads((report / "report.json").read_text())
    for evaluation in content["evaluations"]:
        evaluation["cost"].pop("seconds")
        evaluation["compute"].pop("latency")
    content.pop("created")
    content.pop("command")
    found["report.json"] = content
    return found


def start_several(where: Path, processes: int, *arguments: str) -> subprocess.Popen[str]:
    """A command under torchrun, or alone."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = COMMAND if processes == 1 else [*run, *COMMAND[1:]]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, *arguments], cwd=where, stdout=pipe, stderr=pipe, text=True)


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Its stdout and stderr; it never hangs."""
    try:
        return process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its processes, after half a minute by force
        process.communicate(timeout=60)
        raise


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill(process: subprocess.Popen[str], *, one: int | None) -> None:
    """kill -9: all its processes, or one of them, which the others must follow."""
    workers = children(process.pid)
    doomed = workers[one : one + 1] if one is not None and workers else [process.pid, *workers]
    for pid in doomed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end(process)


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_make_what_one_makes(processes: int, pair: Path, uninterrupted: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(pair)
    process = start_several(tmp_path, processes, *WHOLE, "--json")
    stdout, stderr = end(process)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["status"] == "complete"
    assert "Warning" not in stderr
    ours, theirs = evidence(tmp_path / "reports" / "whole"), evidence(uninterrupted)
    assert ours == theirs
    told = [line for line in stderr.splitlines() if "/1260  " in line]
    assert len(told) == len(theirs["report.json"]["evaluations"])  # type: ignore[index]
    times = json.loads((tmp_path / "reports" / "whole" / "times.json").read_text())
    assert set(times) == {e["id"] for e in theirs["report.json"]["evaluations"]}  # type: ignore[index]
    latencies = [
        json.loads((report / "latency.json").read_text()) for report in (tmp_path / "reports" / "whole", uninterrupted)
    ]
    assert set(latencies[0]) == set(latencies[1])
    assert stderr.count("measuring latency") == 1


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=[pytest.mark.evidence, pytest.mark.timeout(1800)])])
def test_killed_at_random_moments_and_resumed_nothing_differs(
    kills: int, pair: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """kill -9 of all processes or of one; each time as many go on as come."""
    (tmp_path / "runs").symlink_to(pair)
    report, moments = tmp_path / "reports" / "whole", random.Random(kills)
    wanted = sorted(moments.sample(range(3, 55), kills))
    for number, chunks in enumerate(wanted):
        processes = (1, 2, 3)[number % 3]
        process = start_several(tmp_path, processes, *WHOLE, "--resume", "--quiet")
        while process.poll() is None and chunks_done(report) < chunks:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        kill(process, one=moments.randrange(processes) if number % 2 else None)
        assert process.returncode != 0
    assert not (report / "report.json").exists()
    assert 0 < chunks_done(report) < 63
    result = aigrob(tmp_path, *WHOLE, "--resume")
    assert result.returncode == 0, result.stderr
    assert "images were done before" in result.stderr
    assert evidence(report) == evidence(uninterrupted)


def test_what_all_processes_refuse_is_told_once(pair: Path, uninterrupted: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(pair)
    shutil.copytree(uninterrupted, tmp_path / "reports" / "whole")
    for arguments, words in (
        ((*WHOLE, "--quiet"), "holds this evaluation already"),
        (("attack", "--eps", "8", "--quiet"), "did you mean 8/255?"),
    ):
        process = start_several(tmp_path, 2, *arguments)
        stdout, stderr = end(process)
        assert process.returncode != 0
        assert stdout == ""
        assert stderr.count("aigrob: ") == 1
        assert stderr.count(words) == 1
