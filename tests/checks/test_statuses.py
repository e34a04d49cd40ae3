"""Every check seen in every status: pass, fail or warning, and n/a with too few images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_aig.attacks import Apgd, Fgsm, Pgd, View
from robustbench_aig.attacks.gradient import random_start
from robustbench_aig.attacks.gradient_modes import Detached, StraightThrough
from robustbench_aig.checks import ALL, Case, Check, Finding, run_checks
from robustbench_aig.checks.blackbox import BlackBox, Outsiders
from robustbench_aig.checks.gate_gradients import Signal
from robustbench_aig.checks.plausible import inputs
from robustbench_aig.evaluation import Images, Network, Subject
from robustbench_aig.gating import PooledGate, Sampled
from robustbench_aig.models import MacProfile, profile_macs
from robustbench_aig.models.foreign import enter
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat
from tests.checks import planted
from tests.checks.grounds import digits
from tests.checks.planted import Ours
from tests.checks.test_planted import ATTACKS, NETWORKS
from tests.checks.toys import BetweenLevels, Lottery, OneGate, ThroughTheGate, toy_case, toy_images
from tests.models import foreign
from tests.networks import images as images_of

Trained = Callable[[str], Network]
Make = Callable[[Trained], Case]

QUICK_SEARCH = Apgd(steps=20, keep="best")


def lighter(check: Check) -> Check:
    """No more images than a pass takes, fewer queries, and no union that outsiders have to beat."""
    few = min(check.images, max(check.limits.needs, 48))
    # A part of the images is counted by these, and much has been recorded of one.
    many = check.name in {"convergence", "fresh-draws", "clean-accuracy", "plausible-input"}
    changes: dict[str, Any] = {} if many else {"images": few}
    if isinstance(check, Outsiders):
        changes |= {"union": False}
    if isinstance(check, BlackBox):
        changes |= {"queries": 300, "pairs": 5}
    return replace(check, **changes)


CHECKS = {check.name: lighter(check) for check in ALL}


HALF_AS_LONG = Pgd(steps=10, step=0.06, random_start=False)


class OnlyInSmallBalls(Ours):
    """Gives up where the ball is large."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return x if threat.value > 0.1 else QUICK_SEARCH(model, x, y, threat, stream)


