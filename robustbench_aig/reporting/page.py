"""The page: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from robustbench_aig.policies import traits
from robustbench_aig.records import Accuracy, Comparison, Evaluation, ModelRecord, Plan, Report
from robustbench_aig.reporting import charts, clean_match_words, corruptions, gallery, heatmap, shifts, words
from robustbench_aig.reporting.claims.groups import groups
from robustbench_aig.reporting.compute_verdict import forced
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.gates_look_words import looking
from robustbench_aig.reporting.image_outcomes import ImageOutcomes
from robustbench_aig.reporting.ladder_steps import step_rows
from robustbench_aig.reporting.optional_parts import Contained
from robustbench_aig.reporting.over_seeds import over_seeds
from robustbench_aig.reporting.palette import heat_css
from robustbench_aig.reporting.pictures import channels_shown
from robustbench_aig.reporting.remarks import remarks
from robustbench_aig.reporting.series import (
    Series,
    accuracy_of,
    all_series,
    attacks,
    before,
    headline,
    remainder_of,
    threats,
)
from robustbench_aig.reporting.templating import template
from robustbench_aig.reporting.thumbnails import load_thumbnails


class Verdict(NamedTuple):
    """Gated against plain on clean images, under the union at one epsilon, or over all corruptions."""

    comparison: Comparison
    gated: tuple[Series, Accuracy]
    plain: tuple[Series, Accuracy]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        gated, plain = self.gated, self.plain
        return words.verdict(self.comparison, (gated[0].phrase, gated[1]), (plain[0].phrase, plain[1]))


class Movement(NamedTuple):
    """What the gates of one series did under the attack that cost it most."""

    series: Series
    evaluation: Evaluation
    model: ModelRecord
    flips: str | None
    compute: str | None
    before: list[str]

    @property
    def sentence(self) -> str:
        """The movement in words."""
        return words.movement(self.series.phrase, self.evaluation, self.model, self.before)

    @property
    def over(self) -> str:
        """Which images it is over, where not all."""
        return f", over {words.left(self.evaluation, self.before)}" if self.evaluation.skipped else ""


class Panel(NamedTuple):
    """One chart of accuracy against epsilon."""

    title: str
    svg: str


def render(report: Report, evidence: Evidence, directory: Path, table: ImageOutcomes | None) -> str:
    """The report as HTML; a function of its arguments and of `directory`/images. A part that can't be made is named.

    Raises:
        RunError: if an image file is damaged.
    """
    parts = Contained()
    series = all_series(report)
    labels = {(one.model, one.policy): one.label for one in series}
    drawn = _drawn(report)
    corrupted = [e.corruption for e in evidence.plan.evaluations if e.corruption is not None]
    return template("page.html").render(
        section=parts.section,
        report=report,
        series=series,
        threats=threats(report),
        attacks=attacks(report),
        attacked=not corrupted or any(e.threat for e in evidence.plan.evaluations),
        on_accuracy=any(e.role == "attack" for e in evidence.plan.evaluations),
        forced=forced(report, evidence.plan, series),
        corrupted=corrupted,
        corruptions=corruptions,
        beside={e.attack: e.role for e in report.evaluations if e.role in words.BESIDE},
        gate_modes=_gate_modes(evidence.plan),
        accuracy_of=lambda *query: accuracy_of(report, *query),
        remainder_of=lambda *query: remainder_of(report, *query),
        cascade=evidence.plan.cascade,
        united=_single(report),
        label=lambda model, policy: labels[model, policy],
        models={model.name: model for model in report.models},
        comparisons=_comparisons(report),
        picture=parts.part("The first chart", lambda: charts.worst_case(report, series) if series else None, None),
        verdicts=_verdicts(report, evidence.plan, series),
        over_seeds=over_seeds(report),
        matching=clean_match_words,
        looking=looking(report, series),
        movements=parts.part("How gates moved", lambda: _movements(report, evidence, series), []),
        shift_blocks=parts.part("How far gates shifted", lambda: shifts.blocks(report, series), []),
        shift_sides=shifts.SIDES,
        shift_of=shifts.shift_of,
        drawn=drawn,
        panels=parts.part("The charts of accuracy", lambda: _panels(report, series, drawn), []),
        attack_settings=_attack_settings(evidence.plan),
        heat_cell=heatmap.cell,
        heat=heatmap.heat_maps(report, labels),
        heat_choices=heatmap.choices(report, labels),
        heat_control=_noise_control(evidence.plan),
        heat_chosen=next((heatmap.choice(e, labels) for e in _headlines(report, series)), None),
        rung_series={(one.model, one.policy): one for one in series},
        clean_macs={
            (e.model, e.gate_policy): e.compute.clean_macs
            for e in report.evaluations
            if e.compute and e.role == "clean"
        },
        ladder_steps=step_rows(report, [None, *threats(report)], [*_single(report), "union"]),
        image_outcomes=table,
        thumbnails=parts.part("The pictures of images", lambda: load_thumbnails(directory), {}),
        channels_shown=channels_shown(report.data.shape[0]),
        shelves=parts.part("The gallery", lambda: gallery.shelves(report, evidence, directory, series), []),
        names=evidence.names,
        alone=evidence.alone,
        unfinished=[e.id for e in evidence.plan.evaluations if e.id not in {r.id for r in report.evaluations}],
        heat_css=heat_css(),
        remarks=[remark for model in report.models for remark in remarks(model)],
        lost=parts.lost,
    )


def _headlines(report: Report, series: list[Series]) -> list[Evaluation]:
    found = [headline(report.evaluations, one.model, one.policy) for one in series if one.chooses]
    return [e for e in found if e is not None and e.gates is not None]


def _single(report: Report) -> list[str]:
    """The attacks that count in the union."""
    return list(dict.fromkeys(e.attack for e in report.evaluations if e.role == "attack"))


def _noise_control(plan: Plan) -> str | None:
    """The name of the control that random noise is; None where it wasn't asked for."""
    found = (e.attack for e in plan.evaluations if e.settings.get("algorithm", e.attack) == "corners")
    return next(found, None)


