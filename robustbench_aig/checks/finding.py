"""What a check finds, and what a check is. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from robustbench_aig.checks.shares import Limits, Status, Verdict, exact, percent
from robustbench_aig.statistics import Interval

if TYPE_CHECKING:
    from robustbench_aig.attacks import Attack
    from robustbench_aig.checks.case import Case
    from robustbench_aig.threat import Threat

NONE_RIGHT = "no image is classified right"


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: its name, like "zero-gradient".
        title: the same for a reader.
        status: pass, warn, fail, or n/a: it doesn't apply, or there are too few images to tell.
        value: share of images that show the defect; None where the check doesn't apply.
        count: those images.
        n: images that were looked at.
        interval: exact 95 %, of the true share.
        limits: the thresholds on the share.
        evidence: what was seen, in words.
        numbers: what was seen, by name.
        advice: what to do unless it's a pass.
    """

    check: str
    title: str
    status: Status
    value: float | None
    count: int
    n: int
    interval: Interval
    limits: Limits
    evidence: str
    advice: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def threshold(self) -> str:
        """The rule in words."""
        return str(self.limits)


class Cost(NamedTuple):
    """Work of a check, in passes of one image.

    Attributes:
        forwards: without a gradient, through the network itself.
        gradients: forward and back, through the copy that attacks work on.
    """

    forwards: float = 0
    gradients: float = 0

    def plus(self, other: Cost) -> Cost:
        """The sum of both."""
        return Cost(self.forwards + other.forwards, self.gradients + other.gradients)

    def seconds(self, forward: float, gradient: float) -> float:
        """Time, where a pass takes so many seconds."""
        return self.forwards * forward + self.gradients * gradient


@dataclass(frozen=True)
class Check(ABC):
    """A question to a network and to attacks on it, which some images answer badly.

    Attributes:
        images: how many it looks at; fewer where the case has fewer.
        name: in words with hyphens.
        title: for a reader.
        asks: the question that a pass answers with yes.
        advice: what to do where it isn't a pass.
        limits: thresholds on the share of images.
    """

    images: int = 96

    name: ClassVar[str]
    title: ClassVar[str]
    asks: ClassVar[str]
    advice: ClassVar[str]
    limits: ClassVar[Limits]

    @abstractmethod
    def __call__(self, case: Case) -> Finding:
        """Carry it out.

        Raises:
            AttackError: the network or an attack crashed, or returned NaN: who runs checks makes a fail of it.
            InputError: an attack can't work on such a network: n/a.
        """

    def cost(self, case: Case) -> Cost:
        """At most so many passes beside those of `attacks`; asks nothing of the network."""
        return Cost()

    def attacks(self, case: Case) -> Sequence[tuple[Attack, Threat]]:
        """Attacks on the images that other checks may share, each with its ball."""
        return ()

    def found(
        self,
        count: int,
        n: int,
        evidence: str,
        numbers: Mapping[str, float] | None = None,
        limits: Limits | None = None,
    ) -> Finding:
        """The finding where `count` images of `n`, at least one, show the defect; with other limits than usual."""
        used = limits or self.limits
        return self._finding(used, used.verdict(count, n), evidence, numbers or {})

    def unfit(self, why: str) -> Finding:
        """The finding where there is nothing to ask."""
        return self._finding(self.limits, Verdict("n/a", 0, 0, exact(0, 0)), why, {})

    def broken(self, reason: str) -> Finding:
        """The finding where it couldn't be carried out to the end, which is never a pass."""
        return self._finding(self.limits, Verdict("fail", 0, 0, exact(0, 0)), reason, {})

    def _finding(self, limits: Limits, verdict: Verdict, evidence: str, numbers: Mapping[str, float]) -> Finding:
        if verdict.status == "n/a" and verdict.n:
            most = f"{evidence}; too few images to tell: up to {percent(verdict.interval.high)} are possible"
            evidence = most if verdict.n >= limits.needs else f"{most}, and a pass takes at least {limits.needs}"
        return Finding(
            check=self.name,
            title=self.title,
            status=verdict.status,
            value=verdict.share,
            count=verdict.count,
            n=verdict.n,
            interval=verdict.interval,
            limits=limits,
            evidence=evidence,
            advice=self.advice,
            numbers=numbers,
        )
