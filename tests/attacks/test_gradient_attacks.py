"""Our attacks against analytic optima, against the other providers, and in their handling of randomness."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from robustbench_aig.attacks import Attack, Attacked, Corners, Fgsm, Pgd, build_attack, run_attack
from robustbench_aig.attacks.attack_loop import parts
from robustbench_aig.gating import Argmax, Policy, Sampled
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import CornersRecipe, DeployedMode, FgsmRecipe, PgdRecipe
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import attack_names, find_attack
from tests.networks import gated, images, plain

LINF = Threat.parse("8/255")
L2 = Threat.parse("0.5", "l2")


def attack_all(attack: Attack, model: nn.Module, policy: Policy, threat: Threat, count: int = 16) -> Attacked:
    x, y, ids = images(count)
    return run_attack(attack, model, policy, x, y, threat, stream=Stream.of(ids, 0), seed=1)


class Linear(nn.Module):
    """Two classes, logit difference w · x: the worst point of a ball is known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3 * 12 * 12, generator=torch.Generator().manual_seed(0)) * 0.05)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x.flatten(1) - 0.5) @ self.w
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.mark.parametrize(
    "attack",
    [
        Fgsm(FgsmRecipe()),
        Pgd(PgdRecipe(steps=80)),
        Pgd(PgdRecipe(random_start=False, steps=10)),
        build_attack(PgdRecipe(provider="torchattacks", steps=80)),
        build_attack(PgdRecipe(provider="foolbox", steps=80)),
    ],
)
@pytest.mark.parametrize("threat", [LINF, L2])
def test_linear_model_is_driven_to_its_analytic_optimum(attack: Attack, threat: Threat) -> None:
    """Away from the box the lowest margin of class 1 is w·x - eps·||w|| in the dual norm."""
    model = Linear()
    x = 0.4 + 0.2 * images(8)[0]  # too far from 0 and 1 for the box to matter
    y = torch.ones(8, dtype=torch.int64)
    attacked = run_attack(attack, model, Argmax(), x, y, threat, stream=Stream.of(torch.arange(8), 0), seed=0)
    assert attacked.reason is None
    dual = model.w.abs().sum() if threat.norm == "linf" else model.w.norm()
    expected = model(x)[:, 1] - threat.value * dual
    torch.testing.assert_close(model(attacked.images)[:, 1], expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("network", [plain, gated])
@pytest.mark.parametrize(
    ("own", "others"),
    [
        (
            Fgsm(FgsmRecipe()),
            (build_attack(FgsmRecipe(provider="torchattacks")), build_attack(FgsmRecipe(provider="foolbox"))),
        ),
        (
            Pgd(PgdRecipe(steps=10, step=0.25, random_start=False)),
            (
                build_attack(PgdRecipe(provider="torchattacks", steps=10, step=0.25, random_start=False)),
                build_attack(PgdRecipe(provider="foolbox", steps=10, step=0.25, random_start=False)),
            ),
        ),
    ],
)
def test_three_providers_make_equal_images(network: object, own: Attack, others: tuple[Attack, ...]) -> None:
    model = network()  # type: ignore[operator]
    ours = attack_all(own, model, Argmax(), LINF).images
    assert (ours - images(16)[0]).abs().max() > 0.9 * LINF.value
    for other in others:
        assert (attack_all(other, model, Argmax(), LINF).images - ours).abs().max() <= 1e-6


@given(count=st.integers(1, 500), half=st.booleans())
def test_parts_are_all_images_once_and_of_nearly_one_size(count: int, half: bool) -> None:
    model = nn.Linear(1, 1, dtype=torch.bfloat16 if half else torch.float32)
    found = parts(count, model, torch.device("cpu"))
    assert [place for part in found for place in range(part.start, part.stop)] == list(range(count))
    sizes = [part.stop - part.start for part in found]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= (64 if half else 43)
    assert len(parts(count, model, torch.device("meta"))) == 1


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
@pytest.mark.parametrize(
    "attack", [Fgsm(FgsmRecipe()), Pgd(PgdRecipe(steps=4)), Pgd(PgdRecipe(steps=4, keep="first")), Corners()]
)
@pytest.mark.parametrize("threat", [LINF, L2])
def test_an_images_attack_does_not_depend_on_its_chunk(attack: Attack, policy: str, threat: Threat) -> None:
    """Random start and gate noise are the same in chunks of 16, 64 and 100."""
    x, y, ids = images(100)
    model = gated(depth=8)

    def run(size: int) -> torch.Tensor:
        found = []
        for start in range(0, 100, size):
            part = slice(start, start + size)
            gates = Sampled(Stream.of(ids[part], "gates")) if policy == "sampled" else Argmax()
            stream = Stream.of(ids[part], "attack")
            found.append(run_attack(attack, model, gates, x[part], y[part], threat, stream=stream, seed=0).images)
        return torch.cat(found)

    whole = run(100)
    for size in (16, 64):
        # Batched convolutions round differently, which a sign step can amplify on a borderline pixel.
        same = (run(size) - whole).abs().flatten(1).amax(1) < 1e-6
        assert same.float().mean() >= 0.97


def test_start_and_noise_are_equal_bit_for_bit_in_any_chunk() -> None:
    x, _, ids = images(100)
    for size in (16, 64, 100):
        start, noise = [], []
        for begin in range(0, 100, size):
            part = slice(begin, begin + size)
            stream = Stream.of(ids[part], 7, "attack", "pgd", LINF.key)
            uniform = stream.child(0).uniform(3, 12, 12)
            start.append(LINF.random_start(x[part], uniform, stream.child(1).uniform(1)[:, 0]))
            noise.append(Stream.of(ids[part], 7, "gates").child(3).child(5).logistic())
        if size == 16:
            first = torch.cat(start), torch.cat(noise)
        assert torch.equal(torch.cat(start), first[0])
        assert torch.equal(torch.cat(noise), first[1])


def test_more_steps_find_a_higher_loss() -> None:
    model, (x, y, _) = gated(), images(16)
    losses = []
    for attack in (Corners(), Fgsm(FgsmRecipe()), Pgd(PgdRecipe(steps=20))):
        adv = attack_all(attack, model, Argmax(), LINF).images
        with torch.no_grad():
            losses.append(nn.functional.cross_entropy(model(adv), y).item())
    clean = nn.functional.cross_entropy(model(x), y).item()
    assert clean < losses[1] < losses[2]
    assert losses[0] < losses[1]


@pytest.mark.parametrize(
    ("attack", "passes"),
    [
        (Pgd(PgdRecipe(steps=7)), 7),
        (Fgsm(FgsmRecipe()), 1),
        (Corners(), 0),
        (build_attack(PgdRecipe(provider="torchattacks", steps=3)), 3),
    ],
)
def test_passes_are_counted(attack: Attack, passes: int) -> None:
    attacked = attack_all(attack, gated(), Argmax(), LINF)
    assert (attacked.forwards, attacked.backwards) == (passes, passes)


def test_corners_have_full_size() -> None:
    x, _, _ = images(16)
    adv = attack_all(Corners(), plain(), Argmax(), LINF).images
    inside = (x > LINF.value) & (x < 1 - LINF.value)
    torch.testing.assert_close((adv - x).abs()[inside], torch.full((int(inside.sum()),), LINF.value), atol=1e-6, rtol=0)
    in_l2 = attack_all(Corners(), plain(), Argmax(), L2).images
    assert (in_l2 - x).flatten(1).norm(dim=1).max() <= L2.value + 1e-6
    assert math.isclose(((adv - x)[inside] > 0).float().mean().item(), 0.5, abs_tol=0.02)


def test_recipes_build_what_they_say() -> None:
    assert build_attack(PgdRecipe(algorithm="pgd")) == Pgd(PgdRecipe(steps=20, step=0.125))
    assert build_attack(CornersRecipe(algorithm="corners")) == Corners()


@pytest.mark.parametrize("name", [name for name in attack_names() if name != "transfer"])
def test_no_attack_declares_a_setting_again(name: str) -> None:
    """Of all in attacks/: what configures one is its recipe; beside it is at most what no file can say."""
    recipe = find_attack(name)[1].attack
    attack = build_attack(recipe)
    assert not set(vars(attack)) & set(type(recipe).model_fields)
    assert attack.recipe in (None, recipe)


def test_nobody_gets_ours_who_asks_for_another_s() -> None:
    for ours, recipe in ((Pgd, PgdRecipe(provider="torchattacks")), (Fgsm, FgsmRecipe(provider="foolbox"))):
        with pytest.raises(ValueError, match="this is ours"):
            ours(recipe)  # type: ignore[arg-type]
        assert build_attack(recipe).provider == recipe.provider


def test_a_changed_attack_is_as_valid_as_a_file() -> None:
    attack = Pgd(PgdRecipe(steps=3, gates=DeployedMode(draws=2)))
    assert attack.changed(step=0.5) == Pgd(PgdRecipe(steps=3, step=0.5, gates=DeployedMode(draws=2)))
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        attack.changed(steps=0)
    foreign = PgdRecipe(provider="torchattacks")
    assert foreign.changed(steps=3) == PgdRecipe(provider="torchattacks", steps=3)
    with pytest.raises(ValidationError, match="restarts: only provider 'aigrob' knows this"):
        foreign.changed(restarts=2)
