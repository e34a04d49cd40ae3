"""What checks look at: a network under a gate policy, images, a ball, and the attack that is to be believed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attack, Attacked, build_attack, run_attack
from robustbench_aig.checks.cost import Cost
from robustbench_aig.checks.worst_case import Union, worst_case
from robustbench_aig.data import ImageSet
from robustbench_aig.errors import AttackError, NotFiniteError
from robustbench_aig.evaluation import Images, Judgement, Subject, judge
from robustbench_aig.gating import Policy
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.randomness import Stream, seed_of
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack

T = TypeVar("T")

AT_ONCE = 64
"""Images per pass and per call of an attack."""

ITSELF = 3
"""A gradient of the network itself takes about as long as so many of the copy that attacks work on."""

_CLEAR = 0.75
"""An image is held where at least this share of the draws is right, and lost where as many are wrong."""


@dataclass(frozen=True)
class Outcome:
    """What became of N attacked images, by the judge.

    Attributes:
        right: (N,) share of fresh draws that were right; 0 or 1 where nothing is random.
    """

    right: Tensor

    @property
    def held(self) -> Tensor:
        """(N,) bool: clearly right, whatever the draw."""
        return self.right >= _CLEAR

    @property
    def lost(self) -> Tensor:
        """(N,) bool: clearly wrong. On a random network an image may be neither."""
        return self.right <= 1 - _CLEAR


@dataclass(frozen=True)
class Case:
    """What is checked. Results of attacks are kept, so that checks share them.

    Attributes:
        subject: the network under its policy.
        images: to take the first from; on the network's device.
        threat: the ball. Checks that compare attacks tell most where about half of the images are lost in it.
        attack: the one under examination.
        seed: of everything random.
        draws: fresh draws that score an image of a random network.
        others: networks from which attacks transfer.
        recorded: how many of how many test images the run itself says were right.
        training: the images that training looked at, as far as they are known: learned, or chosen by.
        validation: how many of how many validation images the run itself says were right.
        union: how the worst of several attacks is found for each image.
    """

    subject: Subject
    images: Images
    threat: Threat
    attack: Attack
    seed: int = 0
    draws: int = 10
    others: tuple[Subject, ...] = ()
    recorded: tuple[int, int] | None = None
    training: tuple[ImageSet, ...] = ()
    validation: tuple[int, int] | None = None
    union: Union = worst_case
    _kept: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def classes(self) -> int:
        """How many logits the network returns."""
        with frozen_in_eval_mode(self.subject.model), torch.no_grad():
            logits: Tensor = self.subject.model(self.images.pixels[:1])
        return logits.shape[1]

    @cached_property
    def exact(self) -> nn.Module | None:
        """The network in float64; None where foreign code doesn't work in it."""
        model = copy.deepcopy(self.subject.model).double()
        try:
            with torch.no_grad():
                model(self.images.pixels[:1].double())
        except Exception:  # noqa: BLE001 - foreign code may fail in any way
            return None
        return model

    @cached_property
    def clean(self) -> Tensor:
        """(N,) share of draws that are right on the clean images."""
        return self.scores(self.images.pixels, self.images)

    @cached_property
    def held(self) -> Images:
        """The images that the network gets right, which alone have something to lose."""
        return self.images.pick((self.clean >= _CLEAR).nonzero()[:, 0])

    def sample(self, count: int) -> Images:
        """The first `count` of the images that the network gets right; fewer where there are fewer."""
        return self.held.pick(slice(count))

    def scores(self, pixels: Tensor, of: Images) -> Tensor:
        """(N,) share of fresh draws that are right on some version (N, C, H, W) of images.

        Raises:
            NotFiniteError: the network returned NaN or infinite logits.
        """

        def score(part: slice) -> Tensor:
            found = self.verdict(pixels[part], of.pick(part))
            return found.correct / found.draws

        return over(score, len(of)) if len(of) else pixels.new_zeros(0)

    def verdict(self, pixels: Tensor, of: Images, *, again: int = 0) -> Judgement:
        """The judge's on some version (N, C, H, W) of images, in one batch; on other draws for another `again`.

        Raises:
            NotFiniteError: the network returned NaN or infinite logits.
        """
        found = judge(self.subject, pixels, of.labels, ids=of.ids, seed=self.seed + again, draws=self.draws)
        if not found.finite.all():
            raise NotFiniteError
        return found

    def outcome(self, attack: Attack, images: Images, threat: Threat | None = None) -> Outcome:
        """What an attack makes of images, in the case's ball or another one; kept for the next who asks.

        Raises:
            AttackError: the attack crashed, returned NaN or left the ball.
            InputError: it can't work on such a network.
        """
        threat = threat or self.threat

        def make() -> Outcome:
            own = attack == self.attack
            found = self.attacked(images, threat) if own else self.results(attack, images, threat)
            return self.judged(whole(attack, found) if len(images) else images.pixels, images)

        return self.once(("outcome", attack, threat.key, tuple(images.ids.tolist())), make)

    def judged(self, pixels: Tensor, of: Images) -> Outcome:
        """The verdict on some version (N, C, H, W) of images."""
        return Outcome(self.scores(pixels, of))

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` makes, the first time that this key is asked for; after it the same again."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def attacked(self, images: Images, threat: Threat) -> list[Attacked]:
        """What the attack under examination returns, whatever that is; kept for the next who asks."""
        key = ("attacked", threat.key, tuple(images.ids.tolist()))
        return self.once(key, lambda: self.results(self.attack, images, threat))

    def results(self, attack: Attack, images: Images, threat: Threat, *, copy: bool = True) -> list[Attacked]:
        """What an attack returns, whatever that is: one result per `AT_ONCE` images.

        The noise of an image is the same for every attack, so that two of them start from the same point.

        Args:
            attack: ours or a provider's.
            images: to attack.
            threat: the ball.
            copy: whether ours works on the faster copy of the network, where there is one.
        """
        channels, height, width = images.pixels.shape[1:]
        attack.refuse_unfit(self.classes, (channels, height, width), threat.norm)
        parts = [images.pick(slice(start, start + AT_ONCE)) for start in range(0, len(images), AT_ONCE)]
        return [
            run_attack(
                attack,
                self.subject.model,
                self.policy(part, "gates") if attack.own_noise else self.subject.deployed(),
                part.pixels,
                part.labels,
                threat,
                stream=self.stream(part, "attack"),
                seed=seed_of("checks", self.seed, number),
                copy=self.subject.copy if copy and attack.provider == "aigrob" else None,
                routes=self.subject.routes,
                costs=None if self.subject.profile.unknown else self.subject.profile.costs(part.pixels.device),
            )
            for number, part in enumerate(parts)
        ]

    def cost(self, attack: Attack, count: int) -> Cost:
        """What it takes at most to attack and judge so many images; of a foreign attack the judging alone."""
        recipe = attack.recipe
        passes = getattr(recipe, "steps", 1) * getattr(recipe, "restarts", 1)
        passes *= getattr(getattr(recipe, "gates", None), "draws", 1)
        judging = 2 * self.draws if self.subject.random else 1
        return Cost(forwards=count * judging, gradients=count * passes if attack.provider == "aigrob" else 0)

    def stream(self, images: Images, *purpose: object) -> Stream:
        """(N,) random streams of images, for a purpose."""
        return Stream.of(images.ids, "checks", self.seed, *purpose)

    def policy(self, images: Images, *purpose: object) -> Policy:
        """The deployed policy under one draw of noise per image, which another call repeats."""
        return self.subject.deployed(self.stream(images, *purpose))


def whole(attack: Attack, found: Sequence[Attacked]) -> Tensor:
    """Attacked images in one piece; AttackError where any of them failed."""
    for each in found:
        if each.reason is not None:
            raise AttackError(f"{type(attack).__name__}: {each.reason}")
    return torch.cat([each.images for each in found])


def over(act: Callable[[slice], Tensor], count: int) -> Tensor:
    """What `act` makes of positions 0 … count - 1, at least one, `AT_ONCE` at a time, one after the other."""
    return torch.cat([act(slice(start, min(start + AT_ONCE, count))) for start in range(0, count, AT_ONCE)])


def reference_name(*, random: bool) -> str:
    """The attack that is examined where nobody names one: AutoPGD, its gradients over draws where gates are random."""
    return "apgd:keep=best,steps=25,gates=straight-through,gates.draws=5" if random else "apgd:keep=best,steps=50"


def reference_attack(*, random: bool) -> Attack:
    """The same, ready."""
    return build_attack(find_attack(reference_name(random=random))[1].attack)
