"""Differences over seeds against scipy, against sums in plain loops, and against a plainer bootstrap."""

import math
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from robustbench_aig.statistics import Floats, seed_difference

Groups = tuple[Floats, Floats]


def study(seeds: int, images: int = 60, *, luck: float = 0.5) -> Groups:
    """Right and wrong of two networks on images that are as hard for both."""
    rng = np.random.default_rng(seeds)
    hardness = rng.normal(0, 1.5, images)
    first, second = (
        (hardness + mean + luck * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, images)) > 0).astype(float)
        for mean in (0.4, 0.0)
    )
    return first, second


@pytest.mark.parametrize("seeds", [3, 5, 7, 9])
def test_on_these_images_it_is_students_and_welchs(seeds: int) -> None:
    first, second = study(seeds)
    one, two = first.mean(axis=1), second.mean(axis=1)
    paired = seed_difference(first, second, paired=True, seed=0)
    expected = stats.ttest_1samp(one - two, 0).confidence_interval(0.95)
    assert paired.on_these_images == pytest.approx((expected.low, expected.high))
    apart = seed_difference(first, second[:-1] if seeds > 3 else second, paired=False, seed=0)
    expected = stats.ttest_ind(one, two[:-1] if seeds > 3 else two, equal_var=False).confidence_interval(0.95)
    assert apart.on_these_images == pytest.approx((expected.low, expected.high))
    assert paired.value == pytest.approx((first - second).mean())


def test_where_images_are_alike_they_add_nothing() -> None:
    first = np.repeat([[0.50], [0.54], [0.52]], 40, axis=1)
    found = seed_difference(first, np.full((3, 40), 0.5), paired=True, seed=0)
    assert (found.method, found.seeds) == ("student", 3)
    assert found.interval == found.on_these_images
    assert found.interval == pytest.approx((0.02 - 2.4841377 * 0.02, 0.02 + 2.4841377 * 0.02))


def test_images_that_differ_more_than_seeds_widen_it() -> None:
    """The mean squares of seeds, images and the rest, by loops; Satterthwaite's degrees of freedom."""
    first, second = study(7, 30, luck=0.05)
    d = first - second
    seeds, images = d.shape
    mean, rows, columns = fmean(d.flat), [fmean(row) for row in d], [fmean(column) for column in d.T]
    of_seeds = images * sum((row - mean) ** 2 for row in rows) / (seeds - 1)
    of_images = seeds * sum((column - mean) ** 2 for column in columns) / (images - 1)
    rest = sum((d[s, i] - rows[s] - columns[i] + mean) ** 2 for s in range(seeds) for i in range(images)) / (
        (seeds - 1) * (images - 1)
    )
    total = of_seeds + of_images - rest
    freedom = total**2 / (
        of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1) + rest**2 / ((seeds - 1) * (images - 1))
    )
    half = stats.t.ppf(0.975, freedom) * math.sqrt(total / (seeds * images))
    found = seed_difference(first, second, paired=True, seed=0)
    assert found.interval == pytest.approx((mean - half, mean + half))
    assert found.on_these_images is not None
    assert found.on_these_images.low > mean - half


def test_it_is_never_narrower_than_students_interval() -> None:
    for seeds in range(3, 8):
        for luck in (0.0, 0.2, 1.0):
            for paired in (True, False):
                found = seed_difference(*study(seeds, luck=luck), paired=paired, seed=0)
                assert found.interval is not None
                assert found.on_these_images is not None
                assert found.interval.low <= found.on_these_images.low
                assert found.interval.high >= found.on_these_images.high


@pytest.mark.parametrize("paired", [True, False])
def test_from_eight_seeds_on_seeds_and_images_are_drawn(paired: bool) -> None:
    first, second = study(9)
    if not paired:
        second = second[:8]
    rng, means = np.random.default_rng(5), []
    for _ in range(4000):
        images = rng.integers(60, size=60)
        of_first = rng.integers(len(first), size=len(first))
        of_second = of_first if paired else rng.integers(len(second), size=len(second))
        means.append(first[of_first][:, images].mean() - second[of_second][:, images].mean())
    found = seed_difference(first, second, paired=paired, seed=1)
    assert (found.method, found.seeds) == ("hierarchical", len(second))
    assert found.interval == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.008)
    assert found == seed_difference(first, second, paired=paired, seed=1)
    order = rng.permutation(60)
    assert found.interval == seed_difference(first[:, order], second[:, order], paired=paired, seed=1).interval


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_get_a_statement_and_no_interval(seeds: int) -> None:
    first, second = study(5)
    found = seed_difference(first[:seeds], second, paired=False, seed=0)
    assert (found.interval, found.on_these_images, found.method, found.seeds) == (None, None, "none", seeds)
    assert "needs 3" in found.statement


def test_no_spread_is_no_certainty() -> None:
    found = seed_difference(np.zeros((4, 50)), np.zeros((4, 50)), paired=True, seed=0)
    assert (found.value, found.interval, found.method) == (0.0, None, "none")
    assert "spread of zero" in found.statement


def test_what_does_not_fit_is_refused() -> None:
    first, second = study(4)
    for wrong in (second[:, 1:], second[0]):
        with pytest.raises(ValueError, match="same images"):
            seed_difference(first, wrong, paired=False, seed=0)
    with pytest.raises(ValueError, match="as many seeds"):
        seed_difference(first, second[1:], paired=True, seed=0)
    second[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        seed_difference(first, second, paired=True, seed=0)
