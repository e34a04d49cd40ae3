"""What other providers' attacks achieve: against analytic distances, against FGSM and against each other."""

from typing import get_args

import pytest
import torch

from robustbench_aig.attacks import Attack, Corners, build_attack
from robustbench_aig.attacks.providers import foolbox, torchattacks
from robustbench_aig.recipes import FgsmRecipe
from robustbench_aig.recipes.provider_attacks import (
    AdvLibApgdRecipe,
    AdvLibApgdTargetedRecipe,
    AdvLibDdnRecipe,
    AdvLibFabRecipe,
    AdvLibFmnRecipe,
    FoolboxCwRecipe,
    FoolboxDdnRecipe,
    FoolboxFmnRecipe,
    FoolboxHopSkipJumpRecipe,
    Loss,
    PyautoattackRecipe,
    TorchattacksApgdRecipe,
    TorchattacksAutoAttackRecipe,
    TorchattacksCwRecipe,
    TorchattacksFabRecipe,
    TorchattacksSquareRecipe,
)
from tests.providers import QUICK, Linear, attacked, digits, name, right, threat, trained, untrained

LINF, L2 = ("linf",), ("l2",)
FGSM: dict[str, Attack] = {
    "linf": build_attack(FgsmRecipe(provider="torchattacks")),
    "l2": build_attack(FgsmRecipe(provider="foolbox")),
}
NEAREST = [
    (build_attack(FoolboxFmnRecipe()), LINF, 1.05),
    (build_attack(FoolboxCwRecipe(searches=6, steps=200, constant=0.1)), L2, 1.05),
    (build_attack(FoolboxDdnRecipe()), L2, 1.3),  # its last step is a tenth of these distances
    (build_attack(FoolboxHopSkipJumpRecipe(steps=15)), (*LINF, *L2), 1.5),
    (build_attack(AdvLibFmnRecipe()), (*LINF, *L2), 1.05),
    (build_attack(AdvLibDdnRecipe()), L2, 1.3),
    (build_attack(AdvLibFabRecipe()), (*LINF, *L2), 1.02),
    (build_attack(AdvLibFabRecipe(targets=9)), (*LINF, *L2), 1.02),
    (build_attack(TorchattacksFabRecipe()), (*LINF, *L2), 1.02),
    (build_attack(TorchattacksFabRecipe(targets=3)), (*LINF, *L2), 1.2),  # stops at the first class in the ball
    (build_attack(TorchattacksCwRecipe(steps=200)), L2, 1.2),  # one constant, no search for it
]


@pytest.mark.parametrize(
    ("attack", "norm", "most"),
    [(attack, norm, most) for attack, norms, most in NEAREST for norm in norms],
    ids=lambda value: name(value) if isinstance(value, Attack) else None,
)
def test_the_nearest_adversarial_image_is_as_near_as_it_can_be(attack: Attack, norm: str, most: float) -> None:
    """On average at most `most` times the analytic distance; never below it."""
    model = Linear().eval()
    x = 0.3 + 0.4 * torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    shortest = model.distances(x, y, norm)
    chosen = shortest.argsort(descending=True)[:10]  # a tiny distance is a fraction of some attacks' smallest step
    x, y, shortest = x[chosen], y[chosen], shortest[chosen].detach()
    ball = threat(norm, 6)
    found = attacked(attack, model, x, y, ball)
    assert found.reason is None
    assert not right(model, found.images, y).any()
    ratio = ball.distance(found.images, x) / shortest
    assert ratio.min() > 0.999
    assert ratio.mean() <= most


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_beyond_the_ball_is_returned_clean(norm: str) -> None:
    """A ball just smaller than the shortest way, and one just larger."""
    model = Linear().eval()
    x = 0.3 + 0.4 * torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    shortest = model.distances(x, y, norm)
    for attack in (
        build_attack(AdvLibFabRecipe()),
        build_attack(TorchattacksFabRecipe()),
        build_attack(FoolboxHopSkipJumpRecipe(steps=5)),
    ):
        ball = threat(norm, 0.97 * shortest.amin().item() / threat(norm).value)
        found = attacked(attack, model, x, y, ball)
        assert found.reason is None
        assert torch.equal(found.images, x)
    ball = threat(norm, 1.03 * shortest.amax().item() / threat(norm).value)
    assert not right(model, attacked(build_attack(AdvLibFabRecipe()), model, x, y, ball).images, y).any()


