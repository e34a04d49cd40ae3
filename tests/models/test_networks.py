"""The networks against published counts and against the definition of a gated block."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robustbench_aig.gating import Argmax, Frozen, Open, OpenGate, Sampled, gating
from robustbench_aig.models import GatedResNet, ResNet, build_model, profile_macs
from robustbench_aig.recipes import GatedResNetRecipe, ResNetRecipe
from tests.networks import CHANNELS, Channels, blocks, gated, gates, images, plain


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_resnet_110_has_the_published_size_and_cost() -> None:
    """1.7 M parameters and 0.5 GFLOPs at two operations per multiply-accumulate (arXiv 1711.11503v1, table 1)."""
    model = ResNet(110, 10, **CHANNELS)
    assert parameters(model) == 1_730_714
    assert profile_macs(model, (3, 32, 32)).total == pytest.approx(253.1e6, abs=0.05e6)


def test_gated_110_adds_two_percent_of_parameters_and_almost_no_compute() -> None:
    model = GatedResNet(110, 10, targets=[0.6] * 54, **CHANNELS)
    assert parameters(model) == 1_766_630
    profile = profile_macs(model, (3, 32, 32))
    plain_total = profile_macs(ResNet(110, 10, **CHANNELS), (3, 32, 32)).total
    gate_cost = sum(16 * c + 32 for c in [16] * 18 + [16] + [32] * 17 + [32] + [64] * 17)
    assert profile.total == plain_total + gate_cost
    assert len(profile.blocks) == 54


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_parameter_counts_of_the_resnet_paper(depth: int) -> None:
    """0.27, 0.46, 0.66 and 0.85 M (He et al., table 6); our projection shortcuts add 2,752 to the paper's padding."""
    published = {20: 0.27e6, 32: 0.46e6, 44: 0.66e6, 56: 0.85e6}[depth]
    assert parameters(ResNet(depth, 10, **CHANNELS)) == pytest.approx(published, abs=0.01e6)


def test_macs_count_convolutions_by_hand() -> None:
    """Depth 8, widths 8-12-16, 12×12 pixels: each convolution is k²·in·out·h·w, each linear layer in·out."""
    model = GatedResNet(8, 10, widths=(8, 12, 16), targets=[0.5] * 3, **CHANNELS)
    profile = profile_macs(model, (3, 12, 12))
    assert profile.blocks == (
        9 * (8 * 8 + 8 * 8) * 144,
        9 * (8 * 12 + 12 * 12) * 36,
        9 * (12 * 16 + 16 * 16) * 9,
    )
    stem, shortcuts, head = 9 * 3 * 8 * 144, 8 * 12 * 36 + 12 * 16 * 9, 16 * 10
    gates = sum(c * 16 + 32 for c in (8, 8, 12))
    assert profile.fixed == stem + shortcuts + head + gates
    executed = profile.executed(torch.tensor([[1.0, 0, 1], [0, 0, 0]]))
    assert executed.tolist() == [profile.fixed + profile.blocks[0] + profile.blocks[2], profile.fixed]


def test_gates_start_open_with_the_papers_probability() -> None:
    model = GatedResNet(20, 10, targets=[0.6] * 9, **CHANNELS).eval()
    with torch.no_grad(), gating(model, Argmax()) as trace:
        model(images(8, 32)[0])
    assert trace.probabilities.mean().item() == pytest.approx(0.87, abs=0.005)
    deviations = [gate.fc2.weight.std().item() for gate in gates(model)]
    assert sum(deviations) / len(deviations) == pytest.approx(0.001, rel=0.3)


def test_a_gated_block_is_shortcut_plus_decision_times_residual() -> None:
    model = gated()
    block = blocks(model)[2]
    x = torch.rand(4, 8, 6, 6)
    decisions = torch.tensor([[0.0], [1], [1], [0]])
    with torch.no_grad(), gating(block, Frozen(decisions)):
        out = block(x)
        expected = F.relu(block.shortcut(x) + decisions.view(4, 1, 1, 1) * block.residual(x))
    torch.testing.assert_close(out, expected)


def test_all_open_gated_network_equals_its_plain_twin() -> None:
    model, twin = gated(), plain()
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if ".gate." not in k})
    x, _, _ = images(5)
    with torch.no_grad(), gating(model, Open()):
        torch.testing.assert_close(model(x), twin(x))


def test_target_one_is_truly_forced_open() -> None:
    targets = [1.0, 0.5, 1.0]
    model = GatedResNet(8, 10, targets=targets, **CHANNELS).eval()
    assert [isinstance(block.gate, OpenGate) for block in blocks(model)] == [True, False, True]
    with torch.no_grad(), gating(model, Frozen(torch.zeros(2, 3))) as trace:
        model(images(2)[0])
    assert trace.decisions.tolist() == [[1, 0, 1]] * 2
    assert trace.probabilities[:, [0, 2]].tolist() == [[1, 1]] * 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 30), (3, 64, 48)])
def test_any_image_size_and_channel_count(shape: tuple[int, int, int]) -> None:
    channels = shape[0]
    statistics: Channels = {"mean": [0.5] * channels, "std": [0.2] * channels}
    for recipe in (
        ResNetRecipe(algorithm="resnet", depth=8),
        GatedResNetRecipe(algorithm="gated-resnet", depth=8, target=[0.4, 1.0, 0.7]),
    ):
        model = build_model(recipe, classes=7, **statistics)
        with gating(model, Sampled()):
            assert model(torch.rand(2, *shape)).shape == (2, 7)
        assert profile_macs(model, shape).total > 0


def test_normalisation_is_the_first_layer() -> None:
    model = plain()
    x, _, _ = images(64)
    normalised = model.normalise(x * 0 + torch.tensor(CHANNELS["mean"]).view(1, 3, 1, 1))
    assert normalised.abs().max() < 1e-6
    assert {"normalise.mean", "normalise.std"} <= set(model.state_dict())


@pytest.mark.parametrize("depth", [7, 9, 2, 21])
def test_impossible_depth_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n"):
        ResNet(depth, 10, **CHANNELS)


def test_gate_norm_and_width_are_switches() -> None:
    with_norm = GatedResNet(8, 10, targets=[0.5] * 3, **CHANNELS)
    without = GatedResNet(8, 10, targets=[0.5] * 3, gate_norm=False, hidden=4, **CHANNELS)
    assert parameters(with_norm) - parameters(without) == sum(12 * c + 12 + 32 + 24 for c in (16, 16, 32))
