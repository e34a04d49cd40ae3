"""From a count of images to a status: an exact interval against two thresholds. No torch.

A check counts the images that show a defect. With thresholds `warn` <= `fail` the shares from 0 to 1 fall into three
regions: pass up to `warn`, warn up to `fail`, and fail above it. The status is the region of the observed share, if the
exact 95 % interval of the true share keeps out of the opposite region; where it reaches into both pass and fail the
images are too few to tell, and the status is n/a:

    pass   share <= warn, and the whole interval <= fail
    fail   share > fail, and the whole interval > warn
    n/a    the interval begins at warn or below it and ends above fail
    warn   otherwise

A `strict` limit is one that no image may show: a single one is a fail, however many there are, and a pass needs
images enough that `fail` can be excluded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from robustbench_aig.statistics import CONFIDENCE, Interval, clopper_pearson

Status = Literal["pass", "warn", "fail", "n/a"]


@dataclass(frozen=True)
class Verdict:
    """What a count says.

    Attributes:
        status: by the rule of this module.
        count: images that show the defect.
        n: images that were looked at.
        interval: exact, of the true share; (0, 1) without images.
    """

    status: Status
    count: int
    n: int
    interval: Interval

    @property
    def share(self) -> float | None:
        """Count over n; None without images."""
        return self.count / self.n if self.n else None


def exact(count: int, n: int) -> Interval:
    """Clopper and Pearson's exact 95 % interval of a share; (0, 1) where n is 0."""
    return clopper_pearson(count, n)


@dataclass(frozen=True)
class Limits:
    """Two thresholds on the share of images that show a defect.

    Attributes:
        warn: a pass up to here.
        fail: a fail above it.
        strict: a single image fails; `warn` is then 0, and `fail` is what a pass must be able to exclude.
        mild: what would be a fail is a warning.
    """

    warn: float
    fail: float
    strict: bool = False
    mild: bool = False

    unit: ClassVar[Literal["images", "gates"]] = "images"
    """What is counted."""

    def __post_init__(self) -> None:
        if not 0 <= self.warn <= self.fail < 1 or self.fail == 0 or (self.strict and self.warn):
            raise ValueError(f"thresholds must rise within [0, 1), and a strict one begins at 0: {self!r}")

    def verdict(self, count: int, n: int, interval: Interval | None = None) -> Verdict:
        """The status of `count` images of `n`; with an interval of the share that isn't that of a plain count."""
        interval = interval or exact(count, n)
        return Verdict(self._status(count, n, interval), count, n, interval)

    def _status(self, count: int, n: int, interval: Interval) -> Status:
        worst: Status = "warn" if self.mild else "fail"
        if self.strict and count:
            return worst
        if interval.low <= self.warn and interval.high > self.fail:
            return "n/a"
        share = count / n
        if share > self.fail:
            return worst
        return "warn" if share > self.warn else "pass"

    @property
    def needs(self) -> int:
        """The fewest images that can end as a pass, if none of them shows the defect."""
        return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log1p(-self.fail))

    def __str__(self) -> str:
        worst = "warn" if self.mild else "fail"
        if self.strict:
            return f"{worst} with a single image, pass where more than {percent(self.fail)} can be excluded"
        return f"pass up to {percent(self.warn)} of {self.unit}, {worst} above {percent(self.fail)}"


def percent(share: float) -> str:
    """A share as `1.5 %`."""
    return f"{100 * share:.3g} %"
