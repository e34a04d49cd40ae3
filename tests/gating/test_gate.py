"""The pooling of a gate: the mean over pixels, whatever the layout."""

import pytest
import torch

from robustbench_aig.gating.gate import pooled

LAST, FIRST = torch.channels_last, torch.contiguous_format


def features(layout: torch.memory_format) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 5, 6, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", [LAST, FIRST])
def test_the_mean_and_its_derivatives(layout: torch.memory_format) -> None:
    x = features(layout)
    assert torch.equal(pooled(x), x.mean((2, 3)))
    assert torch.autograd.gradcheck(pooled, [x])
    assert torch.autograd.gradgradcheck(pooled, [x])


def test_the_gradient_is_laid_out_like_the_features() -> None:
    """An expanded one would be slow to add to the block's own."""
    x = features(LAST)
    (gradient,) = torch.autograd.grad(pooled(x).square().sum(), x)
    assert gradient.is_contiguous(memory_format=LAST)
    (expected,) = torch.autograd.grad(x.mean((2, 3)).square().sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=0)


def test_it_works_inside_vmap() -> None:
    x = torch.stack([features(LAST).detach(), features(LAST).detach() + 1])
    torch.testing.assert_close(torch.func.vmap(pooled)(x), x.mean((3, 4)))
