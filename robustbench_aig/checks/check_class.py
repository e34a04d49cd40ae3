"""What a check is: a question to a network and to attacks on it. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits, Verdict, exact, percent

if TYPE_CHECKING:
    from robustbench_aig.attacks import Attack
    from robustbench_aig.checks.case import Case
    from robustbench_aig.evaluation import Images
    from robustbench_aig.statistics import Interval
    from robustbench_aig.threat import Threat


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
        interval: Interval | None = None,
    ) -> Finding:
        """The finding where `count` images of `n`, at least one, show the defect; with other limits or interval."""
        used = limits or self.limits
        return self._finding(used, used.verdict(count, n, interval), evidence, numbers or {})

    def unfit(self, why: str) -> Finding:
        """The finding where there is nothing to ask."""
        return self._finding(self.limits, Verdict("n/a", 0, 0, exact(0, 0)), why, {})

    def broken(self, reason: str) -> Finding:
        """The finding where it couldn't be carried out to the end, which is never a pass."""
        return self._finding(self.limits, Verdict("fail", 0, 0, exact(0, 0)), reason, {})

    def _finding(self, limits: Limits, verdict: Verdict, evidence: str, numbers: Mapping[str, float]) -> Finding:
        if verdict.status == "n/a" and verdict.n:
            most = f"{evidence}; too few images to decide: up to {percent(verdict.interval.high)} are possible"
            evidence = most if verdict.n >= limits.needs else f"{most}; a pass needs at least {limits.needs} images"
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


@dataclass(frozen=True)
class OnRight(Check):
    """A check of images that the network classifies right; others cannot be broken."""

    def __call__(self, case: Case) -> Finding:
        """Look at the first `images` of them."""
        images = case.sample(self.images)
        return self.look(case, images) if len(images) else self.unfit("no image is classified right")

    @abstractmethod
    def look(self, case: Case, images: Images) -> Finding:
        """Carry it out on these, at least one; raises what a call does."""


@dataclass(frozen=True)
class OnNoise(OnRight):
    """One of them, of networks whose gates draw noise."""

    def __call__(self, case: Case) -> Finding:
        """Ask nothing of others."""
        return super().__call__(case) if case.subject.random else self.unfit(noiseless(case))


def noiseless(case: Case) -> str:
    """Why a question about noise is pointless."""
    return f"the policy '{case.subject.policy}' draws no noise"
