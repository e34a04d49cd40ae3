"""A direction never depends on the gradient's scale: the same images from a network whose logits are multiplied."""

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import build_attack, run_attack
from robustbench_aig.gating import Argmax
from robustbench_aig.norms import unit
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack

BALL = Threat.parse("0.4", "l2")


class Curved(nn.Module):
    """Logits (B, classes), times a power of two: so scaled, every number of a pass is the same but for its exponent."""

    def __init__(self, exponent: int, classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, classes))
        self.scale = 2.0**exponent

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x - 0.5)
        return 4 * logits * self.scale


def attacked(name: str, model: nn.Module, threat: Threat = BALL) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x, ids = torch.rand(12, 3, 4, 4, generator=generator), torch.arange(12)
    with torch.no_grad():
        y = model(x).argmax(1)
    attack = build_attack(find_attack(name)[1].attack)
    found = run_attack(attack, model, Argmax(), x, y, threat, stream=Stream.of(ids, "scale"), seed=0)
    assert found.reason is None
    return found.images


SCALE_FREE = [
    "fgsm:objective.name=margin",
    "pgd:objective.name=margin",
    "apgd:objective.name=margin,keep=last",
    "pgd:objective.name=dlr",
    "apgd:objective.name=dlr,keep=last",
    "apgd:objective.name=targeted-dlr,keep=last",
]
PROVIDERS = ["apgd-torchattacks:loss=dlr,steps=20", "apgd-t-torchattacks:steps=10,targets=2"]


@pytest.mark.parametrize("exponent", [-66, -50, -40, -20, 10])
@pytest.mark.parametrize("name", [*SCALE_FREE, *PROVIDERS])
def test_the_images_are_the_same_whatever_the_scale_of_the_logits(name: str, exponent: int) -> None:
    plain, scaled = attacked(name, Curved(0)), attacked(name, Curved(exponent))
    assert torch.equal(plain, scaled)


class Sure(nn.Module):
    """Two opposite logits: cross-entropy's gradient has one direction, and its length falls as logits grow."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.scale = nn.Linear(48, 1), scale

    def forward(self, x: Tensor) -> Tensor:
        half: Tensor = self.scale * self.linear((x - 0.5).flatten(1))
        return torch.cat([half, -half], 1)


@pytest.mark.parametrize(
    "name",
    [
        *("fgsm", "pgd:random_start=false", "fgsm-foolbox", "pgd-foolbox:random_start=false"),
        "pgd-torchattacks:random_start=false",
    ],
)
def test_a_sure_network_is_led_the_same_way_as_an_unsure_one(name: str) -> None:
    small = Threat.parse("0.1", "l2")
    unsure, sure = Sure(1.0), Sure(300.0)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(12, 3, 4, 4, generator=generator).requires_grad_()
    y = unsure(x).argmax(1)
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(sure(x), y, reduction="sum"), x)
    length = gradient.flatten(1).norm(dim=1)
    hidden = (length < 1e-10) & (gradient.flatten(1).abs().amax(1) > 0)
    assert hidden.sum() >= 2, "the test is about such images"
    there = [attacked(name, model, small)[hidden] for model in (unsure, sure)]
    assert (there[0] - there[1]).abs().max() < 1e-4


def test_unit_vectors() -> None:
    vectors = torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = unit(vectors)
    torch.testing.assert_close(plain.flatten(1).norm(dim=1), torch.ones(20))
    long = vectors.double()
    torch.testing.assert_close(plain.double(), long / long.flatten(1).norm(dim=1).view(-1, 1, 1, 1), rtol=1e-6, atol=0)
    for exponent in (-100, -60, 60, 100):
        assert torch.equal(unit(vectors.double().mul(2.0**exponent).float()), plain)
    tiny = unit(torch.full((1, 2, 2, 2), 1e-44))
    torch.testing.assert_close(tiny.norm(), torch.tensor(1.0))
    assert not unit(torch.zeros(2, 3, 4, 4)).any()
    assert unit(torch.tensor([[torch.nan, 1.0], [3.0, 4.0]]))[1].tolist() == pytest.approx([0.6, 0.8])
