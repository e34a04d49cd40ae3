"""Parts of fused networks, and networks that are copied as they are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.gating import Argmax, Frozen, Open, gating
from robustbench_aig.models import ResNet, adapt, fused
from robustbench_aig.models.fused import chain, convolution
from robustbench_aig.models.fused.row_selection import put, take
from tests.models.foreign import adapted_sampled, sampled
from tests.models.fusable import COUNT, Build, assert_same, far, passes
from tests.networks import CHANNELS, gated, images, plain, stir


class Doubled(ResNet):
    """A subclass may compute anything."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def replaced(change: Callable[[ResNet], object]) -> nn.Module:
    model = plain()
    change(model)
    return model.eval()


def without_statistics(model: ResNet) -> None:
    model.stages[1][0].residual.bn1 = nn.BatchNorm2d(12, track_running_stats=False)  # type: ignore[index]


def with_an_attribute(model: ResNet) -> None:
    model.stages[0][0].forward = lambda x: 2 * x  # type: ignore[index]


UNKNOWN: dict[str, Build] = {
    "subclass": lambda: stir(Doubled(8, 10, **CHANNELS)),
    "activation": lambda: replaced(lambda m: setattr(m.stem, "relu", nn.SiLU())),
    "block": lambda: replaced(lambda m: m.stages[0].append(nn.Tanh())),  # type: ignore[operator]
    "statistics": lambda: replaced(without_statistics),
    "padding": lambda: replaced(lambda m: setattr(m.stem.conv, "padding_mode", "reflect")),
    "hook": lambda: replaced(lambda m: m.stages[0][0].register_forward_hook(lambda *call: 2 * call[2])),  # type: ignore[index]
    "patched": lambda: replaced(with_an_attribute),
    "weight norm": lambda: replaced(lambda m: nn.utils.parametrizations.weight_norm(m.stages[0][0].residual.conv1)),  # type: ignore[index]
    "group norm": lambda: stir(torchvision_group_norm()),
    "foreign": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 10)).eval(),
}


def torchvision_group_norm() -> nn.Module:
    from torchvision.models.resnet import BasicBlock
    from torchvision.models.resnet import ResNet as TorchvisionResNet

    torch.manual_seed(0)
    model: nn.Module = TorchvisionResNet(
        BasicBlock, [1, 1, 1, 1], num_classes=10, norm_layer=lambda width: nn.GroupNorm(2, width)
    )
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown_is_copied_as_it_is(name: str, dtype: torch.dtype) -> None:
    model, (x, _, _) = UNKNOWN[name](), images(COUNT)
    copied = fused(model, dtype)
    assert type(copied) is type(model)
    assert all(parameter.dtype == torch.float32 for parameter in copied.parameters())
    wanted, found = (passes(m, Argmax(), "dense", x) for m in (model, copied))
    assert far(found[0], wanted[0]) < 1e-5
    assert far(found[2], wanted[2]) < 1e-4


def test_an_adapted_network_is_copied_with_its_gates() -> None:
    model, (x, _, _) = adapted_sampled(sampled()), images(COUNT)
    copied = fused(model, torch.bfloat16)
    for policy in (Argmax(), Open(), Frozen(torch.zeros(COUNT, 4))):
        assert_same(model, copied, policy, "dense", x)
    with gating(model, Open()) as trace:
        copied(x)
    assert trace.gates == 0
    assert adapt is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pixels", [(1, 1), (3, 5), (4, 4)])
def test_rows_are_taken_out_and_put_back(pixels: tuple[int, int], dtype: torch.dtype) -> None:
    """Whether or not a row is a multiple of the widest number."""
    x = torch.randn(9, 3, *pixels).to(dtype).contiguous(memory_format=torch.channels_last)
    chosen, values = torch.tensor([1, 4, 7]), torch.randn(3, 3, *pixels).to(dtype)
    assert torch.equal(take(x, chosen), x[chosen])
    assert take(x, chosen).is_contiguous(memory_format=torch.channels_last)
    wanted = x.index_copy(0, chosen, values)
    put(x, chosen, values.contiguous(memory_format=torch.channels_last))
    assert torch.equal(x, wanted)
    with pytest.raises(RuntimeError, match="view"):
        put(torch.zeros(9, 3, 4, 5), chosen, torch.zeros(3, 3, 4, 5))


def test_closed_images_cost_nothing_and_a_block_sees_open_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    compute = chain.Chain.compute

    def counted(self: chain.Chain, x: Tensor, *others: Any, **options: Any) -> list[Tensor]:
        seen.append(len(x))
        return compute(self, x, *others, **options)

    monkeypatch.setattr(chain.Chain, "compute", counted)
    copied, (x, _, _) = fused(gated()), images(COUNT)
    decisions = (torch.arange(COUNT)[:, None] < torch.tensor([3, 0, 7, 7, 0, 1])).float()
    for tracked in (x, x.clone().requires_grad_()):
        seen.clear()
        with gating(copied, Frozen(decisions), execution="sparse"):
            copied(tracked)
        # The stem and two shortcuts see all.
        assert seen == [7, 3, 7, 7, 7, 7, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_a_relu(dtype: torch.dtype) -> None:
    out = torch.randn(2, 4, 3, 3).relu().to(dtype).contiguous(memory_format=torch.channels_last)
    out[0, 0, 0, 0] = -0.0
    gradient = torch.randn(2, 4, 3, 3).to(dtype)
    before = gradient.clone()
    found = convolution.relu_gradient(gradient, out)
    assert torch.equal(found, torch.where(out > 0, gradient, 0))
    assert torch.equal(gradient, before)
    assert torch.equal(convolution.relu_gradient(gradient, out, overwrite=True), found)
