"""Whether gates look at the image, in words."""

from __future__ import annotations

from robustbench_aig.records import Dependence, Report
from robustbench_aig.reporting.series import Series
from robustbench_aig.reporting.words import bracket, percent

_HARDLY = "The gates depend little on the image, so an attack has little to change."


def looking(report: Report, series: list[Series]) -> list[str]:
    """What is known of every network and policy that chooses blocks by the image."""
    found = {(e.model, e.gate_policy): e.gates.dependence for e in report.evaluations if e.role == "clean" and e.gates}
    known = [(one, found.get((one.model, one.policy))) for one in series if one.chooses]
    return [f"In {one.phrase}, {dependence_text(dependence)}" for one, dependence in known if dependence]


def dependence_text(of: Dependence) -> str:
    """How many gates decide by the image, what it explains, and how many paths there are."""
    unclear = f" ({of.unclear} more cannot be decided with so few images)" if of.unclear else ""
    found = [f"{counted(of)} decide{'s' * (of.deciding == 1)} by the image{unclear}"]
    if of.explained and of.explained.low < 1:
        share = f"{percent(of.explained.value)} {bracket(of.explained.low, of.explained.high)}"
        found.append(f"the image explains {share} of the variance of all decisions")
    found.append(f"{of.n} images take {of.paths} path{'s' * (of.paths > 1)}")
    return f"{'; '.join(found)}.{' ' + _HARDLY if of.looks is False else ''}"


def counted(of: Dependence) -> str:
    """`2 of 9 gates`."""
    return f"{of.deciding} of {len(of.gates)} gates"
