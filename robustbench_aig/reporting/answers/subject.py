"""Of whom a question is asked, and what a report says of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from robustbench_aig.records import Answer, AnswerVerdict, Evaluation, Plan, QuestionName, Report
from robustbench_aig.reporting.claims import Group
from robustbench_aig.threat import Threat

QUESTIONS: dict[QuestionName, str] = {
    "more-robust": "Is the gated network more robust?",
    "slower": "Can an attacker make it slower?",
    "gates": "Do the gates look at the image, and do they move under attack?",
}
"""In the order in which they are answered."""


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


@dataclass(frozen=True)
class Subject:
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
        found = sorted({e.threat for e in self.report.evaluations if e.threat}, key=lambda threat: threat.rank)
        return [threat for threat in found if threat.norm == found[0].norm]

    def attacked_at(self, threat: Threat | None) -> list[str]:
        """Ids of the attacks on the accuracy of all these networks at one strength, and of the clean images."""
        mine = [(name, self.policy) for name in self.gated] + [(name, "none") for name in self.plain]
        counted = [e for e in self.report.evaluations if e.role == "clean" or (e.role, e.threat) == ("attack", threat)]
        return [e.id for e in counted if (e.model, e.gate_policy) in mine]

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
