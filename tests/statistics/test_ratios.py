"""A ratio of means: its interval where the whole is constant, and how often it holds the truth elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.statistics import mean_interval, ratio_interval


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(0.5, 4))
def test_of_a_constant_whole_it_is_the_interval_of_a_mean(part: list[float], whole: float) -> None:
    """Every residual is an image's part less the mean: moving scores and bounds alike moves an interval."""
    found = ratio_interval(np.array(part), np.full(len(part), whole), bounds=(-2.0, 2.0))
    mean = float(np.mean(part))
    around = mean_interval(np.array(part) - mean, bounds=(-2.0, 2.0))
    assert found.low == pytest.approx((mean + around.low) / whole)
    assert found.high == pytest.approx((mean + around.high) / whole)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_it_holds_the_truth_as_often_as_it_says(share: float) -> None:
    rng, held, times = np.random.default_rng(5), 0, 400
    for _ in range(times):
        whole = rng.uniform(0, 1, 60)
        part = whole * rng.binomial(1, share, 60)
        low, high = ratio_interval(part, whole, bounds=(-1.0, 1.0))
        held += low <= share <= high
    assert held / times >= 0.95
