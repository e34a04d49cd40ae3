"""State dicts of others against the networks that they come from: the same logits, or one line that says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, Frozen, Open, gating
from robustbench_aig.models import build_model
from robustbench_aig.models.importing import Imported, fill, import_state
from robustbench_aig.models.state import read_state
from robustbench_aig.recipes import GatedResNetRecipe, ResNetRecipe
from robustbench_aig.zoo import find_model
from tests.models.official import MEAN, STD, OfficialNet, normalised
from tests.networks import images, stir

State = dict[str, Tensor]


def built(imported: Imported) -> nn.Module:
    assert imported.moments is not None
    mean, std = imported.moments
    network = build_model(imported.model, classes=imported.classes, mean=mean, std=std)
    fill(network, imported.state)
    return network.eval()


@pytest.mark.parametrize(
    ("blocks", "widths", "settings"),
    [
        (1, (16, 32, 64), {}),
        (3, (16, 32, 64), {}),
        (2, (8, 12, 20), {"classes": 7}),
        (2, (64, 128, 256), {"hidden": 5}),
        (1, (16, 16, 16), {"norm": False}),
        (18, (4, 8, 12), {"classes": 100}),
    ],
)
def test_the_official_network_gives_the_same_logits(blocks: int, widths: Any, settings: dict[str, Any]) -> None:
    """Under its own decisions and under any that are given, to 1e-5 of logits of order one."""
    theirs = OfficialNet(blocks, widths, **settings)
    imported = import_state(theirs.state_dict())
    model = built(imported)
    assert imported.name == f"convnet-aig-{6 * blocks + 2}"
    assert isinstance(imported.model, GatedResNetRecipe)
    assert imported.model.widths == list(widths)
    assert imported.classes == settings.get("classes", 10)
    x = images(6, 32)[0]
    with torch.no_grad():
        logits, decisions = theirs(normalised(x))
        with gating(model, Argmax()) as trace:
            assert (model(x) - logits).abs().max() < 1e-5
        assert torch.equal(trace.decisions, decisions)
        assert 0 < decisions.mean() < 1, "the gates of this test differ"
        given = torch.randint(0, 2, decisions.shape, generator=torch.Generator().manual_seed(1)).float()
        logits, _ = theirs(normalised(x), given)
        with gating(model, Frozen(given)):
            assert (model(x) - logits).abs().max() < 1e-5


def test_probabilities_of_the_gates_are_the_originals() -> None:
    """The second logit is the one that runs the block."""
    theirs = OfficialNet(2)
    model = built(import_state(theirs.state_dict()))
    x = images(4, 32)[0]
    with torch.no_grad(), gating(model, Argmax()) as trace:
        model(x)
        first = torch.relu(theirs.bn1(theirs.conv1(normalised(x))))
        expected = theirs.blocks()[0].gate(first).softmax(1)[:, 1]
    torch.testing.assert_close(trace.probabilities[:, 0], expected)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("counters", [False, True])
def test_as_files_of_the_official_code(tmp_path: Path, prefix: str, wrapped: bool, counters: bool) -> None:
    """On one GPU or several, a checkpoint or weights alone, of torch before and since batches were counted."""
    theirs = OfficialNet(1)
    kept = {
        prefix + name: value
        for name, value in theirs.state_dict().items()
        if counters or not name.endswith("num_batches_tracked")
    }
    assert any("num_batches_tracked" in name for name in kept) == counters
    content = {"epoch": 350, "state_dict": kept, "best_prec1": 94.24} if wrapped else kept
    torch.save(content, tmp_path / "best.pth.tar", _use_new_zipfile_serialization=False)
    model = built(import_state(read_state(tmp_path / "best.pth.tar")))
    x = images(3, 32)[0]
    with torch.no_grad(), gating(model, Argmax()):
        assert (model(x) - theirs(normalised(x))[0]).abs().max() < 1e-5


@pytest.mark.parametrize(("blocks", "widths"), [(1, (16, 32, 64)), (3, (8, 12, 16))])
def test_the_same_layout_without_gates(blocks: int, widths: Any) -> None:
    theirs = OfficialNet(blocks, widths, gated=False)
    imported = import_state(theirs.state_dict())
    assert type(imported.model) is ResNetRecipe
    x = images(5, 32)[0]
    with torch.no_grad():
        assert (built(imported)(x) - theirs(normalised(x))[0]).abs().max() < 1e-5


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_torchvisions_networks(architecture: str) -> None:
    theirs = models.get_model(architecture, weights=None, num_classes=6).eval()
    imported = import_state(theirs.state_dict())
    assert type(imported.model) is ResNetRecipe
    assert imported.name == f"resnet{imported.model.depth}" == architecture
    assert imported.classes == 6
    x = images(2, 64)[0]
    with torch.no_grad():
        torch.testing.assert_close(built(imported)(x), of_imagenet(theirs, x), rtol=1e-5, atol=1e-5)


def of_imagenet(theirs: nn.Module, x: Tensor) -> Tensor:
    """Logits for images in [0, 1]."""
    logits: Tensor = theirs(normalised(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return logits


def test_a_gated_network_starts_from_torchvisions_weights() -> None:
    """With all gates open it is the network that they come from; no tensor but the gates' is left out."""
    torch.manual_seed(0)
    theirs = stir(models.resnet50(num_classes=6))
    imported = import_state(theirs.state_dict())
    recipe = find_model("imagenet/aig50-t05")[1].model
    assert imported.moments
    mean, std = imported.moments
    network = build_model(recipe, classes=6, mean=mean, std=std).eval()
    missing, unknown = network.load_state_dict(imported.state, strict=False)
    assert not unknown
    assert all(".gate." in name or name.startswith("normalise.") or "num_batches" in name for name in missing)
    x = images(3, 64)[0]
    with torch.no_grad(), gating(network, Open()) as trace:
        torch.testing.assert_close(network(x), of_imagenet(theirs, x), rtol=1e-5, atol=1e-5)
    assert trace.gates == 16


