"""Balls of every norm, against definitions that are written otherwise; linf and l2 bit by bit."""

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, minimize
from scipy.stats import ks_2samp
from torch import Tensor

from robustbench_aig.norms import BALLS, Ball, Norm
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat


def images(count: int = 6) -> tuple[Tensor, Tensor, Stream]:
    """Images with pixels at both ends of the range, gradients, and the images' random streams."""
    generator = torch.Generator().manual_seed(3)
    clean = (1.4 * torch.rand(count, 3, 5, 4, generator=generator) - 0.2).clamp(0, 1)
    gradient = torch.randn(clean.shape, generator=generator)
    gradient[0] = 0
    return clean, gradient, Stream.of(torch.arange(count), 5)


def test_linf_and_l2_compute_what_finished_evaluations_rest_on() -> None:
    """To the bit: an evaluation that was begun before the norms were classes goes on to the same rows."""
    clean, gradient, stream = images()
    uniform, radius = stream.uniform(3, 5, 4), stream.child(1).uniform(1)[:, 0]
    for text, norm in (("8/255", "linf"), ("0.7", "l2")):
        threat, eps = Threat.parse(text, norm), Threat.parse(text, norm).value

        def project(x: Tensor, eps: float = eps, norm: str = norm) -> Tensor:
            delta = x - clean
            if norm == "linf":
                return (clean + delta.clamp(-eps, eps)).clamp(0, 1)
            return (clean + delta * (eps / length(delta)).clamp_max(1.0)).clamp(0, 1)

        if norm == "linf":
            steepest, inside, scale = gradient.sign(), (2 * uniform - 1) * eps, eps
        else:
            steepest = gradient.sign() * 0
            steepest[1:] = unit(gradient[1:])
            inside = unit((2 * uniform - 1).erfinv()) * radius.view(-1, 1, 1, 1) ** (1 / 60) * eps
            scale = eps / 60**0.5
        assert torch.equal(threat.steepest(gradient), steepest)
        assert torch.equal(threat.project(clean + gradient, clean), project(clean + gradient))
        assert torch.equal(threat.random_start(clean, uniform, radius), project(clean + inside))
        assert torch.equal(
            threat.corner(clean, uniform), (clean + ((uniform > 0.5).float() * 2 - 1) * scale).clamp(0, 1)
        )
        for size in (0.125, torch.linspace(0, 2, len(clean)).view(-1, 1, 1, 1)):
            moved = project(clean + 0.01 + (size * eps) * steepest)
            assert torch.equal(threat.step(clean + 0.01, gradient, clean, size), moved)


def length(change: Tensor) -> Tensor:
    found: Tensor = change.flatten(1).norm(dim=1)
    return found.view(-1, 1, 1, 1)


