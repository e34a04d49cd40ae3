"""The page: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

from robustbench_aig.norms import BALLS
from robustbench_aig.recipes.gradients import STRAIGHT_THROUGH
from robustbench_aig.records import (
    Accuracy,
    Claim,
    Comparison,
    CorruptionRecord,
    EvaluationPlan,
    Measurement,
    ModelRecord,
    Report,
    Rung,
)
from robustbench_aig.reporting import charts, corruptions, gallery, heatmap, page_parts, shifts, words
from robustbench_aig.reporting.answer_cards import cards
from robustbench_aig.reporting.attack_labels import AttackLabels
from robustbench_aig.reporting.claims.verdicts import combine
from robustbench_aig.reporting.compute_verdict import Forced, forced
from robustbench_aig.reporting.evidence import Evidence
from robustbench_aig.reporting.gates_look_words import looking
from robustbench_aig.reporting.image_outcomes import ImageOutcomes
from robustbench_aig.reporting.ladder_steps import StepRow, step_rows
from robustbench_aig.reporting.optional_parts import Contained
from robustbench_aig.reporting.over_seeds import over_seeds
from robustbench_aig.reporting.palette import heat_css
from robustbench_aig.reporting.pictures import channels_shown
from robustbench_aig.reporting.remarks import UNVERIFIED, remarks
from robustbench_aig.reporting.seed_series import Measured, SeedSeries, by_seed, measured
from robustbench_aig.reporting.series import (
    Remainder,
    Series,
    accuracy_of,
    all_series,
    attacks,
    headline,
    remainder_of,
    threats,
)
from robustbench_aig.reporting.templating import template
from robustbench_aig.reporting.thumbnails import load_thumbnails
from robustbench_aig.threat import Threat


def render(report: Report, evidence: Evidence, directory: Path, outcomes: ImageOutcomes | None) -> str:
    """The report as HTML; a function of its arguments and of `directory`/images. A part that can't be made is named.

    Raises:
        RunError: if an image file is damaged.
    """
    return template("page.html").render(page=Page(report, evidence, directory, outcomes))


class Page:
    """What a report's page shows: templates ask this object alone.

    Parts that may fail by themselves are made at once, so that the banner at the head can name those that are missing.

    Attributes:
        report: of which all is said.
        image_outcomes: the table of images; None without sample tables.
        series: what a reader compares.
        columns: the same, with all training seeds of a recipe together.
        names: image -> its file's name.
        attack: how attacks are called.
        section: makes a section by the name of its template.
        lost: what could not be made, each with the reason.
        cards: the questions that are answered first, with their pictures; none without a gated network.
        picture, panels: the chart of every network's accuracy, and those of accuracy against epsilon.
        movements, shift_blocks: what gates did under attack, and how far they moved.
        thumbnails, shelves: pictures of the table of images, and the gallery.
    """

    heat_cell = staticmethod(heatmap.cell)
    shift_of = staticmethod(shifts.shift_of)
    shift_sides = shifts.SIDES

    def __init__(self, report: Report, evidence: Evidence, directory: Path, outcomes: ImageOutcomes | None) -> None:
        self.report, self._evidence, self.image_outcomes = report, evidence, outcomes
        self.series = series = all_series(report)
        self.columns = columns = by_seed(report, series)
        self.names = evidence.names
        self.attack = AttackLabels(e.attack for e in evidence.plan.evaluations if e.threat is not None)
        parts = Contained()
        self.section, self.lost = parts.section, parts.lost
        self.picture = parts.part(
            "The first chart", lambda: charts.worst_case(report, columns) if columns else None, None
        )
        self.cards = parts.part("The answers", lambda: cards(report, evidence.plan) if report.answers else [], [])
        self.movements = parts.part(
            "How gates moved", lambda: page_parts.movements(report, evidence, series, self.forced), []
        )
        self.shift_blocks = parts.part("How far gates shifted", lambda: shifts.blocks(report, series), [])
        self.panels = parts.part("The charts of accuracy", lambda: page_parts.panels(report, columns, self.drawn), [])
        self.thumbnails = parts.part("The pictures of images", lambda: load_thumbnails(directory), {})
        self.shelves = parts.part("The gallery", lambda: gallery.shelves(report, evidence, directory, series), [])

    @property
    def title(self) -> str:
        """What the page is about."""
        data = self.report.data.name
        if self.cards:
            first = self.report.first_answers[0]
            gated, plain = (_families(names, data) for names in (first.gated, first.plain))
            against = f"{plain} (plain)" if plain else "no plain network"
            return f"{gated} (gated) against {against} on {data}"
        if self.forced and not self.on_accuracy:
            return "What can an attacker do to the compute?"
        return f"How accurate are these networks {'under attack' if self.attacked else 'on corrupted images'}?"

    @property
    def asked_of(self) -> str:
        """Images, seeds, attacks and budgets in one line."""
        data = self.report.data
        told = [f"{data.n} of {data.available} images of the {data.split} split"]
        if self.cards and len(self.report.first_answers[0].gated) > 1:
            told.append(f"{len(self.report.first_answers[0].gated)} training seeds")
        if self.attacks:
            told.append(words.counted(self.attacks, self.beside))
        if self.threats:
            norms = list(dict.fromkeys(threat.norm for threat in self.threats))
            ends = [[t for t in self.threats if t.norm == norm] for norm in norms]
            told += [f"ε from {of[0].eps} to {of[-1].eps} ({BALLS[of[0].norm].symbol})" for of in ends]
        return " · ".join(told)

    @property
    def unchecked(self) -> bool:
        """Whether claims wait for checks."""
        return any(claim.checks == "not run" for claim in self.report.claims)

    @property
    def answers_for(self) -> str | None:
        """Whose answers the cards are, where there are several gated recipes."""
        first = self.report.first_answers[0].gated
        others = {name for one in self.report.answers for name in one.gated} - {*first}
        if not others:
            return None
        return (
            f"These answers are for {words.listing(first)}. For {words.listing(sorted(others))} see the claims below."
        )

    def label(self, model: str, policy: str) -> str:
        """How tables call a model under a policy."""
        return self._labels[model, policy]

    def accuracy_of(self, series: Series, attack: str, threat: Threat | None) -> tuple[Accuracy, str] | None:
        """As in `reporting.series`."""
        return accuracy_of(self.report, series, attack, threat)

    def measured(self, column: SeedSeries, attack: str, threat: Threat | None) -> Measured | None:
        """As in `reporting.seed_series`."""
        return measured(self.report, column, attack, threat)

    @cached_property
    def single(self) -> list[SeedSeries]:
        """Every network by itself, where several are one column; else none."""
        apart = [SeedSeries(one, [one], one.label) for one in self.series]
        return apart if any(column.several for column in self.columns) else []

    def remainder_of(self, series: Series, attack: str, threat: Threat) -> Remainder | None:
        """As in `reporting.series`."""
        return remainder_of(self.report, series, attack, threat)

    def model(self, name: str) -> ModelRecord:
        """The model of that name."""
        return self._evidence.model(name)

    @staticmethod
    def deciding(claim: Claim) -> Measurement:
        """The measurement that a claim's verdict rests on."""
        return combine(claim.measurements)

    def rung_series(self, rung: Rung) -> Series | None:
        """What was measured of a rung of the ladder."""
        return next((one for one in self.series if (one.model, one.policy) == (rung.model, rung.policy)), None)

    def clean_macs(self, rung: Rung) -> float | None:
        """Its mean compute on clean images, where that is known."""
        clean = (e for e in self.report.evaluations if e.role == "clean" and e.compute)
        found = (e.compute for e in clean if (e.model, e.gate_policy) == (rung.model, rung.policy))
        return next((compute.clean_macs for compute in found if compute), None)

    @cached_property
    def _labels(self) -> dict[tuple[str, str], str]:
        return {(one.model, one.policy): one.label for one in self.series}

    @property
    def _planned(self) -> list[EvaluationPlan]:
        return self._evidence.plan.evaluations

    @property
    def alone(self) -> bool:
        """Whether the report came without its evidence."""
        return self._evidence.alone

    @property
    def cascade(self) -> bool:
        """Whether attacks ran on what those before had left."""
        return self._evidence.plan.cascade

    @property
    def unfinished(self) -> list[str]:
        """Planned evaluations that are not in the report."""
        finished = {e.id for e in self.report.evaluations}
        return [e.id for e in self._planned if e.id not in finished]

    @cached_property
    def threats(self) -> list[Threat]:
        """Every threat, in order."""
        return threats(self.report)

    @cached_property
    def attacks(self) -> list[str]:
        """The attacks, those on the compute, and the controls."""
        return attacks(self.report)

    @cached_property
    def united(self) -> list[str]:
        """The attacks that count in the union."""
        return list(dict.fromkeys(e.attack for e in self.report.evaluations if e.role == "attack"))

    @cached_property
    def drawn(self) -> list[str]:
        """The attacks that are drawn one by one: all, or those that were worst for most images where they are many."""
        worst_for = Counter[str]()
        for worst in self.report.worst_case:
            worst_for.update(worst.strongest)
        chosen = sorted(self.attacks, key=lambda attack: -worst_for[attack])[: words.FEW - 1]
        return self.attacks if len(self.attacks) <= words.FEW else [one for one in self.attacks if one in chosen]

    @property
    def beside(self) -> dict[str, str]:
        """Attacks that don't count in the union, and why."""
        return {e.attack: e.role for e in self.report.evaluations if e.role in words.BESIDE}

    @cached_property
    def corrupted(self) -> list[CorruptionRecord]:
        """The corruptions that were asked for."""
        return [e.corruption for e in self._planned if e.corruption is not None]

    @property
    def corruptions_asked(self) -> str:
        """The same in words."""
        return corruptions.asked(self.corrupted)

    @property
    def corruption_kinds(self) -> list[corruptions.KindRow]:
        """Accuracy under each kind of corruption."""
        return corruptions.kind_rows(self.report, self.series)

    @property
    def corruption_severities(self) -> list[corruptions.SeverityRow]:
        """Accuracy at each severity."""
        return corruptions.severity_rows(self.report, self.series)

    @property
    def attacked(self) -> bool:
        """Whether there was more than corruptions."""
        return not self.corrupted or any(e.threat for e in self._planned)

    @property
    def on_accuracy(self) -> bool:
        """Whether an attack was on the accuracy."""
        return any(e.role == "attack" for e in self._planned)

    @cached_property
    def forced(self) -> list[Forced]:
        """What attackers can do to the compute."""
        return forced(self.report, self._evidence.plan, self.series)

    @property
    def gate_modes(self) -> list[str]:
        """How gradients of the plan's gate-aware attacks treat gates; straight-through knows nothing of them."""
        named = dict.fromkeys(e.gates_mode for e in self._planned if e.role == "attack")
        return [mode for mode in named if mode not in {None, STRAIGHT_THROUGH}]

    @property
    def attack_settings(self) -> list[page_parts.AttackSettings]:
        """What was run under each name; the list that labels lead to."""
        return page_parts.attack_settings(self._planned, self.attack)

    @cached_property
    def comparisons(self) -> dict[str, list[Comparison]]:
        """Those of clean and attacked images, and those of corrupted ones."""
        of_corruptions = {corruptions.ALL, *(e.attack for e in self.report.evaluations if e.corruption)}
        found: dict[str, list[Comparison]] = {"attacked": [], "corrupted": []}
        for comparison in self.report.comparisons:
            found["corrupted" if comparison.attack in of_corruptions else "attacked"].append(comparison)
        return found

    @cached_property
    def verdicts(self) -> list[page_parts.Verdict]:
        """Gated against plain, on the first screen."""
        return page_parts.verdicts(self.report, self._evidence.plan, self.series)

    @cached_property
    def over_seeds(self) -> list[str]:
        """What three training seeds or more say together."""
        return over_seeds(self.report)

    @property
    def looking(self) -> list[str]:
        """Whether gates decide by the image."""
        return looking(self.report, self.series)

    @property
    def remarks(self) -> list[str]:
        """What is to be known of the models and of the evidence."""
        return [*(remark for model in self.report.models for remark in remarks(model)), *self._unverified]

    @property
    def _unverified(self) -> list[str]:
        return [UNVERIFIED] if self.report.rows_digest is None and not self._evidence.alone else []

    @property
    def ladder_steps(self) -> list[list[StepRow]]:
        """The table of the ladder's steps."""
        return step_rows(self.report, [None, *self.threats], [*self.united, "union"])

    @cached_property
    def heat(self) -> dict[str, dict[str, Any]]:
        """The maps of execution rates, by what a reader chooses."""
        return heatmap.heat_maps(self.report, self._labels)

    @cached_property
    def heat_choices(self) -> list[list[str]]:
        """What a reader can choose."""
        return heatmap.choices(self.report, self._labels)

    @cached_property
    def heat_chosen(self) -> tuple[str, str, str] | None:
        """What is shown at first: the attack that cost the first gated network most."""
        found = (headline(self.report.evaluations, one.model, one.policy) for one in self.series if one.chooses)
        return next((heatmap.choice(e, self._labels) for e in found if e is not None and e.gates is not None), None)

    @property
    def heat_control(self) -> str | None:
        """The name of the control that random noise is; None where it wasn't asked for."""
        found = (e.attack for e in self._planned if e.algorithm == "corners")
        return next(found, None)

    @property
    def heat_css(self) -> str:
        """The colours of the maps."""
        return heat_css()

    @property
    def channels_shown(self) -> str | None:
        """What pictures of images of several channels show."""
        return channels_shown(self.report.data.shape[0])


def _families(names: list[str], data: str) -> str:
    """Networks that differ in their seed alone by what their names share; else each name. Without the data set's."""
    short = [name.removeprefix(f"{data}-") for name in names]
    kinds = {re.sub(r"-s\d+$", "", name) for name in short}
    return kinds.pop() if len(kinds) == 1 and len(names) > 1 else words.listing(short)
