"""Differences over seeds against scipy, against sums in plain loops, and against a plainer bootstrap."""

import math
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from robustbench_aig.statistics import Floats, mean_interval, seed_difference
from robustbench_aig.statistics.seeds import HIERARCHICAL_SEEDS

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


@pytest.mark.parametrize("paired", [True, False])
def test_seeds_and_images_are_squared_and_added(paired: bool) -> None:
    """By loops: of each image the mean difference over seeds, and the interval of these."""
    first, second = study(5, luck=0.05)
    found = seed_difference(first, second, paired=paired, seed=0)
    each = [fmean(first[:, i]) - fmean(second[:, i]) for i in range(first.shape[1])]
    images = mean_interval(np.array(each), bounds=(-1, 1))
    mean, seeds = fmean(each), found.on_these_images
    assert found.interval is not None
    assert seeds is not None
    assert (found.method, found.seeds) == ("student", 5)
    assert mean - found.interval.low == pytest.approx(math.hypot(mean - seeds.low, mean - images.low))
    assert found.interval.high - mean == pytest.approx(math.hypot(seeds.high - mean, images.high - mean))


@pytest.mark.parametrize("luck", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("seeds", [3, 4, 5, 6, 7, 8, 12])
def test_it_is_never_shorter_than_over_images_or_seeds_alone(seeds: int, luck: float) -> None:
    for paired in (True, False):
        first, second = study(seeds, luck=luck)
        found = seed_difference(first, second, paired=paired, seed=0, resamples=200)
        images = mean_interval(first.mean(axis=0) - second.mean(axis=0), bounds=(-1, 1))
        assert found.interval is not None
        assert found.interval.low <= images.low + 1e-12
        assert found.interval.high >= images.high - 1e-12
        if seeds < HIERARCHICAL_SEEDS and found.on_these_images:
            assert found.interval.low <= found.on_these_images.low
            assert found.interval.high >= found.on_these_images.high


@pytest.mark.parametrize("paired", [True, False])
def test_no_limit_lies_beyond_what_a_difference_can_be(paired: bool) -> None:
    """Of three seeds that have nothing in common, on three images."""
    first = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    found = seed_difference(first, 1 - first, paired=paired, seed=0)
    assert found.interval == found.on_these_images == (-1, 1)


def test_three_means_close_together_make_nothing_certain() -> None:
    """Nearly the same images are lost, and gained, with each seed: -1.2 points, of which the images leave 1.8 open."""
    first, second = np.ones((3, 760)), np.ones((3, 760))
    second[:, :18] = 0
    for seed, lost in enumerate((26, 27, 28)):
        first[seed, 18 : 18 + lost] = 0
    found = seed_difference(first, second, paired=True, seed=0)
    assert found.on_these_images is not None
    assert found.interval is not None
    assert 100 * found.value == pytest.approx(-1.2, abs=0.02)
    assert found.on_these_images.excludes(0)
    assert not found.interval.excludes(0)
    assert [100 * (end - found.value) for end in found.interval] == pytest.approx([-1.8, 1.8], abs=0.1)


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


@pytest.mark.parametrize("seeds", [3, 8])
def test_no_spread_is_no_certainty(seeds: int) -> None:
    found = seed_difference(np.zeros((seeds, 50)), np.zeros((seeds, 50)), paired=True, seed=0, resamples=50)
    assert (found.value, found.on_these_images) == (0.0, None)
    assert found.interval == mean_interval(np.zeros(50), bounds=(-1, 1))
    assert seeds == 8 or "spread of zero" in found.statement


def test_what_does_not_fit_is_refused() -> None:
    first, second = study(4)
    for one, other in (
        (first, second[:, 1:]),
        (first, second[0]),
        (first[0], second),
        (first, second[:, :, None]),
        (first[:, :, None], second),
        (first[:, :1], second[:, :1]),
    ):
        with pytest.raises(ValueError, match="same images"):
            seed_difference(one, other, paired=False, seed=0)
    assert seed_difference(first[:, :2], second[:, :2], paired=False, seed=0).interval
    with pytest.raises(ValueError, match="as many seeds"):
        seed_difference(first, second[1:], paired=True, seed=0)
    second[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        seed_difference(first, second, paired=True, seed=0)


def test_one_network_whose_seeds_are_equal_leaves_the_other_s_spread() -> None:
    first, second = study(4)
    alike = np.repeat(second[:1], 4, axis=0)
    found = seed_difference(first, alike, paired=False, seed=0)
    mean, error = (first.mean(axis=1) - alike.mean()).mean(), first.mean(axis=1).std(ddof=1) / 2
    assert found.on_these_images == pytest.approx((mean - 3.182446 * error, mean + 3.182446 * error))


def test_words_and_defaults() -> None:
    first, second = study(9)
    said = [seed_difference(first[:n], second[:n], paired=True, seed=0).statement for n in (1, 2, 3)]
    assert [one.split(":")[0] for one in said] == ["1 seed", "2 seeds", "3 seeds"]
    rng = np.random.default_rng(4)
    first, second = (0.8 * rng.random((8, 1)) + 0.2 * rng.random((8, 30)) for _ in range(2))
    usual = seed_difference(first, second, paired=True, seed=3)
    assert usual == seed_difference(first, second, paired=True, seed=3, resamples=10_000)
    assert usual != seed_difference(first, second, paired=True, seed=3, resamples=9_999)
