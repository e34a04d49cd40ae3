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
