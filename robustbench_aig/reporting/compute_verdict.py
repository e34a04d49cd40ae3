"""What attackers can do to the compute: the strongest of those that raise it, beside one that keeps the predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.records import Evaluation, Plan, Report
from robustbench_aig.reporting.raised_compute import Raised, raised
from robustbench_aig.reporting.series import Series, first_norm
from robustbench_aig.reporting.words import number, percent, threat_text


class Forced(NamedTuple):
    """The compute that attacks force on a series whose gates choose, at the largest epsilon of the first norm."""

    series: Series
    by: Raised

    @property
    def sentence(self) -> str:
        """The answer to whether an attacker makes the network slower."""
        most, kept, noise = self.by
        beside = [f"{_raised(kept)} without changing any predicted class"] if kept else []
        beside += [f"{_raised(noise)} by random-sign noise of the same ε"] if noise else []
        saved = self.by.compute.recovered is not None
        of = " of the compute that it skips on clean images" if saved else " compute"
        start = f"At {threat_text(most.threat)} an attack makes {self.series.phrase} execute {_raised(most)}"
        besides = f" ({', '.join(beside)})" if beside else ""
        return f"{start}{of}{besides}. {self._clock}"

    @property
    def _clock(self) -> str:
        clock = self.by.compute.latency
        if clock is None:
            return "The time was not measured."
        ratio, low, high = (number(value, 2) for value in (clock.ratio, clock.low, clock.high))
        return f"Measured with closed blocks skipped, it takes {ratio} [{low}, {high}] times as long."


def forced(report: Report, plan: Plan, series: Sequence[Series]) -> list[Forced]:
    """For each series that chooses, where an attack on the compute is finished."""
    planned = {e.id: e for e in plan.evaluations}
    found = []
    for one in (one for one in series if one.chooses):
        mine = [e for e in report.evaluations if (e.model, e.gate_policy) == (one.model, one.policy)]
        by = [raised(mine, planned, threat) for threat in reversed(first_norm(report))]
        found += [Forced(one, most) for most in [next(filter(None, by), None)] if most]
    return found


def _raised(evaluation: Evaluation) -> str:
    """Share of the saving that is undone, or the change where nothing was saved."""
    compute = evaluation.compute
    assert compute is not None
    if compute.recovered is None:
        return f"{percent(compute.change)} more"
    return percent(compute.recovered)