class Nudge(Ours):
    """Less than half a level of 8 bits."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return x + 0.3 / 255


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


class OnlyForTheNudge(BetweenLevels):
    """Brighter images than the middle one are wrong within half a level of 8 bits, where nothing but luck gets."""

    def margin(self, x: Tensor) -> Tensor:
        known = toy_images().pixels
        return super().margin(x).where(x.mean((1, 2, 3)) > known.mean((1, 2, 3)).median(), 1 + 0 * x.sum((1, 2, 3)))


def changed(case: Case, make: Callable[..., torch.nn.Module], *arguments: object) -> Case:
    return replace(case, subject=replace(case.subject, model=make(case.subject.model, *arguments), copy=None))


def plain(trained: Trained) -> Case:
    return digits().case(trained("plain"), "none", QUICK_SEARCH, recorded=(358, 364), training=digits().learned)


def gated(trained: Trained) -> Case:
    return digits().case(trained("gated-0"), "argmax", QUICK_SEARCH)


def sampled(trained: Trained) -> Case:
    return digits().case(trained("gated-0"), "sampled", Apgd(steps=10, keep="best", mode=StraightThrough(draws=5)))


def settled(_: Trained) -> Case:
    """Gates that are open or closed whatever the draw."""
    return toy_case(ThroughTheGate(OneGate(4000.0, 0.9)), "sampled", QUICK_SEARCH)


def steady(_: Trained) -> Case:
    """A gate whose draws change the margin, and not the direction of its gradient."""
    return toy_case(ThroughTheGate(OneGate(1.0, 0.5), drop=0.5), "sampled", Pgd(steps=5))


def unbreakable(_: Trained) -> Case:
    return toy_case(ThroughTheGate(OneGate(0.0, 0.5), drop=0.0), "sampled", Pgd(steps=5))


PASS: dict[str, Make] = {
    **dict.fromkeys(CHECKS, plain),
    **dict.fromkeys(("noise-scope", "fixed-randomness", "fresh-draws"), sampled),
    "gate-path": gated,
    "gates-look": lambda _: toy_case(ThroughTheGate(OneGate(4000.0, 0.5)), "sampled", Pgd()),
    "gate-modes": lambda _: toy_case(ThroughTheGate(OneGate(50.0, 0.52)), "argmax", Pgd()),
    "more-steps": lambda trained: digits().case(trained("plain"), "none"),
    "eot-signal": steady,
    "binarization": lambda trained: replace(plain(trained), threat=Threat.parse("16/255")),
    "draw-variance": settled,
    "transfer": lambda trained: replace(plain(trained), others=(trained("gated-0").subject("argmax"),)),
}

BAD: dict[str, Make] = {
    "gates-look": lambda trained: changed(sampled(trained), planted.with_gates, planted.CoinGate),
    "eot-signal": lambda _: toy_case(
        ThroughTheGate(OneGate(0.0, 0.5), drop=0.0, tilt=0.5), "sampled", Pgd(mode=Detached())
    ),
    "seen-in-training": lambda trained: replace(plain(trained), training=(digits().data.test,)),
    "more-steps": lambda trained: replace(plain(trained), attack=HALF_AS_LONG),
    "restarts": lambda _: toy_case(Lottery(0.1), attack=QUICK_SEARCH),
    "losses": lambda trained: changed(plain(trained), planted.ScaledLogits),
    "gate-modes": lambda _: toy_case(ThroughTheGate(OneGate(50.0, 0.52)), "argmax", Pgd(mode=Detached())),
    "monotone": lambda trained: replace(plain(trained), attack=OnlyInSmallBalls()),
    "fixed-randomness": unbreakable,
    "random-noise": lambda _: toy_case(Lottery(0.1), attack=QUICK_SEARCH),
    "black-box": lambda _: toy_case(Lottery(0.1), attack=QUICK_SEARCH),
    "transfer": lambda trained: replace(
        changed(plain(trained), planted.Rounded), others=(trained("plain").subject("none"),)
    ),
    "draw-variance": sampled,
    "eight-bit": lambda _: toy_case(BetweenLevels(), attack=Nudge()),
}


def found(case: Case, check: Check) -> Finding:
    return next(run_checks(case, [check]))


def fewer(case: Case, count: int) -> Case:
    return replace(case, images=case.images.pick(slice(count)))


@pytest.mark.parametrize("name", CHECKS)
def test_pass(trained: Trained, name: str) -> None:
    finding = found(PASS[name](trained), CHECKS[name])
    assert finding.status == "pass", finding.evidence
    assert finding.value is not None
    assert finding.value <= finding.limits.warn
    assert finding.n >= finding.limits.needs
    assert finding.interval.high <= finding.limits.fail


def test_every_check_is_seen_to_fail_or_warn() -> None:
    """The others find the planted defects."""
    by_defect = {name for defect in NETWORKS.values() for name in defect.found_by}
    by_attack = {name for _, names in ATTACKS.values() for name in names}
    assert by_defect | by_attack | {"fresh-draws", "counted-compute"} | set(BAD) == set(CHECKS)


@pytest.mark.parametrize("name", BAD)
def test_fail_or_warn(trained: Trained, name: str) -> None:
    finding = found(BAD[name](trained), CHECKS[name])
    assert finding.status == ("warn" if finding.limits.mild else "fail"), finding.evidence
    assert finding.evidence
    assert finding.advice


@pytest.mark.parametrize("name", CHECKS)
def test_too_few_images_are_never_a_pass(trained: Trained, name: str) -> None:
    finding = found(fewer(PASS[name](trained), 4), CHECKS[name])
    assert finding.status == "n/a", finding.evidence


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_nothing_is_asked_of_a_network_that_is_never_right(trained: Trained, policy: str) -> None:
    case = digits().case(trained("gated-0"), policy)
    wrong = Images(case.images.pixels, (case.images.labels + 1) % 10, case.images.ids)
    case = replace(case, images=wrong)
    assert len(case.held) < 5
    with_images = {"logits", "randomness", "noise-scope", "mode", "alone-and-together", "counted-compute"}
    with_images |= {"positive-control", "distinct-starts", "gates-look"}
    for finding in run_checks(replace(case, images=wrong.pick(slice(20))), ALL):
        if finding.check == "plausible-input":
            assert finding.status == "fail"  # the next class fits
        else:
            assert finding.status == "n/a" or finding.check in with_images, finding


def test_a_plain_network_has_no_gates_and_a_deterministic_one_no_draws(trained: Trained) -> None:
    of_gates = {"gates-look", "gate-path", "gate-modes"}
    of_draws = {"noise-scope", "eot-signal", "fixed-randomness", "draw-variance", "fresh-draws"}
    for case, names in ((plain(trained), of_gates | of_draws), (gated(trained), of_draws)):
        assert {found(case, CHECKS[name]).status for name in names} == {"n/a"}


def test_a_random_policy_that_draws_nothing_is_found() -> None:
    case = toy_case(ThroughTheGate(OneGate(4000.0, 0.9)), "sampled")
    assert found(case, CHECKS["randomness"]).status == "fail"


def test_an_attack_that_cannot_work_on_the_network_is_not_applicable() -> None:
    from robustbench_aig.attacks.objectives import Dlr

    case = toy_case(ThroughTheGate(OneGate(50.0, 0.52)), "argmax", Pgd(objective=Dlr()))
    finding = found(case, CHECKS["single-step"])
    assert finding.status == "n/a"
    assert "3 classes" in finding.evidence
    assert found(case, CHECKS["binarization"]).status == "n/a"  # no linear layer


def test_rivals_without_power_are_no_pass(trained: Trained) -> None:
    """An attack that knows what to do breaks half of the images, which its rivals can't find."""
    needle = toy_case(OnlyForTheNudge(), attack=Nudge())
    case = replace(needle, others=(toy_case(Lottery()).subject,))
    for name in ("black-box", "transfer"):
        finding = found(case, replace(CHECKS[name], images=96))
        assert finding.status == "n/a"
        assert "too weak for a pass" in finding.evidence
        # Where nothing is known to be lost, nobody can tell.
        finding = found(replace(case, attack=planted.Idle()), replace(CHECKS[name], images=96))
        assert "no image is known to be lost" in finding.evidence
    powerful = found(PASS["transfer"](trained), CHECKS["transfer"])
    assert powerful.numbers["power"] > 0.2


