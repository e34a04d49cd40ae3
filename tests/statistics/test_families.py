"""Holm's adjustment against a worked example and against closed testing, of which it is a short cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_aig.statistics import holm


def test_a_worked_example() -> None:
    """At 5 % the first and the last are rejected, as in the usual example of four hypotheses."""
    family = holm("four hypotheses", [0.01, 0.04, 0.03, 0.005])
    assert family.name == "four hypotheses"
    assert family.p_values == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(st.lists(st.floats(0, 1), max_size=6))
def test_it_is_closed_testing_with_bonferroni(p_values: list[float]) -> None:
    """A hypothesis falls at a level if every set of hypotheses that it belongs to falls there."""
    adjusted = holm("any", p_values).p_values
    subsets = [s for k in range(1, len(p_values) + 1) for s in itertools.combinations(range(len(p_values)), k)]
    for index, p in enumerate(adjusted):
        closed = max(len(s) * min(p_values[i] for i in s) for s in subsets if index in s)
        assert p == pytest.approx(min(1.0, closed))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        holm("any", [0.5, wrong])


def test_the_ends_of_what_a_p_value_can_be_are_taken() -> None:
    assert holm("ends", [0.0, 1.0, 0.5]).p_values == (0.0, 1.0, 1.0)
    assert holm("none", []).p_values == ()
