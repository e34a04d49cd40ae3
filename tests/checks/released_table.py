"""The table of docs/checks.md from the documents that `make evidence` leaves: python -m tests.checks.released_table."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from robustbench_aig.records import Checkup, FindingRecord

DOCUMENTS = Path(__file__).parents[2] / "reports" / "checks"

_STATUSES = ("pass", "warn", "fail", "n/a")
_FAMILIES = {"resnet20": "plain", "aig20-choosing": "choosing", "aig20": "gated", "sd20": "stochastic depth"}


def table(checkups: Iterable[Checkup]) -> str:
    """A row per check, a column per kind of network and policy; what no network showed takes a row together."""
    columns: dict[str, list[Checkup]] = defaultdict(list)
    for checkup in sorted(checkups, key=_order):
        columns[_column(checkup)].append(checkup)
    names = [finding.check for finding in next(iter(columns.values()))[0].findings]
    cells = {name: [_cell([_of(checkup, name) for checkup in column]) for column in columns.values()] for name in names}
    clear = [name for name, row in cells.items() if set(row) <= {_CLEAR, "–"}]
    rows = [[f"`{name}`", *cells[name]] for name in names if name not in clear]
    head = ["check", *(f"{name} ({len(column)})" for name, column in columns.items())]
    lines = [head, ["---"] * len(head), *rows]
    everywhere = ", ".join(f"`{name}`" for name in clear)
    return (
        "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + f"\n\nNo image, and a pass wherever there was something to ask: {everywhere}."
    )


_CLEAR = "0 pass"


def _order(checkup: Checkup) -> tuple[int, str]:
    """Plain networks first; adversarial training after none."""
    column = _column(checkup)
    return list(_FAMILIES.values()).index(column.partition(",")[0]), column.replace(", adversarial", "~")


def _column(checkup: Checkup) -> str:
    """The kind of network, how it was trained, and its policy."""
    found = re.search(rf"jpeg-({'|'.join(_FAMILIES)})(?:-short|-init)(-fast)?-s", checkup.run)
    assert found, checkup.run
    gates = "" if checkup.policy == "none" else f", {checkup.policy}"
    return f"{_FAMILIES[found[1]]}{', adversarial' if found[2] else ''}{gates}"


def _of(checkup: Checkup, name: str) -> FindingRecord:
    return next(finding for finding in checkup.findings if finding.check == name)


def _cell(findings: Sequence[FindingRecord]) -> str:
    """Images that show the defect, of those that were looked at, over the networks; and what was said."""
    asked = [finding for finding in findings if finding.n]
    if not asked:
        return "–"
    counts, sizes = ([getattr(finding, field) for finding in asked] for field in ("count", "n"))
    if not any(counts) and {finding.status for finding in findings} == {"pass"}:
        return _CLEAR
    statuses = Counter[str](finding.status for finding in asked)
    each = [f"{statuses[status]} {status}" for status in _STATUSES if statuses[status]]
    said = ", ".join(each) if len(each) > 1 else next(iter(statuses))
    return f"{_range(counts)} of {_range(sizes)}{':' if len(statuses) > 1 else ''} {said}"


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)}–{max(values)}"


if __name__ == "__main__":
    found = (Checkup.model_validate_json(path.read_text()) for path in sorted(DOCUMENTS.glob("*.json")))
    sys.stdout.write(f"{table(found)}\n")
