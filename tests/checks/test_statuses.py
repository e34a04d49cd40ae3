"""Every check seen in every status: pass, fail or warning, and n/a with too few images."""

from dataclasses import replace

import pytest
from torch import Tensor

from robustbench_aig.attacks import Pgd, View
from robustbench_aig.checks import ALL, Case, run_checks
from robustbench_aig.evaluation import Images
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ClassObjective, DeployedMode, PgdRecipe
from robustbench_aig.threat import Threat
from tests.checks import planted
from tests.checks.grounds import digits
from tests.checks.planted import Ours
from tests.checks.statuses import CHECKS, QUICK_SEARCH, Make, Trained, changed, fewer, found, gated, plain, sampled
from tests.checks.test_planted import ATTACKS, NETWORKS
from tests.checks.toys import BetweenLevels, Lottery, OneGate, ThroughTheGate, toy_case, toy_images

HALF_AS_LONG = Pgd(PgdRecipe(steps=10, step=0.06, random_start=False))


class OnlyInSmallBalls(Ours):
    """Gives up where the ball is large."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return x if threat.value > 0.1 else QUICK_SEARCH(model, x, y, threat, stream)


class Nudge(Ours):
    """Less than half a level of 8 bits."""

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return x + 0.3 / 255


class OnlyForTheNudge(BetweenLevels):
    """Brighter images than the middle one are wrong within half a level of 8 bits, where nothing but luck gets."""

    def margin(self, x: Tensor) -> Tensor:
        known = toy_images().pixels
        return super().margin(x).where(x.mean((1, 2, 3)) > known.mean((1, 2, 3)).median(), 1 + 0 * x.sum((1, 2, 3)))


def settled(_: Trained) -> Case:
    """Gates that are open or closed whatever the draw."""
    return toy_case(ThroughTheGate(OneGate(4000.0, 0.9)), "sampled", QUICK_SEARCH)


def steady(_: Trained) -> Case:
    """A gate whose draws change the margin, and not the direction of its gradient."""
    return toy_case(ThroughTheGate(OneGate(1.0, 0.5), drop=0.5), "sampled", Pgd(PgdRecipe(steps=5)))


def unbreakable(_: Trained) -> Case:
    return toy_case(ThroughTheGate(OneGate(0.0, 0.5), drop=0.0), "sampled", Pgd(PgdRecipe(steps=5)))


PASS: dict[str, Make] = {
    **dict.fromkeys(CHECKS, plain),
    **dict.fromkeys(("noise-scope", "fixed-randomness", "fresh-draws"), sampled),
    "gate-path": gated,
    "gates-look": lambda _: toy_case(ThroughTheGate(OneGate(4000.0, 0.5)), "sampled", Pgd(PgdRecipe())),
    "gate-modes": lambda _: toy_case(ThroughTheGate(OneGate(50.0, 0.52)), "argmax", Pgd(PgdRecipe())),
    "more-steps": lambda trained: digits().case(trained("plain"), "none"),
    "eot-signal": steady,
    "binarization": lambda trained: replace(plain(trained), threat=Threat.parse("16/255")),
    "draw-variance": settled,
    "transfer": lambda trained: replace(plain(trained), others=(trained("gated-0").subject("argmax"),)),
}


BAD: dict[str, Make] = {
    "gates-look": lambda trained: changed(sampled(trained), planted.with_gates, planted.CoinGate),
    "eot-signal": lambda _: toy_case(
        ThroughTheGate(OneGate(0.0, 0.5), drop=0.0, tilt=0.5),
        "sampled",
        Pgd(PgdRecipe(gates=DeployedMode(mode="detached"))),
    ),
    "seen-in-training": lambda trained: replace(plain(trained), training=(digits().data.test,)),
    "more-steps": lambda trained: replace(plain(trained), attack=HALF_AS_LONG),
    "restarts": lambda _: toy_case(Lottery(0.1), attack=QUICK_SEARCH),
    "losses": lambda trained: changed(plain(trained), planted.ScaledLogits),
    "gate-modes": lambda _: toy_case(
        ThroughTheGate(OneGate(50.0, 0.52)), "argmax", Pgd(PgdRecipe(gates=DeployedMode(mode="detached")))
    ),
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

    case = toy_case(ThroughTheGate(OneGate(50.0, 0.52)), "argmax", Pgd(PgdRecipe(objective=ClassObjective(name="dlr"))))
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
        assert "the attack breaks no image" in finding.evidence
    powerful = found(PASS["transfer"](trained), CHECKS["transfer"])
    assert powerful.numbers["power"] > 0.2


def test_an_accuracy_far_above_that_of_validation_images_is_told(trained: Trained) -> None:
    case, check = replace(plain(trained), training=()), replace(CHECKS["seen-in-training"], images=200)
    statuses = {}
    for right, of in ((1800, 2000), (1900, 2000), (1990, 2000), (9, 10)):
        finding = found(replace(case, validation=(right, of)), check)
        statuses[right, of] = finding.status
    assert statuses == {(1800, 2000): "fail", (1900, 2000): "n/a", (1990, 2000): "n/a", (9, 10): "n/a"}
    assert "so a higher accuracy would be no sign" in finding.evidence
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
