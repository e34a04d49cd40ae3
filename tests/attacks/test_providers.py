"""What other providers' attacks achieve: against analytic distances, against FGSM and against each other."""

import pytest
import torch

from robustbench_aig.attacks import Attack, Corners
from robustbench_aig.attacks.providers import adv_lib, foolbox, pyautoattack, torchattacks
from tests.providers import QUICK, Linear, attacked, digits, name, right, threat, trained, untrained

LINF, L2 = ("linf",), ("l2",)
FGSM: dict[str, Attack] = {"linf": torchattacks.TorchattacksFgsm(), "l2": foolbox.FoolboxFgsm()}
NEAREST = [
    (foolbox.FoolboxFmn(), LINF, 1.05),
    (foolbox.FoolboxCw(searches=6, steps=200, constant=0.1), L2, 1.05),
    (foolbox.FoolboxDdn(), L2, 1.3),  # its last step is a tenth of these distances
    (foolbox.FoolboxHopSkipJump(steps=15), (*LINF, *L2), 1.5),
    (adv_lib.AdvLibFmn(), (*LINF, *L2), 1.05),
    (adv_lib.AdvLibDdn(), L2, 1.3),
    (adv_lib.AdvLibFab(), (*LINF, *L2), 1.02),
    (adv_lib.AdvLibFab(targets=9), (*LINF, *L2), 1.02),
    (torchattacks.TorchattacksFab(), (*LINF, *L2), 1.02),
    (torchattacks.TorchattacksFab(targets=3), (*LINF, *L2), 1.2),  # torchattacks stops at the first class in the ball
    (torchattacks.TorchattacksCw(steps=200), L2, 1.2),  # one constant, no search for it
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
    for attack in (adv_lib.AdvLibFab(), torchattacks.TorchattacksFab(), foolbox.FoolboxHopSkipJump(steps=5)):
        ball = threat(norm, 0.97 * shortest.amin().item() / threat(norm).value)
        found = attacked(attack, model, x, y, ball)
        assert found.reason is None
        assert torch.equal(found.images, x)
    ball = threat(norm, 1.03 * shortest.amax().item() / threat(norm).value)
    assert not right(model, attacked(adv_lib.AdvLibFab(), model, x, y, ball).images, y).any()


WEAK = (foolbox.FoolboxHopSkipJump, torchattacks.TorchattacksSquare, torchattacks.TorchattacksCw, foolbox.FoolboxCw)
STRONG = [
    *(attack for attack in QUICK if not isinstance(attack, WEAK)),
    torchattacks.TorchattacksCw(steps=200, learning_rate=0.02),
    foolbox.FoolboxCw(searches=5, steps=100, learning_rate=0.05, constant=1),
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
    [torchattacks.TorchattacksSquare(queries=300), foolbox.FoolboxHopSkipJump(steps=8, first=40)],
    ids=name,
)
def test_attacks_without_gradients_beat_noise_of_the_same_size(attack: Attack, norm: str) -> None:
    model, (x, y), ball = trained(), digits(24), threat(norm)
    left = int(right(model, attacked(attack, model, x, y, ball).images, y).sum())
    assert left <= int(right(model, attacked(Corners(), model, x, y, ball).images, y).sum()) - 3


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_two_providers_of_apgd_agree(norm: str, loss: str) -> None:
    """On the number of images that resist, to two of 48."""
    model, (x, y), ball = trained(), digits(), threat(norm)
    attacks: list[Attack] = [torchattacks.TorchattacksApgd(loss, 50), adv_lib.AdvLibApgd(loss, 50)]  # type: ignore[arg-type]
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
            pyautoattack.Pyautoattack(queries=100),
            torchattacks.TorchattacksAutoAttack(steps=40, queries=100),
            adv_lib.AdvLibApgdTargeted(steps=40),
            torchattacks.TorchattacksApgd(steps=40),
        )
    ]
    assert torch.equal(left[0], left[1])
    assert left[0].any()
    assert all((left[0] <= other).all() for other in left[2:])
