"""A leaderboard as Markdown, as CSV, and as one HTML file that needs no network and no script."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from string import ascii_uppercase
from urllib.parse import quote

from robustbench_aig.reporting.leaderboard.records import Entry, Group, Images, Leaderboard, Standing
from robustbench_aig.reporting.series import family_colour
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
    """The leaderboard as HTML; a function of its argument. Its script sorts and filters; without it, all is shown."""
    return template("leaderboard.html").render(
        board=board,
        opened=board.first,
        title=lambda group: title(group, board),
        images=lambda group: images_title(group, board),
        kind=kind,
        kinds=sorted({kind(group) for group in board.groups}),
        threats=list(dict.fromkeys(threat_text(group.by) for group in board.groups)),
        families=sorted({entry.family for group in board.groups for entry in group.ranked}),
        met=met,
        lower=_lower,
        overlap=_overlap,
        colour=family_colour,
        report_name=report_name,
        upper_bound=UPPER_BOUND,
    )


def board_markdown(board: Leaderboard) -> str:
    """A table for each group, and one of what isn't ranked."""
    tables = [_ranked(group, board) for group in board.groups]
    left: list[tuple[Cell, ...]] = [
        (entry.model, entry.gate_policy, entry.reason or "", _link(entry)) for entry in board.unranked
    ]
    left += [(MISSING, MISSING, one.reason, one.report) for one in board.unread]
    if left:
        tables.append(Table("unranked", "Not ranked", ("model", "gates", "why", "report"), tuple(left), texts=4))
    return to_markdown(tables)


def _ranked(group: Group, board: Leaderboard) -> Table:
    head: tuple[str, ...] = ("", "model", "gates", "clean", threat_text(group.by), "MACs clean", "MACs attacked")
    lower = [_lower(entry) for entry in group.ranked if entry.lower]
    return Table(
        name="leaderboard",
        caption=f"{title(group, board)}: accuracy in % with 95 % intervals, by the worst case over attacks",
        head=(*head, "attacks", "checks", "more robust?", "date", "report"),
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
    """Of a table: `ε = 4/255 (L∞): deterministic networks, 7 attacks, 1000 images of cifar10 (test)`.

    With the images' digest where others of the board are called so, too, and a letter where other attacks are as many.
    """
    return f"{threat_text(group.by)}: {kind(group)} networks, {_attacks(group, board)}, {images_title(group, board)}"


def kind(group: Group) -> str:
    """Whether answers are drawn."""
    return "stochastic" if group.stochastic else "deterministic"


def images_title(group: Group, board: Leaderboard) -> str:
    """Which images: `1000 images of cifar10 (test)`, with their digest where others are called so, too."""
    alike = {other.digest for other in board.groups if _called(other) == _called(group)}
    name = f"{group.n} images of {group.name} ({group.split})"
    return f"{name}, {group.digest[:8]}" if len(alike) > 1 else name


def _attacks(group: Group, board: Leaderboard) -> str:
    """How many, with a letter where others are as many."""
    alike = [other for other in board.groups if _named(other) == _named(group)]
    which = f" ({ascii_uppercase[alike.index(group) % 26]})" if len(alike) > 1 else ""
    return f"{len(group.attacks)} attacks{which}"


def _named(group: Group) -> tuple[object, ...]:
    return group.images, group.by, group.stochastic, len(group.attacks)


def _called(images: Images) -> tuple[str, str, int]:
    return images.name, images.split, images.n


def _overlap(group: Group) -> str:
    """How sure the first place of several is, as far as intervals tell."""
    others = len(group.ranked) - 1
    if not group.overlapping:
        return "no other interval reaches its own"
    overlapped = "all" if group.overlapping == others else f"{group.overlapping} of {others}"
    return f"its interval overlaps {overlapped} others"


def _row(entry: Entry, group: Group) -> tuple[Cell, ...]:
    standing = entry.at(group.by)
    assert standing is not None
    of = (entry.model, entry.gate_policy)
    clean = accuracy_value((*of, "none", "clean"), entry.clean, "ok") if entry.clean else MISSING
    kept = accuracy_value((*of, str(group.by), "union"), standing.accuracy, "ok")
    numbers = [_macs(entry.clean_macs), _macs(standing.adversarial_macs), met(standing)]
    said = (entry.checks, entry.claim or MISSING)
    return (str(entry.rank), *of, clean, kept, *numbers, *said, entry.created[:10], _link(entry))


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
        for entry in group.ranked:
            writer.writerows(_lines(group, entry, entry.at(group.by)))
    for entry in board.unranked:
        known: list[Standing | None] = [*entry.standings]
        for at in known or [None]:
            writer.writerows(_lines(None, entry, at))
    return out.getvalue()


def _lines(group: Group | None, entry: Entry, at: Standing | None) -> Iterator[tuple[object, ...]]:
    """A network's numbers at one threat, or those on clean images where no worst case is known."""
    data = (*_called(entry.images), entry.images.digest, entry.stochastic, len(group.attacks) if group else None)
    network = (entry.rank, entry.reason, entry.model, entry.gate_policy, entry.defence, entry.weights_digest)
    of = (*data, *network, entry.checks, entry.claim, entry.created)
    under = (at.threat, len(at.attacks), at.cascade, at.report) if at else ("none", None, None, entry.report)
    if entry.clean:
        yield *of, *under, "clean_accuracy", entry.clean.value, entry.clean.low, entry.clean.high
        yield *of, *under, "clean_macs", entry.clean_macs, None, None
    if at:
        yield *of, *under, "accuracy", at.accuracy.value, at.accuracy.low, at.accuracy.high
        yield *of, *under, "adversarial_macs", at.adversarial_macs, None, None
