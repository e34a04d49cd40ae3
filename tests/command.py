"""The command line as a user types it, in a process of its own or in this one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from robustbench_aig.cli.app import app

COMMAND = [sys.executable, "-m", "robustbench_aig.cli"]


def start(where: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command that a test may kill, also by Ctrl-C, which a job in a shell's background would ignore."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=where,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - it sets a handler, no more
    )


def aigrob(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command from start to end."""
    return subprocess.run([*COMMAND, *arguments], cwd=where, capture_output=True, text=True, check=False)


def aigrob_here(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, which spares the imports."""
    before = Path.cwd()
    os.chdir(where)
    try:
        result = CliRunner().invoke(app, arguments)
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def words_of(line: str) -> list[str]:
    """A command line of ours as bash takes it apart, without `aigrob`."""
    script = f"aigrob() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert not told.stderr, told.stderr
    return told.stdout.split("\0")[:-1]


def as_printed(where: Path, line: str) -> subprocess.CompletedProcess[str]:
    """What comes of a command line that was printed, in this process."""
    return aigrob_here(where, *words_of(line))


def printed(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The command lines that a command says to go on with."""
    lines = (line.strip() for line in (result.stdout + result.stderr).splitlines())
    return [line.removeprefix("next:").strip() for line in lines if line.startswith("next:")]


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit 2 and one line on stderr that has the words."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("aigrob: ")
    for word in words:
        assert word in lines[0], lines[0]
