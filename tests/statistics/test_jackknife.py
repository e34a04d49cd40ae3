"""The grouped jackknife beside what is known of a mean."""

import numpy as np
import pytest
from scipy.stats import t

from robustbench_aig.statistics import jackknife


def test_of_a_mean_it_is_students_interval() -> None:
    """With a group for each value the jackknife's variance of a mean is s² / n."""
    values = np.random.default_rng(0).normal(size=40)
    found = jackknife(lambda at: float(values[at].mean()), 40, groups=40)
    half = t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert found == pytest.approx((values.mean() - half, values.mean() + half))


def test_it_holds_a_curved_statistic_about_as_often_as_it_says() -> None:
    """exp of the mean of normal values, whose truth is known."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):
        values = rng.normal(size=200)
        low, high = jackknife(lambda at, values=values: float(np.exp(values[at].mean())), 200, groups=20)  # type: ignore[misc]
        held += low <= 1 <= high
    assert 0.91 <= held / 400 <= 0.985


@pytest.mark.parametrize("groups", [1, 11])
def test_too_few_or_too_many_groups(groups: int) -> None:
    with pytest.raises(ValueError, match="groups"):
        jackknife(lambda at: float(at.size), 10, groups=groups)


@pytest.mark.parametrize("groups", [2, 3, 7])
def test_groups_are_every_so_many_images(groups: int) -> None:
    """Written out: the median, which is no mean, without the images k, k + groups, k + 2 groups, ..."""
    values = np.random.default_rng(2).normal(size=7)
    without = [np.median([v for place, v in enumerate(values) if place % groups != group]) for group in range(groups)]
    spread = sum((one - np.mean(without)) ** 2 for one in without)
    half = t.ppf(0.975, groups - 1) * ((groups - 1) / groups * spread) ** 0.5
    middle = np.median(values)
    found = jackknife(lambda at: float(np.median(values[at])), 7, groups=groups)
    assert found == pytest.approx((middle - half, middle + half))
