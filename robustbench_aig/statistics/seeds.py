"""Two networks over several training seeds: what holds for seeds, and images, that nobody has seen.

Seeds and images are crossed: all seeds are scored on the same images, so a hard image is hard for all of them. Drawing
images anew for each seed, as for pupils in schools, would average that away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit

from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval
from robustbench_aig.statistics.means import mean_interval

FEWEST_SEEDS: Final = 3
"""Two values have a spread, but the interval it gives is 12.7 standard errors long on either side."""

HIERARCHICAL_SEEDS: Final = 8
"""From here on there are enough seeds to resample."""

# Each 2.5 % tail then rests on 250 resamples.
RESAMPLES: Final = 10_000

# Means of equal scores added in another order differ by about 1e-16 per image.
_ROUNDING = 1e-12


class SeedDifference(NamedTuple):
    """A difference of two networks, as a recipe makes them.

    Attributes:
        value: mean over seeds and images, in shares.
        interval: for further seeds and further images; None below three seeds.
        on_these_images: for further seeds on the same images; None there, too, and where all seeds have equal means.
        seeds: of the smaller group.
        method: that `interval` was made by.
        statement: what the interval is, or why there is none, in words.
    """

    value: float
    interval: Interval | None
    on_these_images: Interval | None
    seeds: int
    method: Literal["none", "student", "hierarchical"]
    statement: str


def seed_difference(
    first: Floats, second: Floats, *, paired: bool, seed: int, resamples: int = RESAMPLES
) -> SeedDifference:
    """First minus second over training seeds, with 95 % intervals.

    `on_these_images` is Student's t on the seed means (Welch's where unpaired). `interval` also allows for the images,
    which all seeds share: with 3 to 7 seeds either limit lies as far off as the root of the squares of that interval's
    and of the one over images alone, of the seeds' mean score. From 8 seeds on it is the hierarchical bootstrap: seeds
    are drawn, then images, the same for all seeds; percentiles, widened to the interval over images alone. So it is
    never shorter than that: seed means that lie close together by chance make nothing certain.

    Args:
        first: (S, N) scores in [0, 1], a row for each training seed.
        second: (S', N) scores of the other network on the same images.
        paired: row s of both has something in common, such as the split or the first weights (S' = S). Without that
            pairing costs degrees of freedom and gives nothing.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: if shapes do not fit, or a score is not finite.

    Source: square and add, G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008; A. B. Owen, "The pigeonhole
    bootstrap", Ann. Appl. Stat. 1, 2007 (section 3: of both factors).
    """
    _check(first, second, paired=paired)
    groups = [first - second] if paired else [first, -second]
    value = float(sum(group.mean() for group in groups))
    seeds = min(len(group) for group in groups)
    if seeds < FEWEST_SEEDS:
        return SeedDifference(value, None, None, seeds, "none", f"{_count(seeds)}: an interval needs {FEWEST_SEEDS}.")
    images = mean_interval(sum(group.mean(axis=0) for group in groups), bounds=(-1.0, 1.0))
    same = None if all(np.ptp(group.mean(axis=1)) <= _ROUNDING for group in groups) else _student(value, groups)
    if seeds >= HIERARCHICAL_SEEDS:
        drawn = _hierarchical(groups, seed=seed, resamples=resamples)
        interval = Interval(min(drawn.low, images.low), max(drawn.high, images.high))
        said = f"{_count(seeds)}: hierarchical bootstrap, for further seeds and images."
        return SeedDifference(value, interval, same, seeds, "hierarchical", said)
    if same is None:
        said = f"{_count(seeds)} with equal means: a spread of zero is no estimate, so that the images' is left."
        return SeedDifference(value, images, None, seeds, "student", said)
    low = value - math.hypot(value - same.low, value - images.low)
    high = value + math.hypot(same.high - value, images.high - value)
    interval = Interval(max(low, -1.0), min(high, 1.0))
    said = f"{_count(seeds)}: Student's t on their means, and the interval over images, squared and added."
    return SeedDifference(value, interval, same, seeds, "student", said)


def _check(first: Floats, second: Floats, *, paired: bool) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or first.shape[1] < 2:
        raise ValueError(f"needs (seeds, images) twice, of the same images: {first.shape}, {second.shape}")
    if paired and len(first) != len(second):
        raise ValueError(f"pairs need as many seeds of both: {len(first)}, {len(second)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("a score is not finite: count an image that failed as lost")


def _count(seeds: int) -> str:
    return f"{seeds} seed{'s' if seeds != 1 else ''}"


def _student(value: float, groups: Sequence[Floats]) -> Interval:
    """Around the sum of the groups' means over seeds: Student's interval of one group, Welch's of two."""
    parts = [(group.mean(axis=1).var(ddof=1) / len(group), len(group) - 1) for group in groups]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(variance))
    return Interval(max(value - half, -1.0), min(value + half, 1.0))


def _hierarchical(groups: Sequence[Floats], *, seed: int, resamples: int) -> Interval:
    """Percentiles of the mean over drawn seeds of each group, and drawn images that are common to all."""
    generator = np.random.default_rng(seed)
    scores = np.concatenate(groups)
    # Images that all seeds score alike are one column, drawn by its count.
    columns, counts = np.unique(scores, axis=1, return_counts=True)
    n = scores.shape[1]
    means = np.empty(resamples)
    for index in range(resamples):
        drawn = np.concatenate([generator.multinomial(len(g), np.full(len(g), 1 / len(g))) / len(g) for g in groups])
        means[index] = drawn @ columns @ generator.multinomial(n, counts / n) / n
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
