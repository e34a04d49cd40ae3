"""Accuracy, execution rates and compute of a network on a set of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Fgsm, Pgd, View
from robustbench_aig.data import ImageSet
from robustbench_aig.distributed import World
from robustbench_aig.errors import AigrobError
from robustbench_aig.gateshift.dependence import explained_shares
from robustbench_aig.gateshift.paths import count, numbered
from robustbench_aig.gating import deployed_policy, gating
from robustbench_aig.models import MacProfile
from robustbench_aig.network_modes import frozen_in_eval_mode, in_eval_mode
from robustbench_aig.policy_traits import DETERMINISTIC, PLAIN, STOCHASTIC, USUAL
from robustbench_aig.precision import float32
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Adversarial, Family, FgsmRecipe, PgdRecipe
from robustbench_aig.runs import ImageDependence, RobustScore, Score, Scores

_BATCH = 250
# A standard error of 1.6 points at most, for the time of a few training steps per epoch.
_ROBUST_IMAGES = 1000
_ROBUST_STEPS = 10
_DEPENDENCE_IMAGES = 1000

POLICIES: dict[Family, tuple[str, ...]] = {
    "plain": (PLAIN,),
    "stochastic": ("expected",),
    "gated": USUAL,
}
"""The gate policies under which a network is scored: those that it may be deployed with; the first isn't random."""


