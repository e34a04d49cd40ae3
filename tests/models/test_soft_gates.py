"""Networks with soft gates against their definitions, another provider's gate, and what a soft gate is: always open."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from robustbench_aig.gating import Argmax, Frozen, Open, Policy, Random, Sampled, gating
from robustbench_aig.gating.soft import Excitation, TransformGate
from robustbench_aig.models import fused, measure, profile_macs, shares_draws
from robustbench_aig.models.gated_resnet import GatedBlock
from robustbench_aig.models.soft_gates import HighwayResNet, SEResNet
from robustbench_aig.randomness import Stream
from robustbench_aig.zoo import find_model
from tests.networks import CHANNELS, blocks, images, stir

IDS = torch.arange(5)


def squeezing() -> nn.Module:
    torch.manual_seed(0)
    return stir(SEResNet(14, 10, widths=(8, 12, 16), reduction=1, **CHANNELS))


def highway() -> nn.Module:
    torch.manual_seed(0)
    return stir(HighwayResNet(14, 10, widths=(8, 12, 16), gate_bias=-1.0, **CHANNELS))


def both() -> nn.Module:
    """Bottlenecks for ImageNet, too."""
    torch.manual_seed(0)
    layout: Any = {"stages": [1, 2, 2, 1], "widths": [4, 6, 6, 8], "bottleneck": True, "stem": "imagenet"}
    return stir(SEResNet(20, 10, reduction=1, **layout, **CHANNELS))


NETWORKS: list[Callable[[], nn.Module]] = [squeezing, highway, both]


def block_of(model: nn.Module, position: int) -> GatedBlock:
    return blocks(model)[position]


@pytest.mark.parametrize("position", [1, 2])
def test_a_squeezing_block_by_torchvisions_own_gate(position: int) -> None:
    block = block_of(squeezing(), position)
    gate = block.gate
    assert isinstance(gate, Excitation)
    channels, hidden = gate.fc1.in_features, gate.fc1.out_features
    assert hidden == channels
    theirs = SqueezeExcitation(channels, hidden)
    theirs.load_state_dict(
        {
            f"{name}.{kind}": value[:, :, None, None] if kind == "weight" else value
            for name in ("fc1", "fc2")
            for kind, value in getattr(gate, name).state_dict().items()
        }
    )
    x = torch.rand(5, 8, 6, 6)
    with torch.no_grad(), gating(block, Argmax()) as trace:
        branch = block.residual(x)
        torch.testing.assert_close(block(x), F.relu(block.shortcut(x) + theirs(branch)))
        factors = theirs._scale(branch)
    torch.testing.assert_close(trace.probabilities[:, 0], factors.mean((1, 2, 3)))


@pytest.mark.parametrize(("channels", "hidden"), [(64, 4), (40, 2), (16, 1), (8, 1)])
def test_the_hidden_layer_of_a_squeezing_gate(channels: int, hidden: int) -> None:
    assert Excitation(channels).fc1.out_features == hidden


@pytest.mark.parametrize(("position", "stride"), [(1, 1), (2, 2)])
def test_a_highway_block_by_hand(position: int, stride: int) -> None:
    """He et al., arXiv 1603.05027, section 3.1; the gate has the stride of the block."""
    block = block_of(highway(), position)
    gate = block.gate
    assert isinstance(gate, TransformGate)
    x = torch.rand(5, 8, 6, 6)
    with torch.no_grad(), gating(block, Argmax()) as trace:
        z = torch.sigmoid(F.conv2d(x, gate.conv.weight, gate.conv.bias, stride=stride))
        torch.testing.assert_close(block(x), F.relu((1 - z) * block.shortcut(x) + z * block.residual(x)))
        torch.testing.assert_close(trace.probabilities[:, 0], z.mean((1, 2, 3)))
        assert gate.conv.bias is not None
        for bias, expected in ((-100.0, block.shortcut(x)), (100.0, block.residual(x))):
            nn.init.constant_(gate.conv.bias, bias)
            torch.testing.assert_close(block(x), F.relu(expected))


def test_highway_gates_begin_at_their_bias() -> None:
    model = HighwayResNet(8, 10, gate_bias=-6.0, **CHANNELS)
    for block in blocks(model):
        assert isinstance(block.gate, TransformGate)
        assert block.gate.conv.bias is not None
        assert bool((block.gate.conv.bias == -6).all())


POLICIES: list[Policy] = [
    Argmax(),
    Sampled(Stream.of(IDS, 1)),
    Open(),
    Frozen(torch.zeros(5, 6)),
    Random(torch.zeros(6), Stream.of(IDS, 2)),
]


@pytest.mark.parametrize("build", NETWORKS)
def test_no_policy_changes_what_soft_gates_do(build: Callable[[], nn.Module]) -> None:
    model, (x, _, _) = build(), images(5, 16)
    with torch.no_grad():
        alone = model(x)
        for policy in POLICIES:
            for execution in ("dense", "sparse"):
                with gating(model, policy, execution=execution) as trace:
                    assert torch.equal(model(x), alone)
                assert torch.equal(trace.probabilities, trace.decisions)
                assert trace.decisions.shape == (5, 6)
                assert bool(((trace.decisions > 0) & (trace.decisions < 1)).all())
                assert bool((trace.decisions.std(0) > 0).all()), "they look at the image"


@pytest.mark.parametrize("build", NETWORKS)
def test_their_blocks_always_run(build: Callable[[], nn.Module]) -> None:
    model, (x, _, _) = build(), images(5, 16)
    profile = profile_macs(model, (3, 16, 16))
    with torch.no_grad(), gating(model, Argmax()) as trace:
        model(x)
    assert profile.executed(trace.decisions).tolist() == [profile.total] * 5


@pytest.mark.parametrize("build", NETWORKS)
def test_a_gradient_leads_from_the_gates_to_the_image(build: Callable[[], nn.Module]) -> None:
    model, (x, _, _) = build(), images(5, 16)
    tracked = x.requires_grad_()
    with gating(model, Argmax()) as trace:
        model(tracked)
        for gate in trace.probabilities.sum(0):
            (gradient,) = torch.autograd.grad(gate, tracked, retain_graph=True)
            assert bool((gradient.flatten(1).norm(dim=1) > 0).all())


@pytest.mark.parametrize("build", NETWORKS)
def test_draws_at_once_leave_soft_gates_alone(build: Callable[[], nn.Module]) -> None:
    model, (x, _, _) = build(), images(5, 16)
    with torch.no_grad(), gating(model, Sampled(Stream.of(IDS, 1)), draws=3) as trace:
        rows = model(x)
    assert trace.draws is not None
    logits: Tensor = trace.draws.each(rows)
    assert shares_draws(model)
    assert torch.equal(logits, model(x).expand(3, -1, -1))
    assert trace.decisions.shape == (3, 5, 6)


@pytest.mark.parametrize("build", NETWORKS)
def test_a_fused_copy_is_a_copy(build: Callable[[], nn.Module]) -> None:
    model, (x, _, _) = build(), images(5, 16)
    copied = fused(model, torch.bfloat16)
    assert type(copied) is type(model)
    with gating(copied, Argmax()) as trace:
        torch.testing.assert_close(copied(x), model(x), rtol=1e-4, atol=1e-4)
    assert trace.gates == 6


def test_parameters_of_squeeze_and_excitation_are_the_published_ones() -> None:
    """2 / r · Σ C² weights (Hu et al., arXiv 1709.01507, equation 5), about 2.5 M in SE-ResNet-50, and biases."""
    shape = (3, 224, 224)
    plain, ours = (
        measure(find_model(f"imagenet/{name}")[1].model, 1000, shape)[0].parameters for name in ("resnet50", "se50")
    )
    channels = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    weights = sum(2 * c * c // 16 for c in channels)
    assert ours - plain == weights + sum(c + c // 16 for c in channels)
    assert f"{weights / 1e6:.1f}" == "2.5"
