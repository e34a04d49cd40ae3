"""What a network loses without a block, against networks whose block is really gone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from robustbench_aig.evaluation.lesions import removed
from robustbench_aig.models import GatedBlock
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.models.preact_resnet import PreActResNet
from robustbench_aig.models.resnet import ResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.models.torchvision import torchvision_resnet
from robustbench_aig.recipes import Family
from tests.evaluation.inspected import answers, balanced, image_set, inspected, network
from tests.networks import CHANNELS, blocks, gated, plain, stir


def silence(module: nn.Module) -> None:
    """Weights of a block's last layer to zero, so that its residual branch gives zeros."""
    assert isinstance(module, nn.BatchNorm2d | nn.Conv2d)
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def own_last_layers(model: nn.Module) -> list[nn.Module]:
    assert isinstance(model, ResNet)
    residuals = [module for name, module in model.named_modules() if name.endswith("residual")]
    return [list(residual.children())[-1] for residual in residuals]


def torchvision_last_layers(model: nn.Module) -> list[nn.Module]:
    assert isinstance(model, nn.Sequential)
    return [
        block.bn3 if hasattr(block, "bn3") else block.bn2
        for stage in (1, 2, 3, 4)
        for block in getattr(model.network, f"layer{stage}")
    ]


def preact() -> nn.Module:
    torch.manual_seed(0)
    return stir(PreActResNet(14, 10, widths=(8, 12, 16), **CHANNELS))


def stochastic() -> nn.Module:
    torch.manual_seed(0)
    return stir(
        StochasticDepthResNet(14, 10, widths=(8, 12, 16), survivals=[0.95, 0.9, 0.8, 0.7, 0.6, 0.5], **CHANNELS)
    )


def partly_forced() -> nn.Module:
    """The first and the fourth gate are forced open."""
    model = gated()
    forced = gated(target=1.0)
    for position in (0, 3):
        blocks(model)[position].gate = blocks(forced)[position].gate
    return model


def from_torchvision(name: str) -> nn.Module:
    torch.manual_seed(0)
    return stir(torchvision_resnet(name, 10, **CHANNELS))


@pytest.mark.parametrize(
    ("build", "family", "policy", "last_layers"),
    [
        (plain, "plain", "none", own_last_layers),
        (preact, "plain", "none", own_last_layers),
        (lambda: from_torchvision("resnet18"), "plain", "none", torchvision_last_layers),
        (lambda: from_torchvision("resnet50"), "plain", "none", torchvision_last_layers),
        (stochastic, "stochastic", "expected", own_last_layers),
        (stochastic, "stochastic", "random", own_last_layers),
        (gated, "gated", "argmax", own_last_layers),
        (gated, "gated", "sampled", own_last_layers),
        (gated, "gated", "expected", own_last_layers),
        (partly_forced, "gated", "argmax", own_last_layers),
        (partly_forced, "gated", "sampled", own_last_layers),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_lesions_against_networks_without_the_block(
    build: Callable[[], nn.Module], family: Family, policy: str, last_layers: Callable[[nn.Module], list[nn.Module]]
) -> None:
    model = balanced(build())
    # The labels are the intact network's own answers, but for a third of them.
    labels = answers(model, policy, image_set(30))
    labels[::3] = (labels[::3] + 1) % 10
    tested = image_set(30, labels)
    report = inspected(network(model, family), policy, tested)
    assert report.accuracy.count == 20
    assert len(report.lesions) == len(last_layers(model))
    for position, lesion in enumerate(report.lesions):
        without = copy.deepcopy(model)
        silence(last_layers(without)[position])
        right = (answers(without, policy, tested) == labels).tolist()
        assert lesion.accuracy.count == sum(right)
        assert lesion.lost == sum(not right[i] for i in range(30) if i % 3)
        assert lesion.gained == sum(right[i] for i in range(0, 30, 3))
        assert lesion.difference == pytest.approx((sum(right) - 20) / 30)
        assert lesion.accuracy.low < lesion.accuracy.value < lesion.accuracy.high or sum(right) in (0, 30)
    assert any(lesion.lost for lesion in report.lesions)


def test_blocks_are_named_like_gates_and_transitions_are_known() -> None:
    for model in (plain(), gated(), preact()):
        found = [(branch.name, branch.transition) for branch in residual_branches(model)]
        stages = [("1.1", False), ("1.2", False), ("2.1", True), ("2.2", False), ("3.1", True), ("3.2", False)]
        assert found == stages
    found = [(branch.name, branch.transition) for branch in residual_branches(from_torchvision("resnet50"))]
    assert [name for name, _ in found] == [f"{s}.{b}" for s, n in enumerate((3, 4, 6, 3), 1) for b in range(1, n + 1)]
    assert [name for name, transition in found if transition] == ["1.1", "2.1", "3.1", "4.1"]


def test_a_block_that_does_nothing_is_not_missed_under_random_gates() -> None:
    """Intact network and lesion meet the same noise; with fresh noise some of 200 answers would differ."""
    model = balanced(gated())
    silence(own_last_layers(model)[2])
    report = inspected(network(model), "sampled", image_set(200, answers(model, "sampled", image_set(200))))
    assert (report.lesions[2].lost, report.lesions[2].gained, report.lesions[2].p_value) == (0, 0, 1.0)
    assert report.lesions[1].lost > 0


def test_the_network_is_as_before_even_after_a_crash() -> None:
    model = balanced(gated(target=1.0))
    x = image_set(4).images
    before = model(x)
    branch = residual_branches(model)[0]

    def crash() -> None:
        with removed(branch):
            assert not torch.equal(model(x), before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    inspected(network(model), "argmax", image_set(12))
    torch.testing.assert_close(model(x), before)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(block.gate.trace is None for block in model.modules() if isinstance(block, GatedBlock))
