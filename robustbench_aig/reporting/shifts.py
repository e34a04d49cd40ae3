"""How far gates moved, as one table: models over quantities, epsilons over the attack and its two controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from robustbench_aig.records import ClassPart, Evaluation, Excess, GateMoves, GateStratum, Report
from robustbench_aig.reporting import words
from robustbench_aig.reporting.series import Series, headline, threats
from robustbench_aig.threat import Threat

SIDES = ("attacked", "random-sign noise", "shuffled")


class Cell(NamedTuple):
    """A number, and what stands beside it: its interval, how many images it is over, or its value on clean images."""

    text: str
    beside: str = ""


Three = tuple[Cell | None, Cell | None, Cell | None]
"""What a quantity is for the attacked images and under the two controls; None where there is nothing to say."""


class Shown(NamedTuple):
    """The strata of an evaluation by their names, and its gates' names."""

    strata: dict[str, GateStratum]
    gates: list[str]


Reader = Callable[[Shown], Three]


class Quantity(NamedTuple):
    """A row of the table: its name, what it means to a newcomer, and how it's read off an evaluation's strata."""

    name: str
    meaning: str
    read: Reader


class Line(NamedTuple):
    """A row for one model: three cells for each epsilon."""

    quantity: Quantity
    cells: list[Three]


class Block(NamedTuple):
    """The rows of one model under one policy, and the attack behind each epsilon; None where none finished."""

    series: Series
    evaluations: list[Evaluation | None]
    lines: list[Line]

    @property
    def unrecorded(self) -> bool:
        """Whether the sample table of an attack is older than the columns that shifts are made from."""
        return any(e is not None and shift_of(e) is None for e in self.evaluations)


def blocks(report: Report, series: list[Series]) -> list[Block]:
    """One per gated model and policy whose gates an attack can move."""
    found = []
    for one in series:
        strongest = [_strongest(report, one, threat) for threat in threats(report)]
        if one.chooses and any(e is not None for e in strongest):
            by_threat = [_shown(e) for e in strongest]
            lines = [Line(q, [q.read(shown) for shown in by_threat]) for q in QUANTITIES]
            found.append(Block(one, strongest, lines))
    return found


def shift_of(evaluation: Evaluation) -> float | None:
    """The corrected shift over all images; None where the sample table is too old to tell."""
    strata = evaluation.gates.strata if evaluation.gates else []
    return strata[0].attacked.shift if strata else None


def _strongest(report: Report, series: Series, threat: Threat) -> Evaluation | None:
    """The attack of the union that cost a series most at one epsilon, of those that measured any image."""
    at = [e for e in report.evaluations if e.threat == threat and e.gates is not None]
    return headline(at, series.model, series.policy)


def _shown(evaluation: Evaluation | None) -> Shown:
    gates = evaluation.gates if evaluation else None
    if gates is None:
        return Shown({}, [])
    return Shown({s.name: s for s in gates.strata if s.by != "class"}, [shift.gate for shift in gates.per_gate])


def _of(stratum: str, text: Callable[[GateMoves], str | None]) -> Reader:
    """Read one number of a stratum, where that has any image."""

    def read(shown: Shown) -> Three:
        found = shown.strata.get(stratum)
        if found is None:
            return None, None, None
        attacked, corners, permuted = (
            _cell(None if moves is None else text(moves)) for moves in (found.attacked, found.corners, found.permuted)
        )
        return attacked, corners, permuted

    return read


def _cell(text: str | None, beside: str = "") -> Cell | None:
    return None if text is None else Cell(text, beside)


def _part(text: Callable[[ClassPart], str | None]) -> Reader:
    return _of("fooled", lambda moves: None if moves.class_part is None else text(moves.class_part))


def _explained(shown: Shown) -> Three:
    attacked, corners, permuted = _part(lambda part: None if part.share is None else words.percent(part.share))(shown)
    part = shown.strata["fooled"].attacked.class_part if attacked else None
    return attacked and attacked._replace(beside=_images(part.n) if part else ""), corners, permuted


