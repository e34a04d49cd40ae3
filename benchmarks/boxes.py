"""Parts of a long measurement, each a process in a time box; what is finished is kept, and a later call goes on.

It needs the standard library alone: it has to run, and to say what is missing, where nothing is installed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

State = Literal["done", "skipped", "failed", "timed out", "not reached"]

TAIL = 12
"""Lines kept of what a part printed before it failed or was cut."""

_GRACE = 3.0
"""Seconds between asking a part to stop, so that it can save, and ending it."""

_LEAST = 5.0
"""Seconds that must be left for a part to be begun."""


class Refused(Exception):
    """What keeps everything from being measured, in one line."""


@dataclass(frozen=True)
class Part:
    """One thing to measure.

    Attributes:
        name: of its files, too.
        command: prints one JSON document, its last line on stdout.
        box: seconds that it may take.
        needs: modules that it cannot run without.
        smaller: how it is smaller here than on a GPU; "" where it isn't.
    """

    name: str
    command: Sequence[str]
    box: float
    needs: Sequence[str] = ()
    smaller: str = ""


@dataclass
class Outcome:
    """What became of a part.

    Attributes:
        name: of the part.
        state: how it ended.
        command: as it was run.
        box: seconds that it was given, of which `seconds` were used.
        smaller: as the part's.
        reason: why it was skipped, cut, or not reached.
        tail: its last lines, where it failed or was cut.
        result: its JSON document.
        ended: when, in UTC.
    """

    name: str
    state: State
    command: list[str]
    box: float
    smaller: str = ""
    reason: str = ""
    seconds: float = 0.0
    tail: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    ended: str = ""


@dataclass
class Ledger:
    """Outcomes on disk, written after each part; another environment's are not gone on with.

    Attributes:
        path: of the JSON file.
        environment: where the parts are measured.
        outcomes: by name, in the order of the parts.
    """

    path: Path
    environment: dict[str, Any]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def load(self, parts: Iterable[Part]) -> None:
        """Take over what an earlier call left of the same parts in the same environment."""
        kept: dict[str, Outcome] = {}
        if self.path.exists():
            try:
                found = json.loads(self.path.read_text())
                if found["environment"] == self.environment:
                    kept = {each["name"]: Outcome(**each) for each in found["parts"]}
            except (ValueError, KeyError, TypeError):
                raise Refused(f"{self.path} is damaged: remove it, or choose another OUT") from None
        for part in parts:
            old = kept.get(part.name)
            fits = old is not None and old.command == list(part.command)
            self.outcomes[part.name] = old if old is not None and fits else _untouched(part)

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome, and write all of them, whole or not at all."""
        self.outcomes[outcome.name] = outcome
        document = {"environment": self.environment, "parts": [asdict(each) for each in self.outcomes.values()]}
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(document, indent=1) + "\n")
        partial.replace(self.path)


def run_parts(
    parts: Sequence[Part],
    ledger: Ledger,
    folder: Path,
    *,
    seconds: float,
    missing: Callable[[Sequence[str]], list[str]],
    told: Callable[[Outcome], object] = lambda _: None,
    environ: dict[str, str] | None = None,
) -> None:
    """Run what isn't done yet: first what was never begun, then what failed, then what was cut.

    A part gets its box, and as much again of what the parts after it can spare: what hangs isn't to take all.

    Args:
        parts: in the order in which they count.
        ledger: loaded.
        folder: for what the parts print.
        seconds: that all of it may take.
        missing: which of some modules aren't here.
        told: of each outcome.
        environ: of the processes.

    Raises:
        KeyboardInterrupt: after the part under way was ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    order: list[State] = ["not reached", "skipped", "failed", "timed out"]
    left = [part for part in parts if ledger.outcomes[part.name].state != "done"]
    left.sort(key=lambda part: order.index(ledger.outcomes[part.name].state))
    for number, part in enumerate(left):
        lacking, room = missing(part.needs), end - time.monotonic() - _GRACE
        spare = room - sum(later.box for later in left[number + 1 :])
        if lacking:
            outcome = _untouched(part)
            outcome.state, outcome.reason = "skipped", f"not installed here: {', '.join(lacking)}"
        elif room < _LEAST and ledger.outcomes[part.name].state != "not reached":
            continue
        elif room < _LEAST:
            outcome = _untouched(part)
        else:
            outcome = run_part(part, folder, min(max(part.box, min(spare, 2 * part.box)), room), environ)
        ledger.put(outcome)
        told(outcome)


def run_part(part: Part, folder: Path, box: float, environ: dict[str, str] | None = None) -> Outcome:
    """Run one part as a process group of its own, of which nothing is left afterwards."""
    out, err = folder / f"{part.name}.out", folder / f"{part.name}.err"
    outcome = Outcome(part.name, "failed", list(part.command), round(box, 1), part.smaller)
    started = time.monotonic()
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            part.command, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, env=environ, start_new_session=True
        )
        try:
            code: int | None = process.wait(box)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    outcome.seconds = round(time.monotonic() - started, 1)
    outcome.ended = datetime.now(UTC).isoformat(timespec="seconds")
    printed = out.read_text(errors="replace").splitlines()
    outcome.result = _document(printed)
    skipped = outcome.result and outcome.result.get("skipped")
    if code is None:
        outcome.state, outcome.reason = "timed out", f"cut after {box:.0f} s"
    elif code != 0:
        outcome.reason = f"exit status {code}"
    elif outcome.result is None:
        outcome.reason = "printed no JSON document"
    else:
        outcome.state, outcome.reason = ("skipped", str(skipped)) if skipped else ("done", "")
    if outcome.state in ("failed", "timed out"):
        outcome.tail = [*printed[-TAIL:], *err.read_text(errors="replace").splitlines()[-TAIL:]]
    return outcome


def _untouched(part: Part) -> Outcome:
    return Outcome(
        part.name, "not reached", list(part.command), part.box, part.smaller, "no time was left; the next call goes on"
    )


def _document(printed: Sequence[str]) -> dict[str, Any] | None:
    """What a part printed last, where that is a JSON object; {"skipped": reason} where it found nothing to do."""
    try:
        found = json.loads(printed[-1] if printed else "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part and all that it started."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
