"""Every planted defect is found by a check that is named here, and honest networks fail none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustbench_aig.attacks import Apgd, Attack
from robustbench_aig.checks import ALL, QUICK, Case, Check, Finding, reference_attack, run_checks
from robustbench_aig.checks.blackbox import BlackBox
from robustbench_aig.checks.worst_case import Union
from robustbench_aig.evaluation import Images, Network
from robustbench_aig.gating import PooledGate
from robustbench_aig.models import MacProfile, fused
from robustbench_aig.recipes import ApgdRecipe, DeployedMode, PgdRecipe
from tests.checks import planted
from tests.checks.grounds import Ground, Setting, digits

Trained = Callable[[str], Network]
CHECKS = {check.name: check for check in ALL}


@dataclass(frozen=True)
class Defect:
    """What is wrong, and the checks that must say so.

    Attributes:
        make: from an honest network, and the ground that it stands on, to a wrong one.
        found_by: names of checks.
        of: the honest network.
        policy: under which the wrong one is checked.
    """

    make: Callable[[nn.Module, Ground], nn.Module]
    found_by: tuple[str, ...]
    of: str = "plain"
    policy: str = "none"


def alone(make: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module, Ground], nn.Module]:
    """Whatever the ground."""
    return lambda model, _: make(model)


def gates(kind: type[PooledGate]) -> Callable[[nn.Module, Ground], nn.Module]:
    """Other gates with the same weights."""
    return lambda model, _: planted.with_gates(model, kind)


NETWORKS = {
    "scaled logits": Defect(
        alone(planted.ScaledLogits), ("cross-entropy-underflow", "step-saturation", "high-epsilon")
    ),
    "softmax output": Defect(alone(planted.SoftmaxOutput), ("logits",)),
    "gates cut from the gradient": Defect(gates(planted.CutGate), ("gate-path",), "gated-0", "argmax"),
    "the same, sampled": Defect(gates(planted.CutGate), ("gate-path",), "gated-0", "sampled"),
    "every other gate cut from the gradient": Defect(alone(planted.half_cut), ("gate-path",), "gated-0", "argmax"),
    "sampled gates presented as deterministic": Defect(gates(planted.SecretGate), ("randomness",), "gated-0", "argmax"),
    "noise of the batch": Defect(gates(planted.BatchNoiseGate), ("noise-scope",), "gated-0", "sampled"),
    "dropout left on": Defect(alone(planted.Dropping), ("randomness",)),
    "quantised input": Defect(alone(planted.Rounded), ("zero-gradient", "finite-differences", "unbounded")),
    "quantised input, straight through": Defect(alone(planted.RoundedStraightThrough), ("finite-differences",)),
    "k winners take all": Defect(
        lambda _, ground: planted.winners_take_all(ground.setting.data), ("shattered-gradient", "binarization")
    ),
    "batch-norm stuck in training mode": Defect(alone(planted.stuck_in_training), ("mode", "alone-and-together")),
    "a batch of one treated differently": Defect(alone(planted.OtherAlone), ("alone-and-together",)),
    "network left in training mode": Defect(alone(planted.left_in_training), ("mode",)),
    "input's gradient ignored": Defect(alone(planted.IgnoresGradient), ("zero-gradient", "single-step")),
    "NaN for whatever is changed": Defect(
        lambda model, ground: planted.NotANumber(model, ground.setting.images.pixels),
        ("single-step", "finite-differences"),
    ),
    "normalised twice": Defect(
        lambda model, ground: planted.normalised_twice(model, ground.setting.images.pixels),
        ("clean-accuracy", "plausible-input"),
    ),
    "made for pixels up to 255": Defect(alone(planted.UpTo255), ("clean-accuracy", "plausible-input")),
    "faint gates": Defect(alone(planted.faint_gates), ("on-the-edge",), "gated-0", "argmax"),
    "margins of the last digit": Defect(alone(planted.LastDigit), ("on-the-edge",)),
    "classes shifted by one": Defect(alone(planted.NextClass), ("clean-accuracy", "plausible-input")),
}

ATTACKS: dict[str, tuple[Attack, tuple[str, ...]]] = {
    "too small a step": (planted.TINY_STEP, ("single-step", "positive-control", "convergence", "high-epsilon")),
    "too few steps": (planted.TOO_SHORT, ("single-step", "positive-control", "convergence", "high-epsilon")),
    "never leaves the clean image": (planted.Idle(), ("single-step", "positive-control", "unbounded")),
    "leaves the ball": (planted.Leaves(), ("in-the-ball", "single-step")),
    "crashes": (planted.Crashes(), ("in-the-ball", "single-step", "unbounded")),
    "epsilon over 255": (planted.OffBy255(), ("single-step", "positive-control", "unbounded")),
    "epsilon times 255": (planted.OffBy255(Fraction(255)), ("in-the-ball",)),
    "descends": (planted.Descends(), ("in-the-ball", "positive-control")),
    "starts every image at the same point": (planted.OneStart(PgdRecipe()), ("distinct-starts",)),
    "starts every restart at the same point": (planted.SameRestarts(ApgdRecipe()), ("distinct-starts",)),
    "does not return its success": (planted.ThrowsAway(PgdRecipe()), ("silent-success", "single-step")),
}


def found(case: Case, name: str) -> Finding:
    return next(run_checks(case, [CHECKS[name]]))


def assert_found(case: Case, found_by: Sequence[str], ground: Ground) -> None:
    """By every check that is named, but for those that are blunt on this ground."""
    statuses = {check: found(case, check).status for check in found_by if check not in ground.setting.blunt}
    assert set(statuses.values()) == {"fail"}, statuses


def planted_case(ground: Ground, defect: Defect) -> Case:
    of = ground.network(defect.of)
    case = ground.setting.case(of, defect.policy, **known(ground.setting, of))
    return replace(case, subject=replace(case.subject, model=defect.make(of.model, ground), copy=None))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_wrong_network_is_found(ground: Ground, name: str) -> None:
    assert_found(planted_case(ground, NETWORKS[name]), NETWORKS[name].found_by, ground)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_wrong_attack_is_found(ground: Ground, name: str) -> None:
    attack, found_by = ATTACKS[name]
    assert_found(ground.setting.case(ground.network("plain"), "none", attack), found_by, ground)


@pytest.mark.parametrize("change", [planted.without_closed_shortcuts, planted.shortcuts_twice])
def test_wrong_compute_is_found(ground: Ground, change: Callable[[MacProfile, Sequence[int]], MacProfile]) -> None:
    case = ground.setting.case(ground.network("gated-0"), "argmax")
    costs = planted.shortcuts(case.subject.model, case.images.pixels[:1])
    assert sum(cost > 0 for cost in costs) == 2
    wrong = replace(case.subject, profile=change(case.subject.profile, costs))
    finding = found(replace(case, subject=wrong), "counted-compute")
    assert finding.status == "fail"
    # A closed shortcut that is left out, or an open one that is counted again.
    assert finding.numbers["largest difference"] in {*costs, sum(costs)}


def test_channels_in_reverse_order_are_found(ground: Ground) -> None:
    """Digits are made red ones, in green and blue noise."""
    of, some = ground.network("plain"), ground.setting.data.test.limit(500, 0)
    model, pixels = of.model, some.batch(slice(None))
    if pixels.shape[1] == 1:
        noise = torch.rand(len(pixels), 2, *pixels.shape[2:], generator=torch.Generator().manual_seed(0))
        pixels, model = torch.cat([pixels, noise], 1), planted.Red(model)
    case = replace(ground.setting.case(of, "none"), images=Images(pixels, some.labels, some.ids))
    for wrapped, status in ((model, "pass"), (planted.ReversedChannels(model), "fail")):
        finding = found(replace(case, subject=replace(case.subject, model=wrapped, copy=None)), "plausible-input")
        assert finding.status == status, finding.evidence
    assert "with the channels BGR" in finding.evidence


def test_training_images_presented_as_test_images_are_found(ground: Ground) -> None:
    setting, of = ground.setting, ground.network("plain")
    learned = setting.data.train.limit(300, 0)
    images = Images(learned.batch(slice(None)), learned.labels, learned.ids)
    case = replace(setting.case(of, "none", training=setting.learned), images=images)
    finding = found(case, "seen-in-training")
    assert (finding.status, finding.count) == ("fail", 300)


@pytest.mark.parametrize("union", [planted.lucky_draw, planted.noisy_minimum])
def test_a_wrong_union_is_found(ground: Ground, union: Union) -> None:
    attack = Apgd(ApgdRecipe(steps=10, keep="best", gates=DeployedMode(draws=5)))
    case = replace(ground.setting.case(ground.network("gated-0"), "sampled", attack), union=union)
    finding = found(case, "fresh-draws")
    assert finding.status == "fail"
    assert finding.numbers["union"] < finding.numbers["fresh"]


def known(setting: Setting, of: Network) -> dict[str, Any]:
    """What is recorded of a network."""
    return {"recorded": setting.recorded(of), "validation": setting.validated(of), "training": setting.learned}


def honest_case(trained: Trained, name: str, policy: str) -> Case:
    """With its twin to transfer from, and the faster copy that `aigrob check` attacks."""
    own = replace(trained(name), copy=fused(trained(name).model))
    twin = trained("plain" if name != "plain" else "gated-0")
    other = twin.subject("none" if name != "plain" else "argmax")
    return digits().case(own, policy, **known(digits(), own), others=(other,))


def lighter(check: Check) -> Check:
    """With fewer images: what can't pass with them any more can still fail."""
    if isinstance(check, BlackBox):
        return replace(check, images=40, queries=100, pairs=5)
    return replace(check, images=min(check.images, 40)) if check.name != "positive-control" else check


