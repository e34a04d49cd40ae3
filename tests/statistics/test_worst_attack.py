"""The rule of every union, against choosing image by image."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.statistics import worst_of

EVALUATIONS = st.integers(1, 5).flatmap(
    lambda count: st.lists(
        st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.integers(-2, 2)), min_size=count, max_size=count),
        min_size=1,
        max_size=6,
    )
)
"""Images, and of each image a score and a margin under every evaluation; many are equal."""


@given(EVALUATIONS)
def test_it_is_the_lowest_score_and_of_equals_the_lowest_margin(images: list[list[tuple[float, int]]]) -> None:
    score, margin = (np.array([[one[part] for one in image] for image in images], float).T for part in (0, 1))
    expected = [min(range(len(image)), key=image.__getitem__) for image in images]
    found = worst_of(score, margin)
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_an_evaluation_that_skipped_an_image_is_never_the_worst() -> None:
    """Its score there is infinite, whatever its margin."""
    score, margin = np.array([[np.inf, 0.2], [1.0, np.inf]]), np.array([[-9.0, 1.0], [5.0, -9.0]])
    assert worst_of(score, margin).tolist() == [1, 0]
