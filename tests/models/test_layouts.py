"""Networks of other layouts than CIFAR's: against torchvision, what is printed of them, and their definition."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision import models

from robustbench_aig.gating import Frozen, OpenGate, gating
from robustbench_aig.models import GatedResNet, ResNet, build_model, matched_depth, measure, profile_macs
from robustbench_aig.models.resnet import Projection
from robustbench_aig.recipes import GatedResNetRecipe, ModelSettings, PreActResNetRecipe, ResNetRecipe, WideResNetRecipe
from robustbench_aig.zoo import find_model
from tests.networks import CHANNELS, Channels, blocks, images
from tests.tools.test_recipe_figures import close

PHOTO, CIFAR = (3, 224, 224), (3, 32, 32)
SMALL: dict[str, Any] = {"stages": [1, 2, 2, 1], "widths": [4, 6, 6, 8], "bottleneck": True, "stem": "imagenet"}


def settings_of(name: str) -> ModelSettings:
    return find_model(name)[1].model


def gated(name: str) -> GatedResNetRecipe:
    model = settings_of(name)
    assert isinstance(model, GatedResNetRecipe)
    return model


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_imagenet_networks_measure_what_torchvision_says_of_its_own(depth: int) -> None:
    weights = models.get_model_weights(f"resnet{depth}")["IMAGENET1K_V1"].meta
    figures = measure(settings_of(f"imagenet/resnet{depth}"), 1000, PHOTO)[0]
    assert figures.parameters == weights["num_params"]
    assert figures.macs / 1e9 == pytest.approx(weights["_ops"], abs=0.001)


def with_stride_first(model: nn.Module) -> nn.Module:
    """The bottleneck of He et al., whose first convolution has the stride."""
    for module in model.modules():
        if isinstance(module, nn.Sequential) and hasattr(module, "conv3"):
            first, second = module[0], module[3]
            assert isinstance(first, nn.Conv2d)
            assert isinstance(second, nn.Conv2d)
            first.stride, second.stride = second.stride, (1, 1)
    return model


def macs_with_stride_first(name: str, classes: int, shape: tuple[int, int, int]) -> int:
    with torch.device("meta"):
        model = build_model(settings_of(name), classes=classes, **CHANNELS)
    return profile_macs(with_stride_first(model), shape).total


@pytest.mark.parametrize(("depth", "printed"), [(50, "3.8 G"), (101, "7.6 G")])
def test_the_printed_operations_have_the_stride_in_the_first_convolution(depth: int, printed: str) -> None:
    assert close(macs_with_stride_first(f"imagenet/resnet{depth}", 1000, PHOTO), printed)


def test_convolutions_for_imagenet_begin_as_torchvisions() -> None:
    theirs, ours = models.resnet18(), build_model(settings_of("imagenet/resnet18"), classes=1000, **CHANNELS)
    found = [[m.weight.std().item() for m in model.modules() if isinstance(m, nn.Conv2d)] for model in (ours, theirs)]
    assert sorted(found[0]) == pytest.approx(sorted(found[1]), rel=0.05)


# Schedules of ConvNet-AIG for ImageNet, as the official code's README has them.


@pytest.mark.parametrize("rate", [0.4, 0.5, 0.6, 0.7])
def test_the_schedule_of_the_network_of_50_layers(rate: float) -> None:
    t = rate
    assert gated(f"imagenet/aig50-t0{10 * t:.0f}").targets == [1, 1, 0.8, 1, t, t, t, 1, t, t, t, t, t, 1, 0.7, 1]


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_the_schedule_of_the_network_of_101_layers(rate: float) -> None:
    assert gated(f"imagenet/aig101-t0{10 * rate:.0f}").targets == [1] * 8 + [rate] * 25


def test_blocks_with_target_one_always_run() -> None:
    """Unlike in the official code, which draws their gates and reports them as open."""
    recipe = gated("imagenet/aig50-t04").model_copy(update={"widths": [4, 4, 4, 4]})
    model = build_model(recipe, classes=10, **CHANNELS).eval()
    forced = [target == 1 for target in recipe.targets]
    assert [isinstance(block.gate, OpenGate) for block in blocks(model)] == forced
    with torch.no_grad(), gating(model, Frozen(torch.zeros(2, 16))) as trace:
        model(images(2, 32)[0])
    assert trace.decisions.tolist() == [[float(open_) for open_ in forced]] * 2


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("imagenet/aig50-t04", 2.56),
        ("imagenet/aig50-t05", 2.71),
        ("imagenet/aig50-t06", 2.88),
        ("imagenet/aig50-t07", 3.09),
    ],
)
def test_printed_operations_are_the_share_of_blocks_times_those_of_the_plain_network(name: str, printed: float) -> None:
    """Figure 3 of the paper, read off to 0.01, is 3.8 G times the schedule's mean rate, to 1.5 %.

    Stem, shortcuts and classifier always run, so that the network itself needs more at these rates.
    """
    recipe = gated(name)
    assert 3.8 * sum(recipe.targets) / 16 == pytest.approx(printed, rel=0.015)
    profile = measure(recipe, 1000, PHOTO)[1]
    at_rates = profile.fixed + sum(rate * macs for rate, macs in zip(recipe.targets, profile.blocks, strict=True))
    assert at_rates > 1.1 * printed * 1e9


def test_parameters_of_the_gates_of_50_layers() -> None:
    """26.56 M are printed, 1.00 M more than without gates: of C / 16 hidden units each, not of the code's 16."""
    channels = [64, 256, 256, 256, 512, 512, 512, 512, *[1024] * 5, 1024, 2048, 2048]
    plain, ours = (
        measure(settings_of(f"imagenet/{name}"), 1000, PHOTO)[0].parameters for name in ("resnet50", "aig50")
    )

    def gates(hidden: Sequence[int]) -> int:
        return sum(c * h + h + 2 * h + 2 * h + 2 for c, h in zip(channels, hidden, strict=True))

    assert ours - plain == gates([16] * 16)
    assert f"{(plain + gates([c // 16 for c in channels])) / 1e6:.2f}" == "26.56"


