"""Which attack raises the compute of a network most at one ε, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from robustbench_aig.records import Compute, Evaluation, EvaluationPlan
from robustbench_aig.threat import Threat


class Raised(NamedTuple):
    """Evaluations of one network under one policy at one threat, all with known compute.

    Attributes:
        most: of the attacks that are to raise the compute, the one that does most.
        kept: the same of those that keep every predicted class; None where none ran.
        noise: random-sign noise of the same ball; None where it wasn't run.
    """

    most: Evaluation
    kept: Evaluation | None
    noise: Evaluation | None

    @property
    def compute(self) -> Compute:
        """Of the attack that does most."""
        assert self.most.compute is not None
        return self.most.compute


def raised(
    evaluations: Sequence[Evaluation], planned: Mapping[str, EvaluationPlan], threat: Threat | None
) -> Raised | None:
    """Find them; None where no attack on the compute was run at that threat.

    Args:
        evaluations: of one network under one policy.
        planned: how each was set, by id.
        threat: of the attacks.
    """
    at = [e for e in evaluations if e.threat == threat and e.compute]
    ups = [e for e in at if planned[e.id].raises_compute]
    if not ups:
        return None
    kept = [e for e in ups if planned[e.id].keeps_prediction]
    noise = next((e for e in at if planned[e.id].algorithm == "corners"), None)
    return Raised(max(ups, key=_change), max(kept, key=_change, default=None), noise)


def _change(evaluation: Evaluation) -> tuple[bool, float]:
    """Compute gained; what failed on some images comes last: it is told only where there is nothing else."""
    compute = evaluation.compute
    return evaluation.status == "ok", compute.change if compute else float("-inf")
