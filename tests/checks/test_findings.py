"""What single checks find, beyond their status."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from robustbench_aig.attacks import Fgsm, Pgd, View
from robustbench_aig.attacks.fgsm_and_pgd import random_start
from robustbench_aig.checks import Case
from robustbench_aig.checks.gate_gradients import Signal
from robustbench_aig.checks.plausible import inputs
from robustbench_aig.evaluation import Images, Subject
from robustbench_aig.gating import PooledGate, Sampled
from robustbench_aig.models import MacProfile, profile_macs
from robustbench_aig.models.foreign import enter
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.threat import Threat
from tests.checks import planted
from tests.checks.grounds import digits
from tests.checks.planted import Ours
from tests.checks.statuses import CHECKS, QUICK_SEARCH, Trained, changed, found, gated, plain, sampled
from tests.checks.toys import OneGate, ThroughTheGate, toy_case
from tests.models import foreign
from tests.networks import images as images_of


class Lone(torch.nn.Module):
    """Loses a batch of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean((2, 3))).squeeze()
        return logits


LONE = 3 * 10
"""Multiply-accumulates of it."""


class OnlyWhatIsLost(Ours):
    """Returns the image where its random point isn't lost."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        point = random_start(x, threat, stream)
        return point.where((model(point).argmax(1) != y).view(-1, 1, 1, 1), x)


def test_foreign_networks_are_counted_as_they_run() -> None:
    """One that closed blocks are computed in all the same, and one that can't do with a single image."""
    pixels = images_of(72)[0]
    for given in (foreign.adapted(foreign.recurrent()), Lone()):
        network = enter(given, "theirs", pixels, chunk=10, device=torch.device("cpu"))
        profile = MacProfile(LONE, ()) if network.paired else profile_macs(network, (3, foreign.SIZE, foreign.SIZE))
        subject = Subject("theirs", network, profile, "argmax" if profile.blocks else "none")
        images = Images(pixels, torch.zeros(72, dtype=torch.int64), torch.arange(72))
        case = Case(subject, images, Threat.parse("4/255"), QUICK_SEARCH)
        check = replace(CHECKS["counted-compute"], images=12)
        assert (found(case, check).count, found(case, check).n) == (0, 12)
        wrong = replace(subject, profile=replace(profile, fixed=profile.fixed + 100))
        assert found(replace(case, subject=wrong), check).status == "fail"


class TwiceAlone(planted.Wrapped):
    """Twice the logits for a single image: the class is the same, and no margin."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2 if len(x) == 1 else 1)


def test_logits_of_another_size_are_another_answer(trained: Trained) -> None:
    finding = found(changed(plain(trained), TwiceAlone), replace(CHECKS["alone-and-together"], images=96))
    assert (finding.status, finding.numbers["another class"]) == ("fail", 0)


class FaintGate(PooledGate):
    """Sends a millionth of its gradient to the features."""

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x.detach() + 1e-6 * (x - x.detach()))


class LooseGate(planted.CutGate):
    """Cut, and throws dice of its own, so that two passes differ whatever the gradient says."""

    def decide(self, logits: Tensor) -> Tensor:
        super().decide(logits)
        return Sampled().decide(logits, 0, 0)


@pytest.mark.parametrize("kind", [FaintGate, LooseGate])
def test_gates_with_hardly_a_gradient_are_told(trained: Trained, kind: type[PooledGate]) -> None:
    finding = found(changed(gated(trained), planted.with_gates, kind), CHECKS["gate-path"])
    assert finding.status == "fail"
    assert "no gradient reaches the logits of gate 1, 2, 3 of 3" in finding.evidence


@dataclass(frozen=True)
class Unknown(MacProfile):
    """Nobody knows what it costs."""

    def executed(self, decisions: Tensor) -> Tensor:
        return torch.full((len(decisions),), torch.nan, dtype=torch.float64)


def test_unknown_compute_is_not_counted(trained: Trained) -> None:
    case = plain(trained)
    case = replace(case, subject=replace(case.subject, profile=Unknown(0, ())))
    assert found(case, CHECKS["counted-compute"]).evidence == "the compute of this network isn't known"


INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "with the channels GBR": lambda x: x[:, [2, 0, 1]],
    "as negatives": lambda x: 1 - x,
    "with rows for columns": lambda x: x.mT,
    "with pixels over 255": lambda x: 255 * x,
    "with half their contrast": lambda x: (x - 0.5) * 2 + 0.5,
    "normalised by a mean and std of 0.5": lambda x: 0.5 * x + 0.5,
}


@pytest.mark.parametrize("name", INPUTS)
def test_an_alternative_undoes_what_was_done_to_the_images(name: str) -> None:
    """The change that a network makes, and then the alternative that is named, or the reverse, are the images."""
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels = (x - x.mean((0, 2, 3), keepdim=True)) / 4 + 0.5  # of a mean of 0.5
    torch.testing.assert_close(INPUTS[name](inputs(pixels)[name](pixels)), pixels)


def test_what_begins_at_the_image_has_no_start(trained: Trained) -> None:
    case = plain(trained)
    for attack in (Fgsm(FgsmRecipe()), Pgd(PgdRecipe(random_start=False))):
        finding = found(replace(case, attack=attack), CHECKS["distinct-starts"])
        assert (finding.status, finding.evidence) == ("n/a", "the attack starts at the image itself")
    finding = found(replace(case, attack=OnlyWhatIsLost()), replace(CHECKS["distinct-starts"], images=96))
    assert finding.status == "pass"
    assert 30 < finding.n < 66  # half of the points of a flat network


def test_signal_improves_with_draws(trained: Trained) -> None:
    numbers = found(sampled(trained), Signal(images=32)).numbers
    cosines = [numbers[f"median cosine, {draws} draws"] for draws in (1, 5, 20)]
    assert cosines == sorted(cosines)


def test_verdicts_that_hang_on_a_gate_are_those_near_its_threshold() -> None:
    """The gate is the only way, its logit a twentieth of the mean less a half, and the attack does nothing."""
    check = replace(CHECKS["on-the-edge"], images=96)
    case = toy_case(ThroughTheGate(OneGate(0.05, 0.5)), "argmax", planted.Idle())
    means = case.images.pixels.double().mean((1, 2, 3))
    right = means < 0.5  # closed
    near = right & (0.05 * (means - 0.5).abs() < 1e-3)
    finding = found(case, check)
    assert 5 < finding.count == int(near.sum()) < finding.n == int(right.sum())
    assert finding.status == "fail"
    # With a block that changes no verdict nothing hangs on the same logits.
    harmless = found(toy_case(ThroughTheGate(OneGate(0.05, 0.5), drop=0.5), "argmax", planted.Idle()), check)
    assert harmless.numbers["faint"] > finding.count
    assert (harmless.count, harmless.status) == (0, "pass")


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_gates_that_do_not_look_are_counted_and_not_images(trained: Trained, policy: str) -> None:
    coins = changed(digits().case(trained("gated-0"), policy), planted.with_gates, planted.CoinGate)
    finding = found(coins, replace(CHECKS["gates-look"], images=150))
    assert (finding.status, finding.count, finding.n) == ("warn", 3, 3)
    assert "0 of 3 gates decide by the image" in finding.evidence
    assert finding.threshold == "pass up to 50 % of gates, warn above 50 %"