# Wide AdaNet-89, of which the first version of the paper prints stages, parameters and operations, but no widths.


def test_the_printed_operations_of_the_wide_network_tell_its_widths() -> None:
    """2.13 G with all blocks executed: multiply-accumulates, the stride in the first convolution of a bottleneck."""
    assert f"{macs_with_stride_first('cifar10/wide-aig89', 10, CIFAR) / 1e9:.2f}" == "2.13"
    figures = measure(settings_of("cifar10/wide-aig89"), 10, CIFAR)[0]
    assert figures.macs / 2.13e9 == pytest.approx(1.037, abs=0.001)
    assert figures.parameters / 36.1e6 == pytest.approx(0.972, abs=0.001)


def test_the_printed_operations_at_the_executed_share_of_the_wide_network() -> None:
    """1.6 G is 75 % of 2.13 G; of ours it is what 71 % of the gated compute needs."""
    profile = measure(settings_of("cifar10/wide-aig89"), 10, CIFAR)[1]
    assert f"{1.6 / 2.13:.0%}" == "75%"
    assert (1.6e9 - profile.fixed) / sum(profile.blocks) == pytest.approx(0.71, abs=0.005)


def test_transitions_of_the_wide_network_lie_where_they_were_printed() -> None:
    with torch.device("meta"):
        model = build_model(settings_of("cifar10/wide-aig89"), classes=10, **CHANNELS)
    halves = [
        block.shortcut.stride == 2 if isinstance(block.shortcut, Projection) else False for block in blocks(model)
    ]
    assert [position for position, changes in enumerate(halves) if changes] == [3, 7, 27]
    assert len(halves) == 29


# Layouts in general.


