"""Gaps between networks and what they have to be measured at, without any report."""

import numpy as np
import pytest

from robustbench_aig.recipes import RobustnessClaim
from robustbench_aig.records import ModelRecord
from robustbench_aig.reporting.claims.clean_gates import class_spread
from robustbench_aig.reporting.claims.groups import Group
from robustbench_aig.reporting.claims.robustness import Side, gap_of, named, unmeasured
from robustbench_aig.reporting.claims.verdicts import Estimate, Ruling, measurement
from robustbench_aig.reporting.gated_vs_plain import CLEAN, Results
from robustbench_aig.reporting.image_scores import Scores
from robustbench_aig.statistics import Floats, mean_interval, paired_interval, seed_difference
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_claim
from tests.reporting import synthetic
from tests.reporting.synthetic import make_plan


def side(share: Floats, *, exact: bool = True) -> Side:
    return Side(share, share > 0.5, ok=True, exact=exact)


def answers(seeds: int, images: int, right: float, seed: int) -> Floats:
    return (np.random.default_rng(seed).random((seeds, images)) < right).astype(np.float64)


def test_of_one_network_each_the_interval_is_the_exact_one() -> None:
    first, second = answers(1, 400, 0.7, 0), answers(1, 400, 0.6, 1)
    found = gap_of(side(first), side(second), paired=True, seed=0)
    gained, lost = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    assert (found.low, found.high) == paired_interval(gained, lost, 400)
    assert found.value == pytest.approx((gained - lost) / 400)
    assert found.discordant == pytest.approx((gained + lost) / 400)
    assert found.n == 400


@pytest.mark.parametrize(
    ("ours", "theirs", "exact"),
    [(1, 1, (True, False)), (1, 1, (False, True)), (2, 1, (True,) * 2), (1, 2, (True,) * 2)],
)
def test_what_is_random_or_averaged_has_students_interval(ours: int, theirs: int, exact: tuple[bool, bool]) -> None:
    first, second = answers(ours, 50, 0.7, 0), answers(theirs, 50, 0.6, 1)
    found = gap_of(side(first, exact=exact[0]), side(second, exact=exact[1]), paired=False, seed=0)
    each = first.mean(axis=0) - second.mean(axis=0)
    assert (found.low, found.high) == mean_interval(each, bounds=(-1, 1))
    assert found.discordant == pytest.approx(float((each**2).mean()))


@pytest.mark.parametrize("paired", [True, False])
def test_from_three_seeds_of_each_on_it_is_over_seeds(paired: bool) -> None:
    first, second = answers(3, 40, 0.7, 0), answers(3, 40, 0.5, 1)
    found = gap_of(side(first), side(second), paired=paired, seed=5)
    assert (found.low, found.high) == seed_difference(first, second, paired=paired, seed=5).interval
    few = gap_of(side(first), side(second[:2]), paired=False, seed=5)
    assert (few.low, few.high) == mean_interval(first.mean(axis=0) - second[:2].mean(axis=0), bounds=(-1, 1))
    (image,) = np.flatnonzero(first.sum(axis=0) == 2)[:1]
    one = gap_of(side(first), side(second), paired=paired, seed=5, among=np.arange(40) == image)
    assert one.n == 1
    assert (one.low, one.high) == mean_interval((first - second).mean(axis=0)[[image]], bounds=(-1, 1))


def test_a_gap_may_be_over_some_of_the_images() -> None:
    first, second = answers(1, 60, 0.8, 2), answers(1, 60, 0.5, 3)
    among = np.arange(60) % 3 == 0
    assert gap_of(side(first), side(second), paired=True, seed=0, among=among) == gap_of(
        side(first[:, among]), side(second[:, among]), paired=True, seed=0
    )


def scores(right: list[int], draws: int = 1, *, failed: bool = False) -> Scores:
    ok = np.array([not failed] + [True] * (len(right) - 1))
    correct = np.array(right)
    return Scores(ok, correct, np.full(len(right), draws), 2 * correct > draws)


def test_a_side_is_of_all_its_networks_or_none() -> None:
    models = make_plan().models
    results: Results = {("resnet-digits", "none"): {CLEAN: scores([1, 0])}, ("aig-digits", "none"): {}}
    assert Side.of(models, "none", CLEAN, results) is None
    assert Side.of([], "none", CLEAN, results) is None
    assert Side.of(models, "argmax", CLEAN, results) is None
    results["aig-digits", "none"][CLEAN] = scores([1, 2], 2)
    both = Side.of(models, "none", CLEAN, results)
    assert both is not None
    assert both.share.tolist() == [[1, 0], [0.5, 1]]
    assert both.majority.tolist() == [[True, False], [False, True]]
    assert (both.ok, both.exact) == (True, False)
    alone = Side.of(models[:1], "none", CLEAN, results)
    assert alone is not None
    assert (alone.ok, alone.exact) == (True, True)
    results["resnet-digits", "none"][CLEAN] = scores([0, 1], failed=True)
    broken = Side.of(models, "none", CLEAN, results)
    assert broken is not None
    assert not broken.ok