def _gate_modes(plan: Plan) -> list[str]:
    """How the plan's attacks look past gates, but for the stock way."""
    named = [e.settings["gates"]["mode"] for e in plan.evaluations if e.role == "attack" and "gates" in e.settings]
    return [mode for mode in dict.fromkeys(named) if mode != "straight-through"]


def _verdicts(report: Report, plan: Plan, series: list[Series]) -> list[Verdict]:
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
    verdicts = []
    for comparison in sorted(report.comparisons, key=lambda one: (one.gated, one.plain) not in twins):
        if comparison.attack not in {"clean", *words.SUMMARIES} or not _leads(report, comparison):
            continue
        if (comparison.gated, comparison.gate_policy, comparison.plain) in nearest:
            continue
        gated = by_name[comparison.gated, comparison.gate_policy]
        plain = next(one for one in series if one.model == comparison.plain)
        found = [accuracy_of(report, one, comparison.attack, comparison.threat) for one in (gated, plain)]
        if found[0] and found[1]:
            verdicts.append(Verdict(comparison, (gated, found[0][0]), (plain, found[1][0])))
    return verdicts


def _comparisons(report: Report) -> dict[str, list[Comparison]]:
    """Those of clean and attacked images, and those of corrupted ones."""
    of_corruptions = {corruptions.ALL, *(e.attack for e in report.evaluations if e.corruption)}
    found: dict[str, list[Comparison]] = {"attacked": [], "corrupted": []}
    for comparison in report.comparisons:
        found["corrupted" if comparison.attack in of_corruptions else "attacked"].append(comparison)
    return found


def _leads(report: Report, comparison: Comparison) -> bool:
    """Whether a comparison belongs on the first screen: all, or the published claim's where a ladder has its own."""
    if report.ladder is None:
        return True
    models = {rung.key: rung.model for rung in report.ladder.rungs}
    return comparison.plain == models.get("R0") and traits(comparison.gate_policy).chooses


def _movements(report: Report, evidence: Evidence, series: list[Series]) -> list[Movement]:
    movements = []
    for one in series:
        evaluation = headline(report.evaluations, one.model, one.policy) if one.chooses else None
        if evaluation is None:
            continue
        model = evidence.model(one.model)
        rows = evidence.rows.get(evaluation.id)
        flips, compute = charts.flips(evaluation), None if rows is None else charts.compute(rows, model)
        movements.append(Movement(one, evaluation, model, flips, compute, before(report, evaluation)))
    return movements


def _drawn(report: Report) -> list[str]:
    """The attacks that are drawn one by one: all, or those that were worst for most images where they are many."""
    every = attacks(report)
    worst_for = Counter[str]()
    for worst in report.worst_case:
        worst_for.update(worst.strongest)
    chosen = sorted(every, key=lambda attack: -worst_for[attack])[: words.FEW - 1]
    return every if len(every) <= words.FEW else [attack for attack in every if attack in chosen]


def _panels(report: Report, series: list[Series], drawn: list[str]) -> list[Panel]:
    norms = list(dict.fromkeys(threat.norm for threat in threats(report)))
    panels = []
    for norm in norms:
        suffix = f" ({'L∞' if norm == 'linf' else 'L2'})" if len(norms) > 1 else ""
        for attack in ["union", *drawn]:
            svg = charts.accuracy(report, series, attack, norm)
            if svg is not None:
                title = "worst case (union)" if attack == "union" else attack
                panels.append(Panel(title + suffix, svg))
    return panels


def _attack_settings(plan: Plan) -> list[tuple[str, dict[str, object]]]:
    """What was run under each name, once for every provider that ran it."""
    found: dict[str, dict[str, object]] = {}
    for e in plan.evaluations:
        if e.threat is not None:
            found.setdefault(f"{e.attack} ({e.provider} {e.provider_version})", e.settings)
    return list(found.items())
