"""What breaks other providers' attacks: few classes, odd images, wrong predictions, NaN, and their own side effects."""

import logging
import sys
import warnings
from importlib.metadata import version
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attack, build_attack, run_attack
from robustbench_aig.attacks.provider_registry import build_provider_attack
from robustbench_aig.attacks.providers import adv_lib, foolbox, provider_attack, pyautoattack, torchattacks
from robustbench_aig.attacks.providers.torchattacks import tiles
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Sampled
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes.provider_attacks import (
    AdvLibFmnRecipe,
    FoolboxHopSkipJumpRecipe,
    PyautoattackRecipe,
    TorchattacksApgdRecipe,
    TorchattacksAutoAttackRecipe,
    TorchattacksSquareRecipe,
)
from tests.networks import gated, images
from tests.providers import OFFICIAL, OFFICIAL_RAND, QUICK, attacked, digits, name, right, threat, trained, untrained

EVERY = [*QUICK, OFFICIAL]


def random_images(shape: tuple[int, int, int], count: int = 5) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(5))


def needs(attack: Attack) -> int:
    """The number of classes without which an attack has no loss."""
    if isinstance(attack, torchattacks.TorchattacksApgdTargeted):
        return 4
    loss = getattr(attack.recipe, "loss", "ce")
    return 2 if loss == "ce" else 4 if isinstance(attack, adv_lib.AdvLibApgdTargeted) else 3


@pytest.mark.parametrize("classes", [2, 3, 4, 12])
@pytest.mark.parametrize("attack", [*EVERY, OFFICIAL_RAND], ids=name)
def test_any_number_of_classes_is_attacked_or_refused_in_one_line(attack: Attack, classes: int) -> None:
    shape = (1, 8, 8)
    model, x, norm = untrained(classes, shape), random_images(shape), attack.norms[0]
    y = model(x).argmax(1)
    # In a larger ball nothing resists, which saves the fixed budget of pyautoattack.
    found = attacked(attack, model, x, y, threat(norm, 3 if isinstance(attack, pyautoattack.Pyautoattack) else 1))
    if classes >= needs(attack):
        assert found.reason is None
    else:
        assert isinstance(attack, provider_attack.ProviderAttack)
        with pytest.raises(InputError, match=f"needs {needs(attack)} classes, this network has {classes}"):
            attack.refuse(classes, shape, norm)
        assert found.failed.all()
        assert found.reason is not None
        assert "classes" in found.reason


@pytest.mark.parametrize("attack", [*EVERY, OFFICIAL_RAND], ids=name)
def test_channels_last_is_no_hindrance(attack: Attack) -> None:
    """How images and networks lie in memory in an evaluation; torchattacks' FAB and pyautoattack can't take it."""
    shape = (3, 8, 8)
    model = untrained(10, shape).to(memory_format=torch.channels_last)
    x = random_images(shape).contiguous(memory_format=torch.channels_last)
    assert not x.is_contiguous()
    found = attacked(attack, model, x, model(x).argmax(1), threat(attack.norms[0], 0.5))
    assert found.reason is None


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_autoattack_reaches_all_classes_there_are(classes: int) -> None:
    """Few classes leave parts of it out, which doesn't make it weaker than a part that stays."""
    model, x = untrained(classes, (1, 8, 8)), random_images((1, 8, 8), 12)
    y = model(x).argmax(1)
    ball = threat("linf", 0.6)
    left = [
        right(model, attacked(attack, model, x, y, ball).images, y)
        for attack in (
            build_attack(TorchattacksAutoAttackRecipe(steps=20, queries=20)),
            build_attack(TorchattacksApgdRecipe(steps=20)),
        )
    ]
    assert (left[0] <= left[1]).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 14)])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("attack", EVERY, ids=name)