@pytest.mark.parametrize("gated", [True, False])
def test_the_official_layout_for_imagenet(gated: bool) -> None:
    """That of torchvision but for two names, and with gates of CIFAR's kind."""
    torch.manual_seed(0)
    theirs = stir(models.resnet50(num_classes=6))
    state = {n.replace("fc.", "linear.").replace("downsample", "shortcut"): v for n, v in theirs.state_dict().items()}
    convs = {name.removesuffix("conv1.weight"): v.shape[1] for name, v in state.items() if ".conv1.w" in name}
    for block, channels in convs.items() if gated else ():
        head = {"fc1.weight": (16, channels, 1, 1), "fc1.bias": (16,), "fc2.weight": (2, 16, 1, 1), "fc2.bias": (2,)}
        state |= {block + name: torch.randn(shape) for name, shape in head.items()}
    imported = import_state(state)
    assert imported.name == ("convnet-aig-50" if gated else "imagenet-resnet-50")
    assert len(imported.model.targets) == (16 if gated else 0)
    x = images(2, 64)[0]
    with torch.no_grad(), gating(model := built(imported), Open()):
        torch.testing.assert_close(model(x), of_imagenet(theirs, x), rtol=1e-5, atol=1e-5)


def test_what_is_assumed_of_the_inputs() -> None:
    official = import_state(OfficialNet(1).state_dict())
    assert official.moments == (tuple(MEAN), tuple(STD))
    assert isinstance(official.model, GatedResNetRecipe)
    assert official.model.target == 0.6
    assert import_state(OfficialNet(1).state_dict(), 0.7).model.targets == [0.7] * 3
    grey = import_state(OfficialNet(1, channels=1).state_dict())
    assert grey.moments is None
    assert grey.channels == 1