def _flips(stratum: str) -> Reader:
    def read(shown: Shown) -> Three:
        attacked, corners, permuted = _of(stratum, lambda moves: words.percent(moves.flip_rate))(shown)
        return attacked and attacked._replace(beside=_images(shown.strata[stratum].attacked.n)), corners, permuted

    return read


def _largest(shown: Shown) -> Three:
    """With the interval beside it: it may be the largest by luck."""
    found = shown.strata.get("all")
    if found is None:
        return None, None, None
    attacked, corners, permuted = (
        _of_gate(moves, shown.gates) for moves in (found.attacked, found.corners, found.permuted)
    )
    return attacked, corners, permuted


def _of_gate(moves: GateMoves | None, gates: list[str]) -> Cell | None:
    if moves is None or moves.largest is None:
        return None
    one = moves.largest
    return Cell(words.percent(one.value), f"gate {gates[one.gate]}, {words.bracket(one.low, one.high)}")


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _paths(shown: Shown) -> Three:
    attacked, corners, permuted = _of("all", lambda moves: str(moves.paths))(shown)
    return attacked and attacked._replace(beside=f"clean: {shown.strata['all'].clean_paths}"), corners, permuted


def _beyond(shown: Shown) -> Three:
    found = shown.strata.get("all")
    if found is None:
        return None, None, None
    return None, _excess(found.beyond_corners), _excess(found.beyond_permuted)


def _excess(excess: Excess | None) -> Cell | None:
    if excess is None:
        return None
    low, high = (words.number(end, 3) for end in (excess.low, excess.high))
    return Cell(words.number(excess.value, 3), f"[{low},{words.NBSP}{high}]")


def _number(value: float | None) -> str | None:
    return None if value is None else words.number(value, 3)


QUANTITIES = (
    Quantity(
        "Decisions changed",
        "share of gate decisions that differ from those on the clean image, with the same noise in both",
        _flips("all"),
    ),
    Quantity(
        "… of the gate that moves most",
        "share of images for which the most affected gate changes its decision. The 95 % interval "
        "is for the largest share, whichever gate has it. The mean over many constant gates hides such a gate",
        _largest,
    ),
    Quantity(
        "… of fooled images",
        "the same over images that are classified right when clean and misclassified under attack; the controls are "
        "over the same images",
        _flips("fooled"),
    ),
    Quantity("… of robust images", "classified right both when clean and under attack", _flips("held")),
    Quantity("… of already misclassified images", "misclassified when clean", _flips("already wrong")),
    Quantity(
        "Shift",
        "squared change of each gate's open probability, summed over gates; corrected, so that two draws for one image "
        "count as no shift. Deterministic gates have such a probability, too: they are open from 50 % on",
        _of("all", lambda moves: _number(moves.shift)),
    ),
    Quantity(
        "… beyond the control",
        "the shift under the attack minus that under the control on the same images, with a 95 % interval over images; "
        "above 0, the attack moves gates further than the control",
        _beyond,
    ),
    Quantity(
        "Divergence per gate",
        "Jensen-Shannon divergence in bits: 0 if a gate is open as often as before, 1 if it goes from always to never",
        _of("all", lambda moves: _number(moves.divergence)),
    ),
    Quantity(
        "Overlap of paths",
        "number of blocks executed in both passes over number executed in either (Jaccard index): 1 is the same path",
        _of("all", lambda moves: _number(moves.overlap)),
    ),
    Quantity(
        "Distinct paths",
        "number of different paths over all images, one draw each; beside it the number on clean images",
        _paths,
    ),
    Quantity(
        "Explained by the class",
        "share of the shift of fooled images that points from the mean gates of their class to those of the class "
        "that is predicted under attack, where these differ. Any change has such a part by chance: compare with "
        "the controls",
        _explained,
    ),
    Quantity(
        "Fraction of that way",
        "0: the gates did not move in that direction; 1: they reached the other class's mean gates",
        _part(lambda part: words.number(part.alpha, 2)),
    ),
    Quantity(
        "Rest of the shift",
        "the part of the shift of these images that does not point in that direction",
        _part(lambda part: words.number(part.residual, 3)),
    ),
)
