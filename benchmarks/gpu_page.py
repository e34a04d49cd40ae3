"""The page of `make gpu`: where it was measured, what became of every part, and the figures of those that are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.boxes import Outcome

_DRY = (
    "A dry run on a CPU: it shows that the parts run. Its figures say nothing of a GPU, and the parts are smaller "
    "where the table says so."
)


def page(device: str, environment: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Markdown."""
    where = environment["device"]
    blocks = [
        f"# make gpu on {where}",
        *([_DRY] if device == "cpu" else []),
        _table(["", ""], [[key, f"{value}"] for key, value in environment.items()]),
        "## Parts",
        _table(
            ["part", "state", "seconds", "box", "why", "smaller here"],
            [
                [each.name, each.state, f"{each.seconds:.0f}", f"{each.box:.0f}", each.reason, each.smaller]
                for each in outcomes
            ],
        ),
        *(block for each in outcomes for block in _part(each)),
    ]
    return "\n\n".join(blocks) + "\n"


def _part(outcome: Outcome) -> list[str]:
    """The figures of a part that is done, or the last lines of one that failed or was cut."""
    figures = _figures(outcome.result) if outcome.result else []
    if not figures and not outcome.tail:
        return []
    command = " ".join(["python", *outcome.command[1:]])
    tail = [_fenced(outcome.tail)] if outcome.tail else []
    return [f"### {outcome.name}", f"`{command}`", *figures, *tail]


def _figures(result: dict[str, Any]) -> list[str]:
    """What a document of `aigrob bench`, of the epochs or of the tests says, each by its keys."""
    if "models" in result:
        return [_bench(part) for part in result["models"]]
    rows = [[key, _number(value)] for key, value in result.items() if key != "skipped" and value is not None]
    return [_table(["", ""], rows)] if rows else []


def _bench(part: dict[str, Any]) -> str:
    """One network: images per second of each way, and every ratio with its interval."""
    speeds = [[f"images/s, {name}", f"{value:,.0f}"] for name, value in part["images_per_second"].items()]
    ratios = []
    for key, value in part.items():
        if not key.startswith("ratio_to_") or value is None:
            continue
        several = value if "median" not in value else {"": value}
        for kind, one in several.items():
            name = " ".join(filter(None, (key.replace("_", " "), kind)))
            ratios.append([name, f"{one['median']:.2f} ({one['low']:.2f} – {one['high']:.2f})"])
    head = f"{part['model']}, batch {part['batch']}, {part['pairs']} pairs"
    return _table([head, ""], [*speeds, *ratios])


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, list):
        return ", ".join(map(_number, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(one)}" for key, one in value.items())
    return f"{value}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _fenced(lines: Sequence[str]) -> str:
    return "\n".join(["````text", *(line.replace("````", "'''") for line in lines), "````"])