def test_an_accuracy_far_above_that_of_validation_images_is_told(trained: Trained) -> None:
    case, check = replace(plain(trained), training=()), replace(CHECKS["seen-in-training"], images=200)
    statuses = {}
    for right, of in ((1800, 2000), (1900, 2000), (1990, 2000), (9, 10)):
        finding = found(replace(case, validation=(right, of)), check)
        statuses[right, of] = finding.status
    assert statuses == {(1800, 2000): "fail", (1900, 2000): "n/a", (1990, 2000): "n/a", (9, 10): "n/a"}
    assert "validation images are right: more is no sign" in finding.evidence
    assert found(case, check).evidence.count("known") + found(case, check).evidence.count("recorded") == 2


def test_a_network_that_fails_alone_is_told(trained: Trained) -> None:
    class Squeezes(planted.Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).squeeze()

    class Refuses(planted.Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            assert len(x) > 1, "a batch, please"
            return super().forward(x)

    for kind, words in ((Squeezes, "(960,)"), (Refuses, "a batch, please")):
        finding = found(changed(plain(trained), kind), replace(CHECKS["alone-and-together"], images=96))
        assert finding.status == "fail"
        assert words in finding.evidence


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
    assert "no gradient tells how the logits move of gate 1, 2, 3 of 3" in finding.evidence


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
    for attack in (Fgsm(), Pgd(random_start=False)):
        finding = found(replace(case, attack=attack), CHECKS["distinct-starts"])
        assert (finding.status, finding.evidence) == ("n/a", "the attack begins at the image itself")
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