def test_macs_of_a_bottleneck_network_by_hand() -> None:
    """32×32 pixels: the stem leaves 8×8, the stages 8, 4, 2 and 1; a 3×3 convolution with a stride comes second."""
    model = GatedResNet(20, 10, targets=[0.5] * 6, **SMALL, **CHANNELS)
    profile = profile_macs(model, (3, 32, 32))

    def block(channels: int, width: int, before: int, after: int) -> int:
        return channels * width * before + 9 * width * width * after + 4 * width * width * after

    assert profile.blocks == (
        block(4, 4, 64, 64),
        block(16, 6, 64, 16),
        block(24, 6, 16, 16),
        block(24, 6, 16, 4),
        block(24, 6, 4, 4),
        block(24, 8, 4, 1),
    )
    stem, head = 49 * 3 * 4 * 256, 32 * 10
    shortcuts = 4 * 16 * 64 + 16 * 24 * 16 + 24 * 24 * 4 + 24 * 32 * 1
    gates = sum(c * 16 + 32 for c in (4, 16, 24, 24, 24, 24))
    assert profile.fixed == stem + shortcuts + head + gates


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 30), (3, 1, 1)])
def test_any_image_size_for_an_imagenet_network(shape: tuple[int, int, int]) -> None:
    statistics: Channels = {"mean": [0.5] * shape[0], "std": [0.2] * shape[0]}
    model = GatedResNet(20, 7, targets=[0.5] * 6, **SMALL, **statistics).eval()
    assert model(torch.rand(2, *shape)).shape == (2, 7)


def test_wide_networks_begin_with_sixteen_channels_and_project_in_every_stage() -> None:
    model = build_model(WideResNetRecipe(algorithm="wide-resnet", depth=16, factor=2), classes=10, **CHANNELS)
    assert isinstance(model, ResNet)
    projections = [name for name, module in model.named_modules() if name.endswith("shortcut") and module is not None]
    assert projections == ["stages.0.0.shortcut", "stages.1.0.shortcut", "stages.2.0.shortcut"]
    shapes = [tuple(module.weight.shape[:2]) for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert shapes[0] == (16, 3)
    assert {width for width, _ in shapes[1:]} == {32, 64, 128}
    # Sixteen layers with the stem and three shortcuts, the last layer not counted.
    assert len(shapes) == 16


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"depth": 21}, r"6n \+ 2"),
        ({"depth": 50, "bottleneck": True}, r"9n \+ 2"),
        ({"depth": 50, "stages": [3, 4, 6, 3], "widths": [1, 2, 3, 4]}, "make depth 34, not 50"),
        ({"depth": 34, "stages": [3, 4, 6, 3]}, "widths has 3 numbers for 4 stages"),
    ],
)
def test_layouts_that_contradict_themselves(layout: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ResNetRecipe(algorithm="resnet", **layout)
    with pytest.raises(ValueError, match=words):
        ResNet(**layout, classes=10, **CHANNELS)


def test_only_equal_stages_have_a_plain_network_of_matched_compute() -> None:
    rates = [0.3] * 16
    assert matched_depth(gated("imagenet/aig50-t04"), rates, 10, CIFAR) == 50
    equal = GatedResNetRecipe(algorithm="gated-resnet", depth=29, bottleneck=True)
    found = [matched_depth(equal, [rate] * 9, 10, CIFAR) for rate in (0.0, 0.6, 1.0)]
    assert found == sorted(found)
    assert (found[0], found[1], found[2]) == (11, 20, 29)


def test_gates_of_another_number_than_blocks() -> None:
    with pytest.raises(ValueError, match="has 6 gates, got 5 targets"):
        GatedResNet(20, 10, targets=[0.5] * 5, **SMALL, **CHANNELS)


@pytest.mark.parametrize("change", [{"bottleneck": True, "depth": 20}, {"stem": "imagenet", "depth": 20}])
def test_pre_activation_networks_are_cifars(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="leave out stages, bottleneck and stem"):
        PreActResNetRecipe(algorithm="preact-resnet", **change)


@pytest.mark.parametrize("depth", [4, 38, 41])
def test_impossible_depths_of_wide_networks(depth: int) -> None:
    with pytest.raises(ValidationError, match=r"6n \+ 4 and at least 10"):
        WideResNetRecipe(algorithm="wide-resnet", depth=depth, factor=4)