HONEST = [("plain", "none"), ("gated-0", "argmax"), ("gated-0", "sampled"), ("adversarial", "none")]
SEEDS = [("gated-1", "sampled"), ("gated-2", "sampled")]


@pytest.mark.parametrize(("name", "policy"), HONEST)
def test_an_honest_network_fails_nothing(trained: Trained, name: str, policy: str) -> None:
    case = honest_case(trained, name, policy)
    attack = Apgd(ApgdRecipe(steps=20, keep="best", gates=DeployedMode(draws=3 if case.subject.random else 1)))
    findings = list(run_checks(replace(case, attack=attack), [lighter(check) for check in QUICK]))
    assert not {finding.check: finding.evidence for finding in findings if finding.status == "fail"}
    passed = {finding.check for finding in findings if finding.status == "pass"}
    assert {"finite-differences", "high-epsilon", "positive-control"} <= passed
    assert "gate-path" in passed or policy == "none"


@pytest.mark.evidence
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "policy"), [*HONEST, *SEEDS])
def test_an_honest_network_fails_nothing_at_length(trained: Trained, name: str, policy: str) -> None:
    findings = list(run_checks(honest_case(trained, name, policy), ALL))
    assert not {finding.check: finding.evidence for finding in findings if finding.status == "fail"}


def test_the_docs_have_a_row_of_every_check_with_its_thresholds() -> None:
    rows = (Path(__file__).parents[2] / "docs" / "checks.md").read_text().splitlines()
    for check in ALL:
        (row,) = (row for row in rows if row.startswith(f"| `{check.name}` |") and row.count("|") == 5)
        assert str(check.limits) in row or check.name == "clean-accuracy"  # whose limits depend on the run


def test_the_docs_name_what_finds_every_defect() -> None:
    rows = (Path(__file__).parents[2] / "docs" / "checks.md").read_text().splitlines()
    found_by = {name: defect.found_by for name, defect in NETWORKS.items()}
    found_by |= {name: checks for name, (_, checks) in ATTACKS.items()}
    for name, checks in found_by.items():
        assert f"| {name} | {', '.join(f'`{check}`' for check in checks)} |" in rows


def test_the_readme_says_how_many_checks_there_are() -> None:
    assert f"runs {len(ALL)} tests" in (Path(__file__).parents[2] / "README.md").read_text()


def test_every_check_is_named_once() -> None:
    assert len(CHECKS) == len(ALL)
    assert all(check.advice and check.asks.endswith("?") for check in ALL)
    assert reference_attack(random=True) != reference_attack(random=False)