def test_any_shape_and_a_single_image(attack: Attack, count: int, shape: tuple[int, int, int]) -> None:
    """Pixels at 0 and at 1 among them."""
    model, x = untrained(10, shape), (random_images(shape, count) * 1.4 - 0.2).clamp(0, 1)
    y = model(x).argmax(1)
    for norm in attack.norms:
        found = attacked(attack, model, x, y, threat(norm, 3 if attack == OFFICIAL else 1))
        assert found.reason is None
        assert not found.images.requires_grad


@pytest.mark.parametrize("attack", EVERY, ids=name)
def test_a_misclassified_image_stays_misclassified(attack: Attack) -> None:
    """Alone in its chunk, and among others that are right; these are attacked nonetheless."""
    model, (x, y) = trained(), digits(12)
    wrong = torch.arange(12) < 4
    labels = torch.where(wrong, (y + 1) % 10, y)
    for norm in attack.norms[:1]:
        found = attacked(attack, model, x, labels, threat(norm, 4))
        assert found.reason is None
        assert not right(model, found.images, labels)[wrong].any()
        assert right(model, found.images, labels).sum() < 8
        assert not right(model, attacked(attack, model, x[:2], labels[:2], threat(norm)).images, labels[:2]).any()


class Broken(nn.Module):
    """Works for a number of passes, then returns NaN for the last image, or raises."""

    def __init__(self, passes: int, *, crash: bool) -> None:
        super().__init__()
        self.model, self.passes, self.crash = trained(), passes, crash

    def forward(self, x: Tensor) -> Tensor:
        self.passes -= 1
        logits: Tensor = self.model(x)
        if self.passes >= 0:
            return logits
        if self.crash:
            raise ZeroDivisionError("planted")
        return torch.cat([logits[:-1], logits[-1:] * torch.nan])


@pytest.mark.parametrize("passes", [0, 2])
@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("attack", [a for a in EVERY if not name(a).split("(")[0].endswith(("Fgsm", "Pgd"))], ids=name)
def test_a_network_that_breaks_is_never_robust(attack: Attack, crash: bool, passes: int) -> None:
    x, y = digits(4)
    found = attacked(attack, Broken(passes, crash=crash).eval(), x, y, threat(attack.norms[0], 0.1))
    assert found.failed.all()
    assert found.reason is not None
    assert ("planted" if crash else "NaN") in found.reason


