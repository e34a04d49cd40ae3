import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_aig.randomness import Stream, seed_of

MASK = 2**64 - 1


def splitmix(x: int) -> int:
    """The mixing function of SplitMix64 in Python's unbounded integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def test_bits_are_those_of_splitmix64() -> None:
    """The first outputs of the published generator for seed 0 (Vigna's splitmix64.c)."""
    golden = 0x9E3779B97F4A7C15
    assert [splitmix(golden * i & MASK) for i in (1, 2, 3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    drawn = Stream(torch.zeros(1, dtype=torch.int64)).uniform(3)[0]
    expected = [((splitmix(golden * i & MASK) >> 41) + 0.5) * 2**-23 for i in (1, 2, 3)]
    assert drawn.tolist() == expected


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=20, unique=True), st.integers(0, 2**62))
def test_a_stream_belongs_to_its_image(ids: list[int], seed: int) -> None:
    """Alone or in company, in any order: the same bits."""
    together = Stream.of(torch.tensor(ids), seed, "purpose").child(3).uniform(2, 4)
    for position, image in enumerate(ids):
        alone = Stream.of(torch.tensor([image]), seed, "purpose").child(3).uniform(2, 4)
        assert torch.equal(alone[0], together[position])
    assert len({tuple(row.flatten().tolist()) for row in together}) == len(ids)


@pytest.mark.parametrize("other", [(2, "purpose"), (1, "another"), (1, "purpose", "more")])
def test_seed_and_purpose_change_everything(other: tuple[object, ...]) -> None:
    ids = torch.arange(50)
    assert not (Stream.of(ids, 1, "purpose").uniform(20) == Stream.of(ids, *other).uniform(20)).any()


def test_uniform_is_uniform_within_and_across_streams() -> None:
    values = Stream.of(torch.arange(400), 7).uniform(400).numpy().astype(np.float64)
    assert values.min() > 0
    assert values.max() < 1
    assert scipy.stats.kstest(values.ravel(), "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(values[:, 0], "uniform").pvalue > 1e-3
    children = torch.cat([Stream.of(torch.arange(50), 7).child(k).uniform(1) for k in range(400)]).numpy()
    assert scipy.stats.kstest(children.ravel(), "uniform").pvalue > 1e-3
    correlation = np.asarray(np.corrcoef(values[:40]))
    assert np.abs(correlation[~np.eye(40, dtype=bool)]).max() < 0.25


def test_logistic_has_the_logistic_distribution() -> None:
    draws = Stream.of(torch.arange(40000), 3).logistic().numpy()
    assert scipy.stats.kstest(draws, "logistic").pvalue > 1e-3


def test_seed_of_tells_parts_apart() -> None:
    assert seed_of("ab", "c") != seed_of("a", "bc")
    assert seed_of(1, "x") == seed_of("1", "x")
