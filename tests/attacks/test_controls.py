"""The controls: random, simple or somebody else's changes, always inside the threat."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robustbench_aig.attacks import Attack, Attacked, Corners, Pgd, build_attack, run_attack
from robustbench_aig.attacks.attack_interface import OwnAttack
from robustbench_aig.attacks.noise import GreyImage, NoiseImage, Permuted, UniformNoise, others
from robustbench_aig.errors import InputError, RecipeError
from robustbench_aig.gating import Argmax, Sampled
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import AttackRecipe, ClassObjective, PgdRecipe, change_attack, validate
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack
from tests.networks import gated, images, plain

LINF = Threat.parse("8/255")
L2 = Threat.parse("0.5", "l2")
CONTROLS = [Corners(), UniformNoise(), GreyImage(), NoiseImage(), Permuted(Pgd(PgdRecipe(steps=2)))]


class Unasked(nn.Module):
    """A network that nobody may ask."""

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError


def run(attack: Attack, x: Tensor, threat: Threat = LINF, model: nn.Module | None = None, seed: int = 0) -> Attacked:
    y, ids = torch.arange(len(x)) % 10, torch.arange(len(x))
    return run_attack(attack, model or Unasked(), Argmax(), x, y, threat, stream=Stream.of(ids, seed), seed=0)


@dataclass(frozen=True)
class Shift(OwnAttack):
    """Every image its own change: one pixel, at the place of its label, up by the whole of epsilon."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        change = torch.zeros_like(x).flatten(1).scatter(1, y[:, None], threat.value)
        return (x + change.view_as(x)).clamp(0, 1)


@pytest.mark.parametrize("attack", CONTROLS)
@pytest.mark.parametrize("threat", [LINF, L2])
def test_controls_stay_in_the_ball_and_the_box(attack: Attack, threat: Threat) -> None:
    x = images(12)[0].round(decimals=1)  # some pixels at 0 and at 1
    attacked = run(attack, x, threat, plain(8))
    assert attacked.reason is None
    assert not attacked.failed.any()
    assert (attacked.images != x).flatten(1).any(1).all()


@pytest.mark.parametrize("attack", CONTROLS[:-1])
def test_an_images_change_is_its_own_and_asks_nothing(attack: Attack) -> None:
    x = images(12)[0]
    attacked = run(attack, x)
    assert attacked.reason is None
    assert (attacked.forwards, attacked.backwards) == (0, 0)
    streams, y = Stream.of(torch.arange(12), 0), torch.zeros(5, dtype=torch.int64)
    some = run_attack(attack, Unasked(), Argmax(), x[7:], y, LINF, stream=streams[7:], seed=9)
    assert torch.equal(some.images, attacked.images[7:])


def test_uniform_noise_fills_the_ball() -> None:
    x = torch.full((400, 1, 2, 2), 0.5)
    change = (run(UniformNoise(), x).images - x) / LINF.value
    assert change.abs().max() <= 1 + 1e-5
    assert change.mean().item() == pytest.approx(0, abs=0.05)
    assert change.std().item() == pytest.approx(3**-0.5, rel=0.05)
    radius = ((run(UniformNoise(), x, Threat.parse("0.4", "l2")).images - x) / 0.4).flatten(1).norm(dim=1)
    assert radius.pow(4).mean().item() == pytest.approx(0.5, rel=0.1)  # r^4 is uniform in four dimensions


def test_the_grey_image_is_reached_as_far_as_the_ball_goes() -> None:
    x = images(6)[0]
    assert (run(GreyImage(), x, Threat.parse("0.5")).images == 0.5).all()
    torch.testing.assert_close(run(GreyImage(), x).images, x + (0.5 - x).clamp(-LINF.value, LINF.value))
    moved, whole = (run(GreyImage(), x, L2).images - x).flatten(1), (0.5 - x).flatten(1)
    torch.testing.assert_close(moved, whole * (0.5 / whole.norm(dim=1, keepdim=True)))