def group(*, hardened: bool) -> Group:
    plain, gated = (
        model.model_copy(update={"training": synthetic.trained(hardened=hardened)}) for model in make_plan().models
    )
    return Group((gated,), (plain,))


def at(*eps: str) -> list[Threat]:
    return [Threat.parse(one) for one in eps]


def claim_of(name: str) -> RobustnessClaim:
    claim = find_claim(name)[1].claim
    assert isinstance(claim, RobustnessClaim)
    return claim


def test_what_has_to_be_measured_is_named_until_it_is() -> None:
    """`more-robust` lists its strengths, and others for hardened networks; "any strength" is three or more."""
    listed, every = claim_of("more-robust"), claim_of("any-fgsm-strength")
    one = Estimate(0.1, 0.05, 0.2, 1000)

    def lacks(claim: RobustnessClaim, *eps: str, hardened: bool = True) -> str | None:
        found = [measurement("gap", one, Ruling("supported", ""), threat=threat) for threat in at(*eps)]
        return unmeasured(claim, group(hardened=hardened), found)

    wanted = listed.hardened
    assert lacks(listed, *wanted) is None
    assert lacks(listed, *wanted[1:]) == f"at {wanted[0]}"
    *most, last = listed.undefended
    assert lacks(listed, "77/255", hardened=False) == f"at {', '.join(most)} and {last}"
    assert lacks(listed, *listed.undefended, hardened=False) is None
    assert lacks(every, "1/255") == "at 2 more perturbation budgets"
    assert lacks(every, "1/255", "2/255") == "at 1 more perturbation budget"
    assert lacks(every, "1/255", "2/255", "2/255") == "at 1 more perturbation budget"
    assert lacks(every, "1/255", "2/255", "3/255") is None
    assert lacks(every, "1/255", "2/255", "3/255", "4/255") is None


def test_a_ball_is_judged_where_the_claim_lists_it() -> None:
    claim = claim_of("more-robust")
    for hardened, listed in ((True, claim.hardened), (False, claim.undefended)):
        for eps in {*claim.hardened, *claim.undefended}:
            assert named(at(eps)[0], claim, group(hardened=hardened)) == (eps in listed)
    assert not named(None, claim, group(hardened=True))


def alike(gated: list[int | None], plain: list[int | None]) -> Group:
    base = make_plan().models[0]

    def seeded(seeds: list[int | None], family: str) -> tuple[ModelRecord, ...]:
        return tuple(
            base.model_copy(
                update={
                    "name": f"{family}{place}",
                    "training": None if seed is None else synthetic.trained(seed),
                }
            )
            for place, seed in enumerate(seeds)
        )

    return Group(seeded(gated, "gated"), seeded(plain, "plain"))


@pytest.mark.parametrize(
    ("gated", "plain", "paired", "pairs"),
    [
        ([0, 1], [0, 1], True, [("gated0", "plain0"), ("gated1", "plain1")]),
        ([0, 1], [0], False, [("gated0", "plain0"), ("gated1", "plain0")]),
        ([0, 1], [1, 2], False, [("gated0", "plain0"), ("gated1", "plain0")]),
        ([1, 1], [1, 1], False, [("gated0", "plain0"), ("gated1", "plain0")]),
        ([0], [], False, []),
    ],
)
def test_networks_stand_in_pairs_of_a_seed_or_beside_the_first(
    gated: list[int | None], plain: list[int | None], paired: bool, pairs: list[tuple[str, str]]
) -> None:
    both = alike(gated, plain)
    assert both.paired == paired
    assert [(one.name, other.name) for one, other in both.pairs] == pairs
    assert both.models == both.gated + both.plain


def test_rates_spread_between_classes_by_what_chance_does_not_explain() -> None:
    """Written out: of rates .25, .75 and 1 with 4, 4 and 2 images; a class of one image is left out, two are needed."""
    opened = np.array([1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 0], bool)[:, None]
    labels = np.array([0] * 4 + [1] * 4 + [2] * 2 + [3])
    variance = np.var([0.25, 0.75, 1.0], ddof=1) - np.mean([0.25 * 0.75 / 3, 0.75 * 0.25 / 3, 0.0])
    assert class_spread(opened, labels) == pytest.approx([variance**0.5])
    assert class_spread(opened[:4], labels[:4]).tolist() == [0]
    assert class_spread(opened[:5], labels[:5]).tolist() == [0]
    assert class_spread(np.array([[1], [0], [1], [0]], bool), np.array([0, 0, 1, 1])).tolist() == [0]
