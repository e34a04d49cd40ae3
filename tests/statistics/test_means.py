"""The interval of a mean of bounded scores: by its definition, and where a sample looks certain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustbench_aig.statistics import Floats, largest_mean, mean_interval

SCORES = st.lists(st.integers(-10, 10), min_size=1, max_size=60).map(lambda values: np.array(values) / 10)


@given(SCORES, st.sampled_from([0.9, 0.95, 0.999]))
def test_it_is_students_with_one_image_more_at_either_bound(scores: Floats, confidence: float) -> None:
    """And at least what N images can miss with so much chance: a share q with (1 - q)^N = 2.5 %."""
    student = stats.ttest_1samp(np.append(scores, [-1, 1]), 0).confidence_interval(confidence)
    missed = 1 - ((1 - confidence) / 2) ** (1 / scores.size)
    worst = [(1 - missed) * scores.mean() + missed * bound for bound in (-1, 1)]
    found = mean_interval(scores, bounds=(-1, 1), confidence=confidence)
    assert found == pytest.approx((max(min(student.low, worst[0]), -1), min(max(student.high, worst[1]), 1)))


@pytest.mark.parametrize("n", [1, 2, 5, 10, 20])
def test_a_few_gains_of_a_draw_are_no_finding(n: int) -> None:
    """All on one side, equal or not: so few images leave room for one that is lost wholly."""
    for scores in (np.full(n, 0.1), np.linspace(0.1, 0.3, n)):
        assert mean_interval(scores, bounds=(-1, 1)).low < 0


def test_equal_scores_do_not_claim_certainty() -> None:
    assert mean_interval(np.zeros(100), bounds=(0, 1)).low == 0
    assert 0.01 < mean_interval(np.zeros(100), bounds=(0, 1)).high < 0.04
    low, high = mean_interval(np.zeros(100), bounds=(-1, 1))
    assert low == pytest.approx(-high)


def test_among_many_images_two_more_weigh_nothing() -> None:
    scores = np.random.default_rng(0).binomial(10, 0.3, 10_000) / 10
    plain = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    assert mean_interval(scores, bounds=(0, 1)) == pytest.approx((plain.low, plain.high), abs=1e-4)


def test_the_largest_of_many_means_is_covered_though_luck_chose_it() -> None:
    """Twenty gates that flip on 2 % of the images: whichever happens to flip most claims no more."""
    rng, count, truth = np.random.default_rng(0), 300, 0.02
    missed = alone = 0
    for _ in range(300):
        flips = (rng.random((count, 20)) < truth).astype(np.float64)
        low, high = largest_mean(flips, bounds=(0.0, 1.0))
        missed += not low <= truth <= high
        alone += not mean_interval(flips[:, flips.mean(axis=0).argmax()], bounds=(0.0, 1.0)).low <= truth
    assert missed <= 0.05 * 300
    assert alone > 0.05 * 300, "an interval for one gate that is named beforehand would miss it"


def test_the_largest_of_one_mean_is_that_mean() -> None:
    scores = np.random.default_rng(1).normal(0.2, 0.1, (50, 1))
    assert largest_mean(scores, bounds=(-1.0, 1.0)) == mean_interval(scores[:, 0], bounds=(-1.0, 1.0))


def test_of_several_means_each_is_held_at_its_share_of_the_error() -> None:
    """Bonferroni by hand: three columns at 95 % are three intervals of 1 - 0.05 / 3."""
    scores = np.random.default_rng(2).integers(0, 2, (40, 3)).astype(np.float64)
    for found, error in (
        (largest_mean(scores, bounds=(0, 1)), 0.05),
        (largest_mean(scores, bounds=(0, 1), confidence=0.8), 0.2),
    ):
        each = [mean_interval(scores[:, m], bounds=(0, 1), confidence=1 - error / 3) for m in range(3)]
        assert found == pytest.approx((max(one.low for one in each), max(one.high for one in each)))


def test_it_is_of_95_percent_where_nothing_is_said() -> None:
    scores = np.linspace(0, 1, 11)
    assert mean_interval(scores, bounds=(0, 1)) == mean_interval(scores, bounds=(0, 1), confidence=0.95)
    assert mean_interval(scores, bounds=(0, 1)) != mean_interval(scores, bounds=(0, 1), confidence=0.951)


@pytest.mark.parametrize(
    ("value", "bounds"), [(0.2, (0.0, 1.0)), (0.9, (0.0, 1.0)), (0.3, (-1.0, 1.0)), (5.0, (2.0, 6.0))]
)
def test_one_score_leaves_what_bounds_allow(value: float, bounds: tuple[float, float]) -> None:
    """A single image can miss 97.5 % of all."""
    low, high = mean_interval(np.array([value]), bounds=bounds)
    student = stats.ttest_1samp([value, *bounds], 0).confidence_interval(0.95)
    assert low == pytest.approx(max(min(student.low, value - 0.975 * (value - bounds[0])), bounds[0]))
    assert high == pytest.approx(min(max(student.high, value + 0.975 * (bounds[1] - value)), bounds[1]))
