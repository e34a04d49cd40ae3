"""Several tests at once: p-values adjusted over a named family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Family(NamedTuple):
    """Tests that are adjusted together.

    Attributes:
        name: what all of them are of, in words: who reads an adjusted p-value has to know over what.
        p_values: adjusted, in the order in which they came.
    """

    name: str
    p_values: tuple[float, ...]


def holm(name: str, p_values: Sequence[float]) -> Family:
    """P-values of a family, adjusted so that any one wrong rejection in it is as rare as the level says.

    The k-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= k, at most 1; no assumption on how the
    tests depend on each other is made, which matters where they share their images.

    Args:
        name: of the family.
        p_values: in [0, 1].

    Raises:
        ValueError: if one lies outside [0, 1] or is NaN.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie in [0, 1]: {list(p_values)}")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = largest
    return Family(name, tuple(adjusted))