@dataclass(frozen=True)
class Scorer:
    """Scores a network in eval mode and single precision; its modes are kept.

    Attributes:
        family: decides the policies.
        profile: what the network's blocks cost.
        seed: of the gates' noise and the attack's, which belong to the image.
        world: the processes that share the images; all of them get the result.
    """

    family: Family
    profile: MacProfile
    seed: int
    world: World

    @float32()
    def score(self, model: nn.Module, images: ImageSet, draws: int) -> Scores:
        """Under every policy that is quoted for the family; so many passes where it is random.

        Raises:
            AigrobError: the network's outputs are no longer finite.
        """
        with in_eval_mode(model), torch.no_grad():
            return {policy: self._score(model, images, policy, draws) for policy in POLICIES[self.family]}

    def _score(self, model: nn.Module, images: ImageSet, policy: str, draws: int) -> Score:
        draws = draws if deployed_policy(policy).random else 1
        gates = len(self.profile.blocks)
        # Answers, open gates, blocks that ran: whole numbers (but for soft decisions), in whatever order added.
        sums = torch.zeros(2 + 2 * gates, dtype=torch.float64, device=images.labels.device)
        for index in self._parts(len(images), images.labels.device):
            x = images.batch(index).contiguous(memory_format=torch.channels_last)
            # The same noise after every epoch: a curve then shows the weights' change, not the draws'.
            noise = Stream.of(images.ids[index], self.seed, "scoring")
            with gating(model, deployed_policy(policy, noise), execution="sparse") as trace:
                for _ in range(draws):
                    answers = _answers(model(x), images.labels[index])
                    opened = trace.decisions.double() if gates else x.new_empty(len(x), 0, dtype=torch.float64)
                    sums += torch.cat([answers, opened.sum(0), (opened != 0).double().sum(0)])
        passes = len(images) * draws
        right, lost, *shares = (self.world.total(sums) / passes).tolist()
        _refuse(lost)
        rates, ran = shares[:gates], shares[gates:]
        return Score(
            accuracy=right,
            n=len(images),
            draws=draws,
            mean_rate=sum(rates) / gates if gates else None,
            rates=rates,
            mean_macs=self.profile.fixed + sum(s * cost for s, cost in zip(ran, self.profile.blocks, strict=True)),
        )

    @float32()
    def robust(self, model: nn.Module, images: ImageSet, settings: Adversarial) -> RobustScore:
        """Accuracy on attacked images in the ball of an adversarial training, to choose an epoch by.

        The first policy of the family decides, which isn't random; the attacks know it. Single-step and iterated
        attack stand side by side because a network that has overfitted to the single step withstands that alone.
        """
        policy = POLICIES[self.family][0]
        images = images.limit(_ROBUST_IMAGES, self.seed)
        sums = torch.zeros(2, 2, dtype=torch.float64, device=images.labels.device)
        # Steps of a quarter of epsilon, as in adversarial training, so that ten can cross the ball.
        attacks = (Fgsm(FgsmRecipe()), Pgd(PgdRecipe(steps=_ROBUST_STEPS, step=0.25)))
        view = View(model, deployed_policy(policy))
        with frozen_in_eval_mode(model), gating(model, view.policy):
            for index in self._parts(len(images), images.labels.device):
                x, y = images.batch(index).contiguous(memory_format=torch.channels_last), images.labels[index]
                stream = Stream.of(images.ids[index], self.seed, "robust scoring")
                found = [attack(view, x, y, settings.threat, stream) for attack in attacks]
                with torch.no_grad():
                    sums += torch.stack([_answers(model(adv), y) for adv in found])
        (fgsm, pgd), lost = (self.world.total(sums) / len(images)).T.tolist()
        _refuse(max(lost))
        return RobustScore(
            policy=policy, eps=settings.eps, norm=settings.norm, n=len(images), steps=_ROBUST_STEPS, fgsm=fgsm, pgd=pgd
        )

    @float32()
    def dependence(self, model: nn.Module, images: ImageSet) -> ImageDependence | None:
        """Whether gates decide by the image, on some of the images; None where no gate decides, or for a single image.

        Open probabilities are those along two draws of each image, of which one is that of `score`.
        """
        if self.family != "gated" or len(images) < 2:  # a variance takes two
            return None
        images = images.limit(_DEPENDENCE_IMAGES, self.seed)
        device, gates = images.labels.device, len(self.profile.blocks)
        found = torch.zeros(3, len(images), gates, dtype=torch.float64, device=device)
        with in_eval_mode(model), torch.no_grad():
            for index in self._parts(len(images), device):
                x = images.batch(index).contiguous(memory_format=torch.channels_last)
                noise = Stream.of(images.ids[index], self.seed, "scoring")
                with gating(model, deployed_policy(STOCHASTIC, noise), execution="sparse") as trace:
                    for draw in range(2):
                        model(x)
                        found[draw, index] = trace.probabilities.double()
                with gating(model, deployed_policy(DETERMINISTIC), execution="sparse") as trace:
                    model(x)
                    found[2, index] = trace.decisions.double()
        p, again, decisions = self.world.total(found).cpu().numpy()
        shares = explained_shares(p, again)
        of_gates = [None if math.isnan(share) else share for share in [*shares.of_gates.tolist(), shares.overall]]
        return ImageDependence(
            n=len(images),
            explained=of_gates.pop(),
            of_gates=of_gates,
            paths=count(numbered(decisions.astype(bool))).distinct,
        )

    def _parts(self, count: int, device: torch.device) -> tuple[Tensor, ...]:
        """This process's positions among so many images, in batches."""
        # Strided, so that parts differ by one image at most, whatever the number of processes.
        return torch.split(torch.arange(self.world.rank, count, self.world.size, device=device), _BATCH)


def _answers(logits: Tensor, labels: Tensor) -> Tensor:
    """Number of right answers, and of outputs that are no numbers, whose largest would be the first class."""
    return torch.stack([(logits.argmax(1) == labels).sum(), (~logits.isfinite()).any(1).sum()]).double()


def _refuse(lost: float) -> None:
    if lost:
        raise AigrobError(
            f"the network's outputs are no longer finite for {lost:.1%} of the images: "
            "copy the recipe and lower training.optimizer.lr"
        )


def overfitted(scores: Sequence[RobustScore], classes: int) -> bool:
    """Whether single-step training has just collapsed: catastrophic overfitting (Wong et al., arXiv 2001.03994).

    The network then withstands the step that it was trained on and nothing else. The alarm goes off where hardly any
    image that withstands one step withstands ten, or not half of them and not half of what the best epoch held. In
    the first epochs a sound training can look the same, but there it has not learned anything yet that it could lose.

    Args:
        scores: of the epochs so far.
        classes: of the data set; 3 / classes is the accuracy from which on a collapse can be told.
    """
    last, best, least = scores[-1], max(score.pgd for score in scores), 3 / classes
    fallen = best >= least and last.pgd < min(last.fgsm, best) / 2
    return last.fgsm >= least and (fallen or last.pgd < last.fgsm / 10)
