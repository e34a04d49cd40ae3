"""Do the gates look at the image, or does the network have a path and some dice?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from robustbench_aig.checks.case import AT_ONCE, Case
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.gate_gradients import looking_gates
from robustbench_aig.checks.thresholds import Limits, percent
from robustbench_aig.evaluation import Images, Judgement
from robustbench_aig.gateshift import dependence, dependence_of_decisions
from robustbench_aig.gating import Gate, OpenGate
from robustbench_aig.records import Dependence
from robustbench_aig.statistics import Interval


class OfGates(Limits):
    """Thresholds on the share of gates."""

    unit: ClassVar[Literal["images", "gates"]] = "gates"

    @property
    def needs(self) -> int:
        """One gate is enough; that images are too few is in the interval."""
        return 1


@dataclass(frozen=True)
class GatesLook(Check):
    """The gates of which it isn't the image that decides, as `gateshift.dependence` has it.

    Counts gates, not images: its interval reaches from those that certainly don't decide by the image to these and
    those of which the images are too few to tell.
    """

    images: int = 300

    name: ClassVar[str] = "gates-look"
    title: ClassVar[str] = "Gates decide by the image"
    asks: ClassVar[str] = "Do at least half of the gates decide by the image?"
    advice: ClassVar[str] = (
        "An attack has few decisions to change: compare with one path for all images (R7 and R7b of aigrob attack "
        "--ladder) before drawing conclusions about adaptive gates, or train gates that depend on the image."
    )
    limits: ClassVar[Limits] = OfGates(0.5, 0.5, mild=True)

    def __call__(self, case: Case) -> Finding:
        """Look at the first `images` of all, whether they are right or wrong."""
        if not looking_gates(case):
            return self.unfit("no gate looks at the image")
        found = _dependence(case, case.images.pick(slice(self.images)))
        if found is None:
            return self.unfit("the network is random by itself, or there are fewer than three images")
        gates, hardly = len(found.gates), len(found.gates) - found.deciding - found.unclear
        share = found.explained.value if found.explained else 0.0
        evidence = (
            f"{found.deciding} of {gates} gates decide by the image, for {found.unclear} these {found.n} images are "
            f"too few to decide; the image explains {percent(round(share, 3))} of the variance of all decisions, and "
            f"{found.n} images take {found.paths} path{'s' * (found.paths > 1)}"
        )
        numbers = {"deciding": found.deciding, "unclear": found.unclear, "explained": share, "paths": found.paths}
        interval = Interval(hardly / gates, (hardly + found.unclear) / gates)
        return self.found(hardly, gates, evidence, numbers, interval=interval)

    def cost(self, case: Case) -> Cost:
        """The judge's passes."""
        return Cost(forwards=self.images * (2 * case.draws if case.subject.random else 1))


def _dependence(case: Case, images: Images) -> Dependence | None:
    """Of the gates that aren't forced open; None where decisions aren't the gates' alone."""
    random = case.subject.deployed().of_gates.random
    if case.subject.restless and not random:
        return None
    parts = [images.pick(slice(start, start + AT_ONCE)) for start in range(0, len(images), AT_ONCE)]
    judged = [case.verdict(part.pixels, part) for part in parts]
    gates = [module for module in case.subject.model.modules() if isinstance(module, Gate)]
    count = judged[0].decisions.shape[1]
    forced = {place for place, gate in enumerate(gates) if isinstance(gate, OpenGate)} if len(gates) == count else set()
    free = [place for place in range(count) if place not in forced]
    names = [str(place + 1) for place in free]
    decisions = torch.cat([each.decisions for each in judged])[:, free].cpu().numpy()
    if not random:
        return dependence_of_decisions(decisions, names)
    p, again = (_column(judged, name)[:, free] for name in ("mean_probabilities", "choice_probabilities"))
    return dependence(p.cpu().numpy(), again.cpu().numpy(), decisions, names)


def _column(judged: list[Judgement], name: str) -> torch.Tensor:
    return torch.cat([getattr(each, name) for each in judged]).double()
