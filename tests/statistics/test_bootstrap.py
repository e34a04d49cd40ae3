"""The bootstrap of a mean against another provider, its coverage and its limits."""

import numpy as np
import pytest
from scipy import stats

from robustbench_aig.statistics import bootstrap_difference, bootstrap_mean, wilson


def test_bootstrap_agrees_with_scipys_bca() -> None:
    values = np.random.default_rng(0).binomial(10, 0.2, 200) / 10
    reference = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_mean(values, seed=2) == pytest.approx(tuple(reference), abs=2e-3)


def test_bootstrap_is_reproducible() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_mean(rng.binomial(5, 0.3, 80) / 5, seed=trial, resamples=1000)
        hits += low <= 0.3 <= high
    assert 0.91 <= hits / 300 <= 0.985


def test_equal_scores_do_not_claim_certainty() -> None:
    low, high = bootstrap_mean(np.zeros(100), seed=0)
    assert low == 0
    assert high == pytest.approx(wilson(0, 100).high)
    assert bootstrap_mean(np.ones(100), seed=0) == pytest.approx((wilson(100, 100).low, 1.0))
    same = np.full(100, 0.4)
    low, high = bootstrap_difference(same, same, seed=0)
    assert low == -high < 0
