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
import torch

from robustbench_aig.cli.options import share_threads
from robustbench_aig.distributed import joined
from robustbench_aig.errors import InputError
from tests.cli.conftest import WHOLE, chunks_done
from tests.command import COMMAND, aigrob, aigrob_here, refused, start

pytestmark = pytest.mark.slow

TWO = ["--processes", "2", "--quiet"]


def evidence(report: Path) -> dict[str, object]:
    """Sample tables and images byte for byte, and report.json but for dates and what a clock said."""
    found: dict[str, object] = {
        str(path.relative_to(report)): path.read_bytes()
        for folder in ("samples", "images")
        for path in sorted((report / folder).iterdir())
    }
    content = json.loads((report / "report.json").read_text())
    for evaluation in content["evaluations"]:
        evaluation["cost"].pop("seconds")
        evaluation["compute"].pop("latency")
        evaluation["compute"].pop("pace")
    content["claims"] = [claim for claim in content["claims"] if claim["id"] != "saves-time"]
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


@pytest.mark.parametrize(("torchrun", "own"), [(2, 1), (1, 2)])
def test_several_processes_make_what_one_makes(
    torchrun: int, own: int, pair: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").symlink_to(pair)
    process = start_several(tmp_path, torchrun, *WHOLE, "--json", "--processes", str(own))
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


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=[pytest.mark.evidence, pytest.mark.timeout(1800)])])
def test_killed_at_random_moments_and_resumed_nothing_differs(
    kills: int, pair: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """kill -9 of all processes or of one; each time as many go on as come."""
    (tmp_path / "runs").symlink_to(pair)
    report, moments = tmp_path / "reports" / "whole", random.Random(kills)
    wanted = sorted(moments.sample(range(3, 55), kills))
    for number, chunks in enumerate(wanted):
        processes = (3, 2, 1)[number % 3]
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


def started(where: Path) -> tuple[subprocess.Popen[str], int]:
    """A command with one companion, which have done a chunk, and the companion's number."""
    process = start(where, *WHOLE, *TWO)
    while process.poll() is None and not chunks_done(where / "reports" / "whole"):
        time.sleep(0.002)
    (companion,) = children(process.pid)
    return process, companion


def runs(pid: int) -> bool:
    """Whether a process is there; one that is dead, but that nobody has asked after yet, isn't."""
    with suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGKILL])
def test_no_companion_outlives_its_leader(ended: signal.Signals, pair: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(pair)
    process, companion = started(tmp_path)
    process.send_signal(ended)
    stderr = end(process)[1]
    if ended == signal.SIGKILL:
        assert stderr == ""
    else:
        assert process.returncode == 3, stderr
        assert stderr.startswith("aigrob: interrupted; finished chunks are on disk, continue with: aigrob attack")
        assert stderr.endswith("--processes 2 --quiet --resume\n")
        assert stderr.count("aigrob: ") == 1
    until = time.monotonic() + 10
    while runs(companion) and time.monotonic() < until:
        time.sleep(0.01)
    assert not runs(companion)
    assert chunks_done(tmp_path / "reports" / "whole") < 20, "it went on with its 31 chunks"


def test_a_lost_companion_is_told_and_made_up_for(pair: Path, uninterrupted: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(pair)
    process, companion = started(tmp_path)
    os.kill(companion, signal.SIGKILL)
    stderr = end(process)[1]
    assert process.returncode == 2
    assert stderr == "aigrob: another process of this evaluation has ended; continue with --resume\n"
    assert 0 < chunks_done(tmp_path / "reports" / "whole") < 63
    result = aigrob_here(tmp_path, *WHOLE, "--resume")
    assert result.returncode == 0, result.stderr
    assert evidence(tmp_path / "reports" / "whole") == evidence(uninterrupted)


def test_torchrun_starts_the_processes_itself(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(aigrob_here(pair.parent, *WHOLE, *TWO), "--processes", "torchrun")


def test_cuda_takes_one_process_per_device_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(InputError, match="2 processes on a machine with 1 CUDA"), joined(torch.device("cuda")):
        pass
    monkeypatch.setenv("LOCAL_RANK", "1")
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(SystemExit, match="2"), joined(torch.device("cuda")):
        pass
    assert len(waits) == 1, "torchrun would have ended the leader before it could say why"


@pytest.mark.parametrize(("variable", "threads"), [(None, [8, 2, 1]), ("8", [8, 8, 8])])
def test_processes_share_the_threads(variable: str | None, threads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    before, found = torch.get_num_threads(), []
    for processes in (1, 3, 16):
        torch.set_num_threads(8)
        share_threads(processes)
        found.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert found == threads


def test_what_all_processes_refuse_is_told_once(
    pair: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_leader = "import os, time\nif os.environ.get('RANK') == '0': time.sleep(3)\n"
    (tmp_path / "sitecustomize.py").write_text(slow_leader)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "runs").symlink_to(pair)
    shutil.copytree(uninterrupted, tmp_path / "reports" / "whole")
    for torchrun, arguments, words in (
        (1, (*WHOLE, *TWO), "already contains this evaluation"),
        (2, (*WHOLE, "--quiet"), "already contains this evaluation"),
        (2, ("attack", "--eps", "8", "--quiet"), "did you mean 8/255?"),
    ):
        process = start_several(tmp_path, torchrun, *arguments)
        stdout, stderr = end(process)
        assert process.returncode != 0
        assert stdout == ""
        assert stderr.count("aigrob: ") == 1
        assert stderr.count(words) == 1
