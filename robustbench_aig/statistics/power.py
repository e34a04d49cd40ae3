"""What a paired comparison could have seen, and how many images another would need. Two-sided at 5 %, power 80 %.

`discordant` is the share of images that one classifier alone gets right: the images on which both agree say nothing of
their difference. Take it from the comparison itself, but never the difference: the power at the observed difference
is another way to write the p-value.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import scipy  # scipy.stats takes most of a second, and is imported when it's used
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, ndtr, ndtri

from robustbench_aig.statistics.intervals import Floats

Pairs = NDArray[np.int64]
Power = Callable[[int, float, float], float]

# The customary level and power of planning (Cohen 1988).
LEVEL: Final = 0.05
POWER: Final = 0.80

_FEWEST_DISCORDANT = 6
"""With five, all on one side, the exact p is 2 / 32."""


def mcnemar_power(n: int, discordant: float, difference: float, *, level: float = LEVEL) -> float:
    """How likely the exact McNemar test finds the better classifier: exact, over all outcomes.

    Of m discordant images, m ~ Bin(n, psi), the worse one alone gets Bin(m, (1 - delta / psi) / 2) right; the test
    rejects if these are few enough for a fair coin.

    Args:
        n: images.
        discordant: psi, the true share of images that one alone gets right, in (0, 1].
        difference: delta, the true difference of the shares, in [0, psi].
        level: two-sided.

    Raises:
        ValueError: outside of these ranges.

    Source: O. S. Miettinen, "The matched pairs design in the case of all-or-none responses", Biometrics 24, 1968.
    """
    _check(discordant, difference)
    pairs, likely, critical = _rejections(n, discordant, level)
    return float(likely @ bdtr(critical, pairs, (1 - difference / discordant) / 2))


@lru_cache(maxsize=8)
def _rejections(n: int, discordant: float, level: float) -> tuple[Pairs, Floats, Floats]:
    """Numbers of discordant pairs, how likely each is, and how many the worse classifier may have for a rejection.

    Numbers that allow no rejection are left out, and those in the tails, which together are rarer than 1e-9.
    """
    few, many = scipy.stats.binom.ppf(1e-10, n, discordant), scipy.stats.binom.isf(1e-10, n, discordant)
    pairs = np.arange(int(few), int(many) + 1)
    pairs = pairs[0.5**pairs <= level / 2]
    critical = np.asarray(scipy.stats.binom.ppf(level / 2, pairs, 0.5))
    critical = critical - (bdtr(critical, pairs, 0.5) > level / 2)
    return pairs, np.asarray(scipy.stats.binom.pmf(pairs, n, discordant)), critical


def connor_power(n: int, discordant: float, difference: float, *, level: float = LEVEL) -> float:
    """The same by the normal distribution: Phi((delta sqrt(n) - z sqrt(psi)) / sqrt(psi - delta^2)).

    It holds beyond right and wrong: where the scores of an image differ by any share, as those of random gates do,
    psi is the mean over images of the squared difference.

    Args:
        n: images.
        discordant: psi in (0, 1].
        difference: delta in [0, psi].
        level: two-sided.

    Raises:
        ValueError: outside of these ranges.

    Source: R. J. Connor, "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43, 1987, page 209.
    """
    _check(discordant, difference)
    distance = difference * math.sqrt(n) + ndtri(level / 2) * math.sqrt(discordant)
    spread = math.sqrt(max(discordant - difference**2, 0.0))
    return float(ndtr(distance / spread)) if spread else float(distance > 0)


def detectable_difference(n: int, discordant: float, *, exact: bool = True) -> float | None:
    """The smallest difference that n images show with 80 % power.

    A difference has at least as many discordant images as itself. Where so few as observed could not show any, it
    is that of all discordant images on one side: 7.85 / n or a little more.

    Args:
        n: images.
        discordant: observed share of images that one classifier alone gets right, in [0, 1]; where scores are shares
            of draws, the mean squared difference.
        exact: by `mcnemar_power`; otherwise, for shares of draws, by `connor_power`.

    Returns:
        In shares; None if no difference at all could be seen (fewer than six images).
    """
    if n < _FEWEST_DISCORDANT:
        return None
    rough = _smallest(connor_power, n, discordant, (0.0, 1.0))
    # The exact test needs a little more; where nearly every discordant pair counts, up to a few images more.
    return _smallest(mcnemar_power, n, discordant, (0.5 * rough, min(1.0, 1.5 * rough + 10 / n))) if exact else rough


def _smallest(power: Power, n: int, discordant: float, between: tuple[float, float]) -> float:
    """The difference at which a test reaches `POWER`."""

    def lacking(difference: float) -> float:
        return power(n, max(discordant, difference, 1e-12), difference) - POWER

    return float(brentq(lacking, *between, xtol=1e-6))


def fewest_images(margin: float) -> int:
    """How many images it takes to say anything of a margin: 368 for one point.

    What none of n images shows may still be true of 1 - 0.025^(1/n) of all, each off by as much as can be. With fewer
    images than these even a sample without any difference leaves room for one of `margin`.

    Args:
        margin: in shares, in (0, 1).

    Raises:
        ValueError: outside of it.

    Source: the exact limit of 0 of n, C. Clopper and E. Pearson, Biometrika 1934; "rule of three".
    """
    if not 0 < margin < 1:
        raise ValueError(f"a margin must lie in (0, 1): {margin}")
    return math.ceil(math.log(LEVEL / 2) / math.log1p(-margin))


def images_needed(difference: float, discordant: float) -> int:
    """How many images the exact McNemar test needs to see `difference` with 80 % power.

    Searched from Connor's n = ((z_a sqrt(psi) + z_b sqrt(psi - delta^2)) / delta)^2, which is a little too small for
    the exact test.

    Args:
        difference: delta, in (0, psi].
        discordant: psi, the share of images that one alone gets right, in (0, 1].

    Raises:
        ValueError: outside of these ranges.
    """
    _check(discordant, difference)
    if not difference:
        raise ValueError("no number of images shows a difference of 0")
    spreads = -ndtri(LEVEL / 2) * math.sqrt(discordant) + ndtri(POWER) * math.sqrt(discordant - difference**2)
    connor = (spreads / difference) ** 2
    candidates = range(1, 2 * math.ceil(connor) + 50)
    return candidates[bisect_left(candidates, POWER, key=lambda n: mcnemar_power(n, discordant, difference))]


def _check(discordant: float, difference: float) -> None:
    if not (0 <= difference <= discordant <= 1 and discordant > 0):
        raise ValueError(f"needs 0 <= difference <= discordant <= 1: {difference}, {discordant}")