@pytest.mark.parametrize("attack", EVERY, ids=name)
def test_nothing_is_printed_logged_or_warned_of(
    attack: Attack, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def tracer(frame: FrameType, event: str, argument: Any) -> None:
        return None

    x, y = digits(2)
    model, before = trained(), sys.gettrace()
    sys.settrace(tracer)
    try:
        with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            attacked(attack, model, x, y, threat(attack.norms[0], 4))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert not warned
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")
    assert not any(parameter.grad is not None for parameter in model.parameters() if not parameter.requires_grad)


@pytest.mark.parametrize("attack", QUICK, ids=name)
def test_a_seed_decides_everything(attack: Attack) -> None:
    model, (x, y), ball = trained(), digits(8), threat(attack.norms[0])
    torch.manual_seed(1)
    first = attacked(attack, model, x, y, ball, seed=7).images
    torch.manual_seed(2)
    assert torch.equal(attacked(attack, model, x, y, ball, seed=7).images, first)


@pytest.mark.parametrize(
    "attack",
    [
        build_attack(TorchattacksApgdRecipe(steps=2)),
        build_attack(TorchattacksSquareRecipe(queries=3)),
    ],
)
def test_another_seed_is_another_start(attack: Attack) -> None:
    """Though torchattacks resets the generator, by default to the same number every time."""
    model, (x, y), ball = trained(), digits(24), threat("linf", 1.5)
    both = [attacked(attack, model, x, y, ball, seed=seed).images for seed in (1, 2)]
    assert not torch.equal(*both)


@pytest.mark.parametrize("attack", EVERY, ids=name)
def test_a_random_network_is_attacked_or_refused(attack: Attack) -> None:
    """Gates draw from torch's generator, batches shrink while an attack goes on."""
    model, (x, y, ids) = gated(8), images(6, size=8)
    ball = threat(attack.norms[0], 4 if attack == OFFICIAL else 1)
    found = run_attack(attack, model, Sampled(), x, y, ball, stream=Stream.of(ids, 0), seed=0)
    if isinstance(attack, foolbox.FoolboxHopSkipJump):
        assert found.failed.all()
        assert found.reason is not None
        assert "random" in found.reason
    else:
        assert found.reason is None


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_lies_outside_becomes_clean_and_nan_stays(norm: str) -> None:
    """NaN turned into the clean image would count as one that resists."""
    x, ball = digits(3)[0], threat(norm)
    found = x.clone()
    found[0, 0, 0, 0] += 0.9 * ball.value
    found[1, 0, 0, 0] += 1.1 * ball.value
    found[2, 0, 0, 0] = torch.nan
    kept = provider_attack.within(found, x, ball)
    assert torch.equal(kept[0], found[0])
    assert torch.equal(kept[1], x[1])
    assert kept[2].isnan().any()


def test_hopskipjump_starts_where_noise_is_of_no_use() -> None:
    """Noise has class 0 for this network, so images of class 0 start from others; alone, one can't start at all."""

    class Bright(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = (x.mean((1, 2, 3)) - 0.7) * 20
            return torch.stack([torch.zeros_like(score), score], 1)

    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.58
    x[3:] += 0.2
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    attack = build_attack(FoolboxHopSkipJumpRecipe(steps=3, first=30))
    model = Bright().eval()
    found = attacked(attack, model, x, y, threat("linf", 4))
    assert found.reason is None
    assert not right(model, found.images, y).any()
    alone = attacked(attack, model, x[:1], y[:1], threat("linf", 4))
    assert alone.reason is None
    assert torch.equal(alone.images, x[:1])


def test_hopskipjump_steps_do_not_shrink_with_the_chunk() -> None:
    """foolbox divides the estimated gradients by the length of all of them together."""
    model, (x, y), ball = trained(), digits(16), threat("l2", 6)
    attack = build_attack(FoolboxHopSkipJumpRecipe(steps=6, first=60))
    together = ball.distance(attacked(attack, model, x, y, ball).images, x)
    alone = torch.cat(
        [ball.distance(attacked(attack, model, x[i : i + 1], y[i : i + 1], ball).images, x[i]) for i in range(8)]
    )
    assert together[:8].mean() <= 1.15 * alone.mean()


@pytest.mark.parametrize("width", [8, 10, 14, 19])
@pytest.mark.parametrize("height", [4, 5, 8, 10, 12, 14, 16, 18, 28])
def test_square_is_refused_exactly_where_its_pattern_does_not_fit(height: int, width: int) -> None:
    x = random_images((1, height, width), 2)
    model = untrained(10, (1, height, width))
    y = model(x).argmax(1)
    attack = torchattacks.TorchattacksSquare(TorchattacksSquareRecipe(queries=3))

    class Unchecked(torchattacks.TorchattacksSquare):
        def refuse(self, classes: int, shape: tuple[int, int, int], norm: str) -> None:
            return

    ball = threat("l2", 0.01)
    assert tiles(height, width) == (attacked(Unchecked(attack.recipe), model, x, y, ball).reason is None)
    assert tiles(height, width) == (attacked(attack, model, x, y, ball).reason is None)
    assert attacked(attack, model, x, y, threat("linf")).reason is None


def test_a_provider_that_is_not_installed_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_attack, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r'^attacks of pyautoattack .* pip install "robustbench-aig\[autoattack\]"$'):
        build_provider_attack(PyautoattackRecipe())
    with pytest.raises(InputError, match=r"^attacks of adv-lib .* pip install --no-deps adv-lib==0\.2\.8$"):
        build_provider_attack(AdvLibFmnRecipe())


def test_the_versions_that_the_adapters_were_written_for() -> None:
    assert version("torchattacks") == "3.5.1"
    assert version("adv-lib") == "0.2.8"
    assert version("pyautoattack") == "0.2.0"
