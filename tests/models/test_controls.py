"""The networks of other papers against their definitions."""

import pytest
import torch
import torch.nn.functional as F

from robustbench_aig.gating import Expected, Open, Random, Sampled, gating
from robustbench_aig.models.preact_resnet import PreActBlock, PreActResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.recipes import StochasticDepthRecipe
from tests.networks import CHANNELS, blocks, images, stir

SURVIVALS = (0.9, 0.5, 0.2)


def stochastic() -> StochasticDepthResNet:
    torch.manual_seed(0)
    return stir(StochasticDepthResNet(8, 10, widths=(8, 12, 16), survivals=SURVIVALS, **CHANNELS))


def test_survival_falls_linearly() -> None:
    """Huang et al., equation 4: of L = 54 blocks the first survives with 1 - 0.5 / 54, the last with 0.5."""
    rates = StochasticDepthRecipe(algorithm="stochastic-depth-resnet", depth=110).targets
    assert len(rates) == 54
    assert rates[0] == pytest.approx(1 - 0.5 / 54)
    assert rates[26] == pytest.approx(0.75)
    assert rates[-1] == 0.5


def test_at_test_every_block_is_weighted_by_its_survival() -> None:
    """Huang et al., equation 5."""
    model = stochastic()
    x = images(4)[0]
    with torch.no_grad(), gating(model, Expected()):
        out = model(x)
        h = model.stem(model.normalise(x))
        for block, survival in zip(blocks(model), SURVIVALS, strict=True):
            h = F.relu(block.shortcut(h) + survival * block.residual(h))
        expected = model.head(h.mean((2, 3)))
    torch.testing.assert_close(out, expected)


def test_in_training_blocks_survive_at_their_rates_whatever_the_image() -> None:
    model = stochastic()
    torch.manual_seed(0)
    x = images(1)[0].expand(4000, -1, -1, -1)[:, :, :4, :4]
    with torch.no_grad(), gating(model, Sampled()) as trace:
        model(x)
    # Three standard errors of a share over 4000 images are below 0.025.
    assert trace.decisions.mean(0).tolist() == pytest.approx(SURVIVALS, abs=0.025)
    assert bool((trace.probabilities == trace.probabilities[0]).all())


def test_rates_from_outside_replace_the_survivals() -> None:
    model = stochastic()
    torch.manual_seed(0)
    x = images(1)[0].expand(2000, -1, -1, -1)[:, :, :4, :4]
    with torch.no_grad(), gating(model, Random(torch.tensor([0.0, 1.0, 0.3]))) as trace:
        model(x)
    assert trace.decisions.mean(0).tolist() == pytest.approx([0, 1, 0.3], abs=0.035)


def test_a_block_that_always_survives_is_open_under_every_draw() -> None:
    model = stir(StochasticDepthResNet(8, 10, widths=(4, 4, 4), survivals=(1.0, 1.0, 1.0), **CHANNELS))
    x = images(200, 4)[0]
    with torch.no_grad():
        with gating(model, Sampled()) as trace:
            drawn = model(x)
        with gating(model, Open()):
            torch.testing.assert_close(drawn, model(x))
    assert bool((trace.decisions == 1).all())


def test_survival_rates_are_no_part_of_the_weights() -> None:
    plain_names = {name for name, _ in StochasticDepthResNet(8, 10, survivals=(1, 1, 1), **CHANNELS).named_parameters()}
    assert set(stochastic().state_dict()) >= plain_names
    assert not [name for name in stochastic().state_dict() if "gate" in name]


@pytest.mark.parametrize(("channels", "width", "stride"), [(6, 6, 1), (6, 9, 2)])
def test_a_pre_activation_block_by_hand(channels: int, width: int, stride: int) -> None:
    """He et al., arXiv 1603.05027, figure 4e; where the shape changes the shortcut takes the activated input."""
    block = stir(PreActBlock(channels, width, stride))
    weights = block.state_dict()
    x = torch.randn(3, channels, 8, 8)

    def norm(features: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return F.batch_norm(features, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"])

    a = F.relu(norm(x, "before.bn"))
    inner = F.conv2d(a, weights["residual.conv1.weight"], stride=stride, padding=1)
    branch = F.conv2d(F.relu(norm(inner, "residual.bn")), weights["residual.conv2.weight"], padding=1)
    skip = x if stride == 1 else F.conv2d(a, weights["shortcut.weight"], stride=stride)
    with torch.no_grad():
        torch.testing.assert_close(block(x), skip + branch)


def test_pre_activation_ends_with_norm_and_relu_and_starts_with_a_bare_convolution() -> None:
    model = stir(PreActResNet(8, 10, widths=(4, 6, 8), **CHANNELS))
    x = images(2)[0]
    features = []
    model.stages.register_forward_hook(lambda _, __, out: features.append(out))
    with torch.no_grad():
        model(x)
    assert features[0].min() == 0
    assert [name for name, _ in model.stem.named_children()] == ["conv"]
