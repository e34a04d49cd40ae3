from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_aig.errors import ThreatError
from robustbench_aig.norms import BALLS
from robustbench_aig.threat import Threat

sizes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
norms = st.sampled_from(list(BALLS))
epsilons = st.fractions(Fraction(1, 1000), 1)


def batch(shape: tuple[int, int, int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.randn(shape, generator=generator)


@pytest.mark.parametrize(
    ("text", "value"), [("4/255", Fraction(4, 255)), ("0.5/255", Fraction(1, 510)), ("0.03", Fraction(3, 100))]
)
def test_epsilon_is_kept_exactly_and_as_written(text: str, value: Fraction) -> None:
    threat = Threat.parse(text)
    assert (threat.eps, threat.text, str(threat)) == (value, text, f"linf {text}")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8", "did you mean 8/255?"),
        ("1", "did you mean 1/255?"),
        ("-1/255", "above 0"),
        ("0", "above 0"),
        ("4/0", "divides by zero"),
        ("abc", "not a number"),
        ("nan", "not a number"),
        ("inf", "not a number"),
        ("", "not a number"),
        ("1/2/3", "not a number"),
        ("__import__('os')", "not a number"),
    ],
)
def test_epsilon_that_cannot_be_meant_is_refused(text: str, hint: str) -> None:
    with pytest.raises(ThreatError, match=hint.replace("?", r"\?")):
        Threat.parse(text)


def test_large_epsilon_is_fine_where_it_bounds_no_single_pixel() -> None:
    assert Threat.parse("2", "l2").value == Threat.parse("2", "l1").value == 2
    with pytest.raises(ThreatError, match="unknown norm 'l3': did you mean 'l2'"):
        Threat.parse("2", "l3")


@settings(deadline=None, max_examples=60)
@given(sizes, norms, epsilons, st.integers(0, 99))
def test_projection_is_contained_and_leaves_what_is_inside(
    shape: tuple[int, int, int, int], norm: str, eps: Fraction, seed: int
) -> None:
    threat = Threat.parse(str(eps), norm) if eps < 1 else Threat.parse("1.0", norm)
    clean, noise = batch(shape, seed)
    projected = threat.project(clean + noise, clean)
    assert threat.contains(projected, clean).all()
    torch.testing.assert_close(threat.project(projected, clean), projected, atol=1e-6, rtol=1e-5)
    assert threat.contains(threat.random_start(clean, noise.sigmoid(), torch.full((len(clean),), 0.5)), clean).all()
    assert threat.contains(threat.corner(clean, noise.sigmoid()), clean).all()


@settings(deadline=None, max_examples=30)
@given(sizes, norms, st.integers(0, 99))
def test_steepest_step_beats_every_other_unit_step(shape: tuple[int, int, int, int], norm: str, seed: int) -> None:
    """Against the definition: no step of unit size raises a linear loss more (the dual norm is reached)."""
    threat = Threat.parse("0.1", norm)
    _, gradient = batch(shape, seed)
    gain = (threat.steepest(gradient) * gradient).flatten(1).sum(1)
    dual = torch.linalg.vector_norm(gradient.flatten(1), {"linf": 1, "l2": 2, "l1": torch.inf}[norm], dim=1)
    torch.testing.assert_close(gain, dual)


def test_outside_is_seen() -> None:
    clean = torch.full((3, 1, 2, 2), 0.5)
    moved = clean.clone()
    moved[0] += 0.11  # out of the ball
    moved[1, 0, 0, 0] = torch.nan
    threat = Threat.parse("0.1")
    assert threat.contains(moved, clean).tolist() == [False, False, True]
    assert not threat.contains(torch.full_like(clean, -0.05), torch.zeros_like(clean)).any()  # out of the box


def test_l2_start_fills_the_ball_evenly() -> None:
    """In d dimensions a share r^d of a uniform ball lies within radius r."""
    threat = Threat.parse("0.3", "l2")
    clean = torch.full((20000, 1, 1, 3), 0.5)
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(clean.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    start = threat.random_start(clean, uniform, torch.rand(len(clean), generator=generator))
    radius = (start - clean).flatten(1).norm(dim=1)
    for share in (0.3, 0.6, 0.9):
        assert (radius <= share * threat.value).float().mean().item() == pytest.approx(share**3, abs=0.012)
    assert (start - clean).mean(0).abs().max() < 0.005
