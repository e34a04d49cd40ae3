"""A leaderboard as Markdown, as CSV, and as one HTML file that needs no network and no script."""

from __future__ import annotations

import csv
import io
from pathlib import PurePosixPath
from urllib.parse import quote

from robustbench_aig.reporting.leaderboard.records import Entry, Group, Leaderboard, Standing
from robustbench_aig.reporting.tables.markdown import to_markdown
from robustbench_aig.reporting.tables.table import MISSING, Cell, Link, Table, accuracy_value
from robustbench_aig.reporting.templating import template
from robustbench_aig.reporting.words import macs, threat_text

COLUMNS = (
    *("data", "split", "n", "data_digest", "rank", "reason", "model", "policy", "defence", "weights_digest", "report"),
    *("created", "threat", "attacks", "cascade", "quantity", "value", "low", "high"),
)
UPPER_BOUND = (
    "The worst case over attacks (per-image union) is an upper bound, which more attacks may lower. Networks whose "
    "intervals overlap may not differ; a paired comparison on the same images is more precise (aigrob compare)."
)
CASCADE = "cascade"


def board_page(board: Leaderboard) -> str:
    """The leaderboard as HTML; a function of its argument."""
    return template("leaderboard.html").render(
        board=board,
        ranked=[group for group in board.groups if group.ranked],
        unranked=[entry for group in board.groups for entry in group.unranked],
        title=lambda group: title(group, board),
        report_name=report_name,
        upper_bound=UPPER_BOUND,
    )


def board_markdown(board: Leaderboard) -> str:
    """A table for each group, and one of what isn't ranked."""
    tables = [_ranked(group, board) for group in board.groups if group.ranked]
    left: list[tuple[Cell, ...]] = [
        (entry.model, entry.gate_policy, entry.reason or "", _link(entry))
        for group in board.groups
        for entry in group.unranked
    ]
    left += [(MISSING, MISSING, one.reason, one.report) for one in board.unread]
    if left:
        tables.append(Table("unranked", "Not ranked", ("model", "gates", "why", "report"), tuple(left), texts=4))
    return to_markdown(tables)


def _ranked(group: Group, board: Leaderboard) -> Table:
    head = ("", "model", "gates", "clean", *map(threat_text, group.threats), "MACs clean", "MACs attacked", "attacks")
    by = f"worst case over attacks at {threat_text(group.by)}" if group.by else ""
    return Table(
        name="leaderboard",
        caption=f"{title(group, board)}: accuracy in % with 95 % intervals, by the {by}",
        head=(*head, "date", "report"),
        rows=tuple(_row(entry, group) for entry in group.ranked),
        texts=3,
        notes=(UPPER_BOUND,),
    )


def title(group: Group, board: Leaderboard) -> str:
    """Which images: `1000 images of cifar10 (test)`; with their digest where others of the board are called so, too."""
    name = f"{group.n} images of {group.name} ({group.split})"
    alike = [g for g in board.groups if (g.n, g.name, g.split) == (group.n, group.name, group.split)]
    return f"{name}, {group.digest[:8]}" if len(alike) > 1 else name


def _row(entry: Entry, group: Group) -> tuple[Cell, ...]:
    standing = entry.at(group.by)
    assert standing is not None
    of = (entry.model, entry.gate_policy)
    clean = accuracy_value((*of, "none", "clean"), entry.clean, "ok") if entry.clean else MISSING
    found = [entry.at(threat) for threat in group.threats]
    kept = [accuracy_value((*of, str(at.threat), "union"), at.accuracy, "ok") if at else MISSING for at in found]
    numbers = [_macs(standing.clean_macs), _macs(standing.adversarial_macs), attacks_text(standing)]
    return (str(entry.rank), *of, clean, *kept, *numbers, entry.created[:10], _link(entry))


def attacks_text(standing: Standing) -> str:
    """How many attacks, and whether they were a cascade."""
    return f"{standing.attacks} ({CASCADE})" if standing.cascade else str(standing.attacks)


def _macs(value: float | None) -> str:
    return MISSING if value is None else macs(value)


def _link(entry: Entry) -> Link:
    return Link(report_name(entry), quote(entry.page))


def report_name(entry: Entry) -> str:
    """The folder of its report."""
    return PurePosixPath(entry.report).parent.name or "report"


def board_csv(board: Leaderboard) -> str:
    """Tidy: a line for each number, exact. What isn't ranked is there, too, with the reason."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for group in board.groups:
        for entry in (*group.ranked, *group.unranked):
            writer.writerows(_lines(group, entry))
    return out.getvalue()


def _lines(group: Group, entry: Entry) -> list[tuple[object, ...]]:
    data = (group.name, group.split, group.n, group.digest, entry.rank, entry.reason)
    of = (*data, entry.model, entry.gate_policy, entry.defence, entry.weights_digest, entry.report, entry.created)
    lines: list[tuple[object, ...]] = []
    if entry.clean:
        lines.append((*of, "none", None, None, "accuracy", entry.clean.value, entry.clean.low, entry.clean.high))
    for one in entry.standings:
        under = (*of, one.threat, one.attacks, one.cascade)
        lines.append((*under, "accuracy", one.accuracy.value, one.accuracy.low, one.accuracy.high))
        lines.append((*under, "clean_macs", one.clean_macs, None, None))
        lines.append((*under, "adversarial_macs", one.adversarial_macs, None, None))
    return lines
