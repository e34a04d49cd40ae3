"""A leaderboard as Markdown, as CSV, and as one HTML file that needs no network and no script."""

from __future__ import annotations

import csv
import io
from pathlib import PurePosixPath
from string import ascii_uppercase
from urllib.parse import quote

from robustbench_aig.reporting.leaderboard.records import Entry, Group, Leaderboard, Standing
from robustbench_aig.reporting.tables.markdown import to_markdown
from robustbench_aig.reporting.tables.table import MISSING, Cell, Link, Table, accuracy_value
from robustbench_aig.reporting.templating import template
from robustbench_aig.reporting.words import accuracy_text, macs, threat_text

COLUMNS = (
    *("data", "split", "n", "data_digest", "stochastic", "compared_by", "rank", "reason", "model", "policy", "defence"),
    *("weights_digest", "checks", "claim", "created", "threat", "attacks", "cascade", "report"),
    *("quantity", "value", "low", "high"),
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
        met=met,
        lower=_lower,
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
    head = (*head, "checks", "more robust?")
    by = f"worst case over attacks at {threat_text(group.by)}" if group.by else ""
    lower = [_lower(entry) for entry in group.ranked if entry.lower]
    return Table(
        name="leaderboard",
        caption=f"{title(group, board)}: accuracy in % with 95 % intervals, by the {by}",
        head=(*head, "date", "report"),
        rows=tuple(_row(entry, group) for entry in group.ranked),
        texts=3,
        notes=(*lower, UPPER_BOUND),
    )


def _lower(entry: Entry) -> str:
    assert entry.lower is not None
    where = PurePosixPath(entry.lower.report).parent.name
    return (
        f"{entry.model} ({entry.gate_policy}) has {accuracy_text(entry.lower.accuracy)} under another list of attacks, "
        f"of which {met(entry.lower)} apply to it, in {where}."
    )


def title(group: Group, board: Leaderboard) -> str:
    """Which networks on which images: `Deterministic networks under 7 attacks, 1000 images of cifar10 (test)`.

    With the images' digest where others of the board are called so, too, and a letter where other attacks are as many.
    """
    name = f"{group.n} images of {group.name} ({group.split})"
    ranked = [g for g in board.groups if g.ranked]
    images = {g.digest for g in ranked if (g.n, g.name, g.split) == (group.n, group.name, group.split)}
    name = f"{name}, {group.digest[:8]}" if len(images) > 1 else name
    kind = "Stochastic" if group.stochastic else "Deterministic"
    alike = [g for g in ranked if _named(g) == _named(group)]
    which = f" ({ascii_uppercase[alike.index(group) % 26]})" if len(alike) > 1 else ""
    return f"{kind} networks under {len(group.attacks)} attacks{which}, {name}"


def _named(group: Group) -> tuple[object, ...]:
    return group.name, group.split, group.n, group.digest, group.stochastic, len(group.attacks)


def _row(entry: Entry, group: Group) -> tuple[Cell, ...]:
    standing = entry.at(group.by)
    assert standing is not None
    of = (entry.model, entry.gate_policy)
    clean = accuracy_value((*of, "none", "clean"), entry.clean, "ok") if entry.clean else MISSING
    found = [entry.at(threat) for threat in group.threats]
    kept = [accuracy_value((*of, str(at.threat), "union"), at.accuracy, "ok") if at else MISSING for at in found]
    numbers = [_macs(entry.clean_macs), _macs(standing.adversarial_macs), met(standing)]
    said = (entry.checks, entry.claim or MISSING)
    return (str(entry.rank), *of, clean, *kept, *numbers, *said, entry.created[:10], _link(entry))


def met(standing: Standing) -> str:
    """How many attacks applied to a network, and whether they were a cascade."""
    return f"{len(standing.attacks)} ({CASCADE})" if standing.cascade else str(len(standing.attacks))


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
    data = (group.name, group.split, group.n, group.digest, entry.stochastic, len(group.attacks))
    network = (entry.rank, entry.reason, entry.model, entry.gate_policy, entry.defence, entry.weights_digest)
    of = (*data, *network, entry.checks, entry.claim, entry.created)
    clean = (*of, "none", None, None, entry.report)
    lines: list[tuple[object, ...]] = []
    if entry.clean:
        lines.append((*clean, "accuracy", entry.clean.value, entry.clean.low, entry.clean.high))
        lines.append((*clean, "clean_macs", entry.clean_macs, None, None))
    for one in entry.standings:
        under = (*of, one.threat, len(one.attacks), one.cascade, one.report)
        lines.append((*under, "accuracy", one.accuracy.value, one.accuracy.low, one.accuracy.high))
        lines.append((*under, "adversarial_macs", one.adversarial_macs, None, None))
    return lines