def unit(vectors: Tensor) -> Tensor:
    exponent = vectors.abs().flatten(1).amax(1).frexp().exponent.view(-1, 1, 1, 1)
    brought = vectors.ldexp(-(exponent // 2)).ldexp(exponent // 2 - exponent)
    return brought / length(brought)


def test_every_norm_has_a_ball() -> None:
    assert tuple(BALLS) == get_args(Norm)
    assert all(name == ball.name for name, ball in BALLS.items())
    for ball in BALLS.values():
        radii = [Threat.parse(text, ball.name).radius for text in ball.radii]
        assert radii == sorted(radii)
        assert min(radii) < Threat.parse(ball.usual, ball.name).radius < max(radii)


@pytest.mark.parametrize("ball", BALLS.values(), ids=lambda ball: ball.name)
def test_lengths_are_those_of_the_p_norm_and_of_its_dual(ball: Ball) -> None:
    clean, gradient, _ = images()
    torch.testing.assert_close(ball.length(gradient), torch.linalg.vector_norm(gradient.flatten(1), ball.p, dim=1))
    conjugate = {1.0: torch.inf, 2.0: 2.0, torch.inf: 1.0}[ball.p]
    torch.testing.assert_close(ball.dual(gradient), torch.linalg.vector_norm(gradient, conjugate, dim=-1))
    assert ball.diagonal(60) == pytest.approx(ball.length(torch.ones_like(clean))[0].item())
    step = ball.step(torch.full_like(clean, 0.5), gradient, 0.25) - 0.5
    torch.testing.assert_close(ball.length(step)[1:], torch.full((5,), 0.25))
    assert not step[0].any()  # without a gradient there is no step


@pytest.mark.parametrize("radius", ["0.3", "1.5", "20"])
def test_the_projection_in_l1_is_the_nearest_point_of_ball_and_box(radius: str) -> None:
    """Against a solver of quadratic programs, with each change in two parts, up and down."""
    threat = Threat.parse(radius, "l1")
    generator = torch.Generator().manual_seed(2)
    clean = torch.rand(12, 1, 2, 3, generator=generator).round(decimals=1)
    wanted = clean + 1.2 * torch.randn(clean.shape, generator=generator)
    projected = threat.project(wanted, clean)
    assert (projected != clean).flatten(1).any(1).all()
    for one, target, found in zip(clean, wanted, projected, strict=True):
        centre = one.flatten().double().numpy()
        change = target.flatten().double().numpy() - centre

        def far(z: NDArray[np.float64], change: NDArray[np.float64] = change) -> float:
            return float(((z[:6] - z[6:] - change) ** 2).sum())

        solved = minimize(
            far,
            np.zeros(12),
            method="SLSQP",
            bounds=Bounds(np.zeros(12), np.concatenate([1 - centre, centre])),
            constraints=[LinearConstraint(np.ones((1, 12)), -np.inf, threat.value)],
            tol=1e-13,
        )
        nearest = solved.x[:6] - solved.x[6:]
        np.testing.assert_allclose((found - one).flatten().numpy(), nearest, atol=2e-5)


def test_a_projection_in_l1_never_leaves_the_ball_by_rounding() -> None:
    """Summed in float64 over as many pixels as a photograph has, each of them changed."""
    threat = Threat.parse("0.5", "l1")
    generator = torch.Generator().manual_seed(4)
    clean = torch.rand(2, 3, 160, 160, generator=generator)
    found = threat.project(clean + 1e-5 * torch.randn(clean.shape, generator=generator), clean)
    assert (found.double() - clean).abs().flatten(1).sum(1).max() <= 0.5
    assert (found.double() - clean).abs().flatten(1).sum(1).min() > 0.49
    assert torch.equal(threat.project(found, clean), found)


def test_a_start_in_l1_is_as_likely_everywhere_in_the_ball() -> None:
    """Against points of a cube of which those outside the ball were thrown away."""
    threat = Threat.parse("0.3", "l1")
    clean = torch.full((6000, 1, 1, 3), 0.5)
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand(clean.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    start = threat.random_start(clean, uniform, torch.rand(len(clean), generator=generator)) - clean
    cube = (2 * torch.rand(60000, 3, generator=generator) - 1) * 0.3
    thrown = cube[cube.abs().sum(1) <= 0.3]
    for one, other in zip(_aspects(start.flatten(1)), _aspects(thrown), strict=True):
        assert ks_2samp(one.numpy(), other.numpy()).pvalue > 0.01


def _aspects(points: Tensor) -> tuple[Tensor, ...]:
    return points[:, 0], points.sum(1), points.abs().sum(1), points.abs().amax(1)


def test_a_step_in_l1_is_the_best_that_the_box_leaves() -> None:
    """Against a linear program, from images with pixels at the ends of their range."""
    clean, gradient, _ = images()
    step = BALLS["l1"].step(clean, gradient, 2.5) - clean
    gains = (step * gradient).flatten(1).sum(1)
    for one, slope, gain in zip(clean, gradient, gains, strict=True):
        x, g = one.flatten().double().numpy(), slope.flatten().double().numpy()
        bounds = [*((0, 1 - pixel) for pixel in x), *((0, pixel) for pixel in x)]
        best = linprog(np.concatenate([-g, g]), A_ub=np.ones((1, 120)), b_ub=[2.5], bounds=bounds)
        assert best.fun is not None
        assert gain.item() == pytest.approx(-best.fun, rel=1e-5, abs=1e-6)


def test_a_step_in_l1_may_have_a_size_for_each_image() -> None:
    clean, gradient, _ = images()
    sizes = torch.linspace(0, 1, len(clean)).view(-1, 1, 1, 1)
    several = BALLS["l1"].step(clean, gradient, sizes)
    for place, size in enumerate(sizes.flatten().tolist()):
        alone = BALLS["l1"].step(clean[place : place + 1], gradient[place : place + 1], size)
        torch.testing.assert_close(several[place : place + 1], alone)


@pytest.mark.parametrize(
    ("norm", "radius", "text"),
    [("linf", Fraction(3, 510), "1.5/255"), ("linf", Fraction(1, 3), "85/255"), ("l2", Fraction(1, 3), "0.3333")],
)
def test_a_radius_that_nobody_wrote_is_spelled_as_somebody_would(norm: Norm, radius: Fraction, text: str) -> None:
    assert BALLS[norm].spelled(radius) == text
    assert Threat.parse(text, norm).value == pytest.approx(float(radius), rel=1e-3)