WEAK = (foolbox.FoolboxHopSkipJump, torchattacks.TorchattacksSquare, torchattacks.TorchattacksCw, foolbox.FoolboxCw)
STRONG = [
    *(attack for attack in QUICK if not isinstance(attack, WEAK)),
    build_attack(TorchattacksCwRecipe(steps=200, learning_rate=0.02)),
    build_attack(FoolboxCwRecipe(searches=5, steps=100, learning_rate=0.05, constant=1)),
]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", STRONG, ids=name)
def test_no_attack_leaves_much_more_than_fgsm(attack: Attack, norm: str) -> None:
    """Equal numbers for the strong ones; PGD's and FMN's few steps may leave an image of ten more."""
    if norm not in attack.norms:
        return
    model, (x, y), ball = trained(), digits(), threat(norm)
    reference = int(right(model, attacked(FGSM[norm], model, x, y, ball).images, y).sum())
    assert 0.2 * len(x) < reference < 0.8 * len(x)
    found = attacked(attack, model, x, y, ball)
    assert found.reason is None
    few = isinstance(attack, torchattacks.TorchattacksPgd | foolbox.FoolboxPgd)
    assert right(model, found.images, y).sum() <= reference + (len(x) // 10 if few else 1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    "attack",
    [
        build_attack(TorchattacksSquareRecipe(queries=300)),
        build_attack(FoolboxHopSkipJumpRecipe(steps=8, first=40)),
    ],
    ids=name,
)
def test_attacks_without_gradients_beat_noise_of_the_same_size(attack: Attack, norm: str) -> None:
    model, (x, y), ball = trained(), digits(24), threat(norm)
    left = int(right(model, attacked(attack, model, x, y, ball).images, y).sum())
    assert left <= int(right(model, attacked(Corners(), model, x, y, ball).images, y).sum()) - 3


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", get_args(Loss))
def test_two_providers_of_apgd_agree(norm: str, loss: Loss) -> None:
    """On the number of images that resist, to two of 48."""
    model, (x, y), ball = trained(), digits(), threat(norm)
    attacks: list[Attack] = [
        build_attack(TorchattacksApgdRecipe(loss=loss)),
        build_attack(AdvLibApgdRecipe(loss=loss)),
    ]
    left = [int(right(model, attacked(attack, model, x, y, ball).images, y).sum()) for attack in attacks]
    assert abs(left[0] - left[1]) <= 2


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_both_versions_of_autoattack_agree(norm: str) -> None:
    """Also on which images resist; nothing that a part of them does alone leaves fewer."""
    if norm == "linf":
        model, (x, y), ball = trained(), digits(16), threat(norm)
    else:  # with fewer classes, for the time
        model, x = untrained(4, (1, 8, 8)), digits(16)[0]
        y, ball = model(x).argmax(1), threat(norm, 0.5)
    left = [
        right(model, attacked(attack, model, x, y, ball).images, y)
        for attack in (
            build_attack(PyautoattackRecipe(queries=100)),
            build_attack(TorchattacksAutoAttackRecipe(steps=40, queries=100)),
            build_attack(AdvLibApgdTargetedRecipe(steps=40)),
            build_attack(TorchattacksApgdRecipe(steps=40)),
        )
    ]
    assert torch.equal(left[0], left[1])
    assert left[0].any()
    assert all((left[0] <= other).all() for other in left[2:])
