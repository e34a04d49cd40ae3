"""Of whom a question is asked, and what a report says of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.records import (
    QUESTIONS,
    Answer,
    AnswerVerdict,
    Evaluation,
    EvaluationPlan,
    Plan,
    QuestionName,
    Report,
)
from robustbench_aig.reporting.claims import Group
from robustbench_aig.reporting.series import first_norm
from robustbench_aig.threat import Threat


class Number(NamedTuple):
    """What an answer rests on: a value with its 95 % interval, where one is known.

    Attributes:
        what: was measured.
        threat: the perturbation budget.
        value, low, high: a share, or a difference of shares.
        n: images.
        evidence: ids of evaluations.
        noise: the same under random-sign noise.
    """

    what: str
    threat: Threat | None
    value: float
    low: float | None
    high: float | None
    n: int | None
    evidence: list[str]
    noise: float | None = None


def hull(intervals: Iterable[tuple[float | None, float | None]]) -> tuple[float | None, float | None]:
    """From the lowest end to the highest of several networks' intervals; (None, None) where one of them is unknown."""
    known = list(intervals)
    lows, highs = [low for low, _ in known if low is not None], [high for _, high in known if high is not None]
    return (min(lows), max(highs)) if len(lows) == len(highs) == len(known) else (None, None)


@dataclass(frozen=True)
class AskedNetworks:
    """Gated networks of one recipe under one policy, with the plain ones that they are compared with.

    Attributes:
        report: what was measured, without answers.
        plan: how the attacks were set.
        group: the networks.
        policy: of the gated ones.
        policies: all that are asked about.
    """

    report: Report
    plan: Plan
    group: Group
    policy: str
    policies: tuple[str, ...]

    @cached_property
    def planned(self) -> dict[str, EvaluationPlan]:
        """By id, how each evaluation was set."""
        return {e.id: e for e in self.plan.evaluations}

    @cached_property
    def gated(self) -> list[str]:
        """Names of the gated networks."""
        return [model.name for model in self.group.gated]

    @cached_property
    def plain(self) -> list[str]:
        """Names of the plain ones."""
        return [model.name for model in self.group.plain]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Of the gated networks under the policy."""
        return [e for e in self.report.evaluations if e.model in self.gated and e.gate_policy == self.policy]

    @cached_property
    def threats(self) -> list[Threat]:
        """Of the report's first norm, by size."""
        return first_norm(self.report)

    def attacked_at(self, threat: Threat | None) -> list[Evaluation]:
        """The attacks on the accuracy of all these networks at one strength, and the clean images."""
        mine = [(name, self.policy) for name in self.gated] + [(name, PLAIN) for name in self.plain]
        counted = [e for e in self.report.evaluations if e.role == "clean" or (e.role, e.threat) == ("attack", threat)]
        return [e for e in counted if (e.model, e.gate_policy) in mine]

    def answer(
        self,
        question: QuestionName,
        verdict: AnswerVerdict,
        told: str,
        reason: str,
        number: Number | None = None,
        command: str | None = None,
    ) -> Answer:
        """An answer about these networks."""
        return Answer(
            question=question,
            asked=QUESTIONS[question],
            gated=self.gated,
            gate_policy=self.policy,
            plain=self.plain if question == "more-robust" else [],
            verdict=verdict,
            told=told,
            reason=reason,
            command=command,
            **(number._asdict() if number else {"what": ""}),
        )
