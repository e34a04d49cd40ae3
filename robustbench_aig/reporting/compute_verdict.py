"""What attackers can do to the compute: the strongest of those that raise it, beside one that keeps the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.records import Evaluation, Plan, Report
from robustbench_aig.reporting.series import Series, threats
from robustbench_aig.reporting.words import number, percent, threat_text


class Forced(NamedTuple):
    """The compute that attacks force on a series at the largest epsilon of the first norm.

    Attributes:
        series: whose gates choose.
        most: the attack that raises the compute most.
        kept: the same of those that keep every predicted class; None where none ran.
        noise: random-sign noise of the same ball; None where it wasn't run.
    """

    series: Series
    most: Evaluation
    kept: Evaluation | None
    noise: Evaluation | None

    @property
    def sentence(self) -> str:
        """The answer to whether an attacker makes the network slower."""
        beside = [f"{_raised(self.kept)} without changing any predicted class"] if self.kept else []
        beside += [f"{_raised(self.noise)} by random-sign noise of the same ε"] if self.noise else []
        compute = self.most.compute
        saved = compute is not None and compute.recovered is not None
        of = " of the compute that it skips on clean images" if saved else " compute"
        start = f"At {threat_text(self.most.threat)} an attack makes {self.series.phrase} execute {_raised(self.most)}"
        besides = f" ({', '.join(beside)})" if beside else ""
        return f"{start}{of}{besides}. {self._clock}"

    @property
    def _clock(self) -> str:
        clock = self.most.compute.latency if self.most.compute else None
        if clock is None:
            return "The time was not measured."
        ratio, low, high = (number(value, 2) for value in (clock.ratio, clock.low, clock.high))
        return f"Measured with closed blocks skipped, it takes {ratio} [{low}, {high}] times as long."


def forced(report: Report, plan: Plan, series: Sequence[Series]) -> list[Forced]:
    """For each series that chooses, where an attack on the compute is finished."""
    planned = {e.id: e for e in plan.evaluations}
    found = []
    for one in series:
        mine = [e for e in report.evaluations if (e.model, e.gate_policy) == (one.model, one.policy) and e.compute]
        raising = [e for e in mine if planned[e.id].raises_compute]
        at = [threat for threat in threats(report) if threat in {e.threat for e in raising}]
        if not (one.chooses and at):
            continue
        largest = max((threat for threat in at if threat.norm == at[0].norm), key=lambda threat: threat.value)
        ups = [e for e in raising if e.threat == largest]
        kept = [e for e in ups if planned[e.id].keeps_prediction]
        noise = (e for e in mine if e.threat == largest and planned[e.id].algorithm == "corners")
        most = max(ups, key=_change)
        found.append(Forced(one, most, max(kept, key=_change, default=None), next(noise, None)))
    return found


def _change(evaluation: Evaluation) -> float:
    """Compute gained; an attack that failed on some images comes last."""
    ok = evaluation.status == "ok" and evaluation.compute
    return evaluation.compute.change if ok and evaluation.compute else float("-inf")


def _raised(evaluation: Evaluation) -> str:
    """Share of the saving that is undone, or the change where nothing was saved."""
    compute = evaluation.compute
    assert compute is not None
    if compute.recovered is None:
        return f"{percent(compute.change)} more"
    return percent(compute.recovered)