def test_the_noise_image_is_reached_as_far_as_the_ball_goes() -> None:
    x = images(40)[0]
    whole = run(NoiseImage(), x, Threat.parse("0.999")).images
    assert whole.mean().item() == pytest.approx(0.5, abs=0.01)
    assert whole.std().item() == pytest.approx(0.24, abs=0.01)  # 0.25, less what is clipped at two sigma
    assert abs(torch.corrcoef(torch.stack([whole.flatten(), x.flatten()]))[0, 1]) < 0.02
    torch.testing.assert_close(run(NoiseImage(), x).images, x + (whole - x).clamp(-LINF.value, LINF.value))


@given(st.integers(2, 50), st.integers(0, 2**40))
def test_everyone_gets_the_change_of_another_one(count: int, seed: int) -> None:
    found = others(Stream.of(torch.arange(count), seed))
    assert sorted(found.tolist()) == list(range(count))
    assert (found != torch.arange(count)).all()


def test_who_gets_whose_is_drawn() -> None:
    orders = {tuple(others(Stream.of(torch.arange(6), seed)).tolist()) for seed in range(40)}
    assert len(orders) > 30


@pytest.mark.parametrize("threat", [LINF, L2])
def test_permuted_changes_are_those_of_other_images(threat: Threat) -> None:
    x = 0.3 + 0.2 * images(10)[0]
    changes = (run(Permuted(Shift()), x, threat).images - x).flatten(1)
    owner = changes.argmax(1)
    assert (owner != torch.arange(10)).all()
    assert sorted(owner.tolist()) == list(range(10))
    expected = torch.zeros_like(changes).scatter(1, owner[:, None], threat.value)
    torch.testing.assert_close(changes, expected, atol=1e-6, rtol=0)


def test_a_permuted_attack_is_weaker_than_the_attack() -> None:
    model, (x, _, _) = gated(depth=8), images(24)
    y = torch.arange(24) % 10
    attacks = (Permuted(Pgd(PgdRecipe(steps=8))), Pgd(PgdRecipe(steps=8)))
    permuted, own = (run(attack, x, LINF, model) for attack in attacks)
    losses = [nn.functional.cross_entropy(model(each.images), y).item() for each in (permuted, own)]
    assert losses[0] < losses[1]
    assert (permuted.forwards, permuted.backwards) == (own.forwards, own.backwards) == (8, 8)
    assert ((permuted.images - x).abs().flatten(1).mean(1) > 0.8 * (own.images - x).abs().flatten(1).mean(1)).all()


def test_an_image_alone_is_an_error_and_not_robust() -> None:
    attacked = run(Permuted(Shift()), images(1)[0])
    assert attacked.failed.all()
    assert attacked.reason is not None
    assert "alone in its chunk" in attacked.reason


def test_permuted_refuses_what_its_attack_refuses() -> None:
    attack = Permuted(Pgd(PgdRecipe(objective=ClassObjective(name="targeted-dlr"))))
    attack.refuse(4, (3, 12, 12), "linf")
    with pytest.raises(InputError):
        attack.refuse(3, (3, 12, 12), "linf")


def test_permuted_works_with_random_gates() -> None:
    x, y, ids = images(6)
    stream = Stream.of(ids, "attack")
    found = run_attack(Permuted(Pgd(PgdRecipe(steps=2))), gated(depth=8), Sampled(), x, y, LINF, stream=stream, seed=0)
    assert found.reason is None


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("corners", Corners()),
        ("uniform-noise", UniformNoise()),
        ("grey-image", GreyImage()),
        ("noise-image", NoiseImage()),
        ("permuted", Permuted(Pgd(PgdRecipe(steps=20, step=0.125)))),
        ("permuted:of.steps=3,of.step=0.5", Permuted(Pgd(PgdRecipe(steps=3, step=0.5)))),
    ],
)
def test_shipped_controls(name: str, attack: Attack) -> None:
    recipe = find_attack(name)[1]
    assert recipe.role == "control"
    assert build_attack(recipe.attack) == attack


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("of.provider=foolbox", "only the changes of provider 'aigrob'"),
        ("of.steps=0", "attack.of.steps"),
        ("of.stepps=3", "did you mean 'steps'"),
    ],
)
def test_permuted_recipes_that_cannot_be_meant(changes: str, words: str) -> None:
    content = {"summary": "s", "reference": "r", "attack": {"algorithm": "permuted", "of": {"algorithm": "pgd"}}}
    with pytest.raises(RecipeError, match=words):
        validate(AttackRecipe, change_attack(content, changes, "mine"), "mine")
