"""What a check finds. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robustbench_aig.checks.thresholds import Limits, Status
from robustbench_aig.statistics import Interval


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
