"""What naming the largest class for every image gets right."""

import numpy as np
import pytest

from robustbench_aig.statistics import commonest


@pytest.mark.parametrize(
    ("labels", "share"),
    [([3], 1.0), ([0, 0, 1, 2], 0.5), ([5, 1, 5, 1, 5], 0.6), ([9, 9, 9], 1.0)],
)
def test_it_is_the_share_of_the_largest_class(labels: list[int], share: float) -> None:
    assert commonest(np.array(labels)) == share