def without(*names: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if name not in names}


def having(name: str, *shape: int) -> Callable[[State], State]:
    return lambda state: {**state, name: torch.zeros(shape)}


BAD: list[tuple[Callable[[State], State], str]] = [
    (without("layer2.0.shortcut.0.weight"), "1 of the .* ConvNet-AIG-14 are missing: 'layer2.0.shortcut.0.weight'"),
    (
        lambda state: {k: v for k, v in state.items() if not k.startswith("layer2.1.")},
        "blocks per stage are 2, 1, 2: only CIFAR networks can be read, three stages",
    ),
    (having("layer4.0.conv1.weight", 4, 4, 3, 3), "blocks per stage are 2, 2, 2, 1"),
    (having("layer1.0.conv3.weight", 4, 4, 3, 3), "1 tensors are unknown to ConvNet-AIG-14: 'layer1.0.conv3.weight'"),
    (having("layer3.1.conv2.weight", 64, 64, 5, 5), "'layer3.1.conv2.weight' is 64×64×5×5, where .* has 64×64×3×3"),
    (having("layer2.1.fc1.weight", 8, 32, 1, 1), "'layer2.1.fc1.weight' is 8×32×1×1, where .* has 16×32"),
    (having("layer2.1.fc2.weight", 2, 16, 3, 3), "'layer2.1.fc2.weight' is 2×16×3×3, where .* has 2×16"),
    (having("linear.weight", 10, 63), "'linear.weight' is 10×63, where .* has 10×64"),
    (having("linear.weight"), "'linear.weight' is of shape a single number, but tells the size"),
    (having("layer2.0.conv1.weight", 0, 16, 3, 3), "'layer2.0.conv1.weight' is of shape 0×16×3×3"),
    (without("layer2.0.conv1.weight"), "'layer2.0.conv1.weight' is missing, but tells the size"),
    (without("linear.weight"), "unknown network, with tensors such as 'conv1.weight', 'bn1.weight', .*known are"),
    (lambda state: {"weight": state["bn1.weight"]}, "unknown network, with tensors such as 'weight': known are"),
    (
        lambda state: {k.replace("layer1.0.", "layer1.5."): v for k, v in state.items()},
        "'layer1.0.conv1.weight' is missing",
    ),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_what_is_not_the_official_network_is_refused(change: Callable[[State], State], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        import_state(change(OfficialNet(2).state_dict()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnext50_32x4d", "'conv1.weight' is 64×3×7×7, where torchvision's resnet50 .* has 128×3×7×7"),
        ("wide_resnet50_2", "where torchvision's resnet50"),
    ],
)
def test_relatives_of_torchvisions_networks_are_refused(name: str, words: str) -> None:
    with torch.device("meta"):
        state = models.get_model(name, weights=None).state_dict()
    with pytest.raises(InputError, match=words):
        import_state(state)


def test_a_torchvision_network_that_is_not_whole() -> None:
    with torch.device("meta"):
        state = models.resnet18().state_dict()
    with pytest.raises(InputError, match=r"2 of the .* torchvision's resnet18 are missing: 'layer4.1.bn2.weight'"):
        import_state(without("layer4.1.bn2.weight", "fc.bias")(state))
    with pytest.raises(InputError, match="1 tensors are unknown to torchvision's resnet18: 'head'"):
        import_state(having("head", 3)(state))
    with pytest.raises(InputError, match=r"blocks per stage are 2, 2, 2, 2: only .* of four stages"):
        import_state(having("conv1.weight", 64, 3, 3, 3)(state))
    assert import_state(having("conv1.weight", 64, 1, 7, 7)(state)).moments is None


def test_a_plain_network_has_no_target_rate() -> None:
    with pytest.raises(InputError, match="has no gates: leave out the target"):
        import_state(OfficialNet(1, gated=False).state_dict(), 0.7)
