"""What a number of training seeds cannot carry, in words."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import scipy  # scipy.stats takes most of a second, and is imported when it's used
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtri, stdtrit

from robustbench_aig.statistics.intervals import CONFIDENCE
from robustbench_aig.statistics.power import LEVEL, POWER
from robustbench_aig.statistics.seeds import FEWEST_SEEDS

MANY: Final = 30
"""From here on nothing needs to be said."""


def cannot_carry(seeds: int) -> tuple[str, ...]:
    """Sentences on what `seeds` seeds of each network cannot show, for a report to print beside its numbers.

    Args:
        seeds: of each of two networks that are compared, at least 1.

    Raises:
        ValueError: below 1.

    Source: of each number the function below that it comes from.
    """
    if seeds < 1:
        raise ValueError(f"no number of seeds: {seeds}")
    if seeds == 1:
        return ("One seed says nothing of another: every interval is over images, for these weights.",)
    if seeds < FEWEST_SEEDS:
        return (f"{seeds} seeds show that seeds differ, and carry no interval and no test.",)
    if seeds >= MANY:
        return ()
    low, high = spread_factors(seeds)
    factor, half, spreads = interval_factor(seeds), half_width(seeds), detectable_spreads(seeds)
    said = [
        (
            f"The interval of a difference is {factor:.2f} times as long as if the spread over seeds were known: "
            f"{half:.2f} standard deviations of that spread on either side, and what the images leave open besides."
        ),
        f"A true difference below {spreads:.1f} such standard deviations is missed in more than one of five studies.",
        (
            f"The spread itself is hardly known: the true one lies between {low:.2f} and {high:.2f} times what was "
            "seen. It doesn't say which of two networks varies more."
        ),
    ]
    if smallest_sign_p(seeds) > LEVEL:
        said.append(
            f"No test that is free of assumptions rejects with {seeds} pairs: all on one side give a two-sided p of "
            f"{smallest_sign_p(seeds):g} (two groups without pairs {smallest_permutation_p(seeds):.2g}). Student's t "
            f"rests on seeds being normal, which {seeds} of them cannot show."
        )
    return tuple(said)


def smallest_sign_p(seeds: int) -> float:
    """The smallest two-sided p of the sign test, and of any permutation of signs: 2 / 2^S."""
    return math.ldexp(1.0, 1 - seeds)


def smallest_permutation_p(seeds: int) -> float:
    """The smallest two-sided p of a permutation of two groups of S seeds: 2 / C(2 S, S)."""
    return 2 / math.comb(2 * seeds, seeds)


def half_width(seeds: int) -> float:
    """Half of Student's 95 % interval in standard deviations of the seeds: t / sqrt(S); 2.48 for three."""
    return float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2) / math.sqrt(seeds))


def interval_factor(seeds: int) -> float:
    """How much longer it is than with the spread known: t / z; 2.20 for three."""
    return float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2) / ndtri((1 + CONFIDENCE) / 2))


def spread_factors(seeds: int) -> tuple[float, float]:
    """95 % limits of a standard deviation over the one seen: sqrt((S - 1) / chi^2); 0.52 and 6.28 for three."""
    limits = np.array([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])
    low, high = np.sqrt((seeds - 1) / (2 * gammaincinv((seeds - 1) / 2, limits)))
    return float(low), float(high)


def detectable_spreads(seeds: int) -> float:
    """The true difference that the paired t test sees with 80 % power, in standard deviations of the seeds."""
    critical = stdtrit(seeds - 1, 1 - LEVEL / 2)

    def lacking(spreads: float) -> float:
        return float(scipy.stats.nct.sf(critical, seeds - 1, spreads * math.sqrt(seeds))) - POWER

    return float(brentq(lacking, 0.0, 50.0))
