"""Are the outputs logits?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_aig.checks.case import Case, over
from robustbench_aig.checks.check_class import Check
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.finding import Finding
from robustbench_aig.checks.thresholds import Limits
from robustbench_aig.checks.whole_passes import logits_of

# float32's error in a sum of ten to a thousand shares.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Logits(Check):
    """AutoAttack's test of the range, image by image (Croce and Hein, arXiv 2003.01690; `checks.py` of its code)."""

    name: ClassVar[str] = "logits"
    title: ClassVar[str] = "Outputs are logits"
    asks: ClassVar[str] = "Does the network return logits, not probabilities?"
    advice: ClassVar[str] = (
        "Return the input of the softmax: a loss on probabilities applies the softmax twice, which flattens it."
    )
    limits: ClassVar[Limits] = Limits(0.05, 0.5)

    def __call__(self, case: Case) -> Finding:
        """Count the images whose outputs lie in [0, 1] and add up to 1."""
        images = case.images.pick(slice(self.images))
        outputs = over(
            lambda part: logits_of(case.subject.model, images.pixels[part], case.policy(images.pick(part), "output")),
            len(images),
        )
        in_range = ((outputs > -_ROUNDING) & (outputs < 1 + _ROUNDING)).all(1)
        likely = in_range & ((outputs.sum(1) - 1).abs() < _ROUNDING)
        low, high = outputs.min().item(), outputs.max().item()
        evidence = f"outputs from {low:.3g} to {high:.3g}; {int(likely.sum())} of {len(images)} are probabilities"
        return self.found(int(likely.sum()), len(images), evidence, {"lowest": low, "highest": high})

    def cost(self, case: Case) -> Cost:
        """A pass."""
        return Cost(forwards=self.images)
