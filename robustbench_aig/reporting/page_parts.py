"""What a report's page puts together of several records: verdicts, what gates did, and charts of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from robustbench_aig.norms import BALLS
from robustbench_aig.policy_traits import traits
from robustbench_aig.records import Accuracy, Comparison, Evaluation, EvaluationPlan, ModelRecord, Plan, Report
from robustbench_aig.reporting import charts, words
from robustbench_aig.reporting.attack_labels import AttackLabels
from robustbench_aig.reporting.claims.groups import groups
from robustbench_aig.reporting.compute_verdict import Forced
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.seed_series import SeedSeries
from robustbench_aig.reporting.series import Series, accuracy_of, before, headline, threats


class Verdict(NamedTuple):
    """Gated against plain on clean images, in the worst case over attacks at one ε, or over all corruptions."""

    comparison: Comparison
    gated: tuple[Series, Accuracy]
    plain: tuple[Series, Accuracy]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        gated, plain = self.gated, self.plain
        return words.verdict(self.comparison, (gated[0].phrase, gated[1]), (plain[0].phrase, plain[1]))


class Movement(NamedTuple):
    """What the gates of one series did under attack.

    Attributes:
        series: whose gates they are.
        evaluation: of the attack that cost it most accuracy.
        model: the network.
        flips: chart of the decisions that this attack changes.
        slowed: of the attack that raises its compute most, or else the same.
        compute: chart of the compute under that one.
        before: attacks that images went through before, in a cascade.
    """

    series: Series
    evaluation: Evaluation
    model: ModelRecord
    flips: str | None
    slowed: Evaluation
    compute: str | None
    before: list[str]

    @property
    def sentence(self) -> str:
        """The movement in words."""
        return words.movement(self.series.phrase, self.evaluation, self.model, self.before)

    @property
    def over(self) -> str:
        """Which images it is over, where not all."""
        return f", over {words.run_on(self.evaluation, self.before)}" if self.evaluation.skipped else ""


class Panel(NamedTuple):
    """One chart of accuracy against epsilon: under which attack, in which norm where there are several."""

    attack: str
    suffix: str
    svg: str


class AttackSettings(NamedTuple):
    """What was run under one name by one provider: where links to it lead, what it's called, how it was set."""

    anchor: str | None
    title: str
    settings: dict[str, object]


def verdicts(report: Report, plan: Plan, series: list[Series]) -> list[Verdict]:
    """Those of the first screen; against the usual twins first, in whatever order networks were named.

    Those nearest in clean accuracy have a table of their own, beside the twins.
    """
    by_name = {(one.model, one.policy): one for one in series}
    twins = {(gated.name, plain.name) for group in groups(plan) for gated in group.gated for plain in group.plain}
    nearest = {
        (gated, match.gate_policy, plain)
        for match in report.clean_matches
        if match.nearest
        for gated in match.gated.names
        for plain in match.nearest.networks.names
    }
    told = []
    for comparison in sorted(report.comparisons, key=lambda one: (one.gated, one.plain) not in twins):
        if comparison.attack not in {"clean", *words.SUMMARIES} or not _leads(report, comparison):
            continue
        if (comparison.gated, comparison.gate_policy, comparison.plain) in nearest:
            continue
        gated = by_name[comparison.gated, comparison.gate_policy]
        plain = next(one for one in series if one.model == comparison.plain)
        found = [accuracy_of(report, one, comparison.attack, comparison.threat) for one in (gated, plain)]
        if found[0] and found[1]:
            told.append(Verdict(comparison, (gated, found[0][0]), (plain, found[1][0])))
    return told


def _leads(report: Report, comparison: Comparison) -> bool:
    """Whether a comparison belongs on the first screen: all, or the published claim's where a ladder has its own."""
    if report.ladder is None:
        return True
    models = {rung.key: rung.model for rung in report.ladder.rungs}
    return comparison.plain == models.get("R0") and traits(comparison.gate_policy).chooses


def movements(report: Report, evidence: Evidence, series: list[Series], forced: list[Forced]) -> list[Movement]:
    """What the gates of every series did that can be misled; `forced`: what attacks on the compute did to them."""
    slowest = {(one.series.model, one.series.policy): one.by.most for one in forced}
    found = []
    for one in series:
        evaluation = headline(report.evaluations, one.model, one.policy) if one.chooses else None
        if evaluation is None:
            continue
        model, slowed = evidence.model(one.model), slowest.get((one.model, one.policy), evaluation)
        rows = evidence.rows.get(slowed.id)
        compute = None if rows is None else charts.compute(rows, model)
        moved = Movement(one, evaluation, model, charts.flips(evaluation), slowed, compute, before(report, evaluation))
        found.append(moved)
    return found


def panels(report: Report, series: list[SeedSeries], drawn: list[str]) -> list[Panel]:
    """Accuracy by ε in the worst case over attacks and under each of the drawn attacks, a norm at a time."""
    norms = list(dict.fromkeys(threat.norm for threat in threats(report)))
    drawings = []
    for norm in norms:
        suffix = f" ({BALLS[norm].symbol})" if len(norms) > 1 else ""
        for attack in ["union", *drawn]:
            svg = charts.accuracy(report, series, attack, norm)
            if svg is not None:
                drawings.append(Panel(attack, suffix, svg))
    return drawings


def attack_settings(planned: Sequence[EvaluationPlan], labels: AttackLabels) -> list[AttackSettings]:
    """Once for every name and provider that ran it."""
    found: dict[str, AttackSettings] = {}
    for e in planned:
        if e.threat is not None:
            anchor = labels.anchor(e.attack)
            title = f"{words.attack_text(e.attack)} ({e.provider} {e.provider_version})"
            told = AttackSettings(anchor, f"{anchor} = {title}" if anchor else title, e.settings)
            found.setdefault(title, told)
    return list(found.values())
