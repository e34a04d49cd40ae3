"""Every branch of the rules, on evidence made for it."""

import dataclasses

import pytest

from robustbench_aig.records import ClaimVerdict
from robustbench_aig.reporting.claims.verdicts import (
    Contest,
    Estimate,
    Ruling,
    combine,
    judge_bound,
    judge_contest,
    measurement,
    no_advantage,
    too_few,
    unrefuted,
)
from robustbench_aig.statistics import images_needed, mcnemar_power
from robustbench_aig.threat import Threat

UP, DOWN = Estimate(0.05, 0.03, 0.07, 1000, 0.1), Estimate(-0.05, -0.07, -0.03, 1000, 0.1)
NONE, SAME = Estimate(0.0, -0.02, 0.02, 1000, 0.1), Estimate(0.0, -0.008, 0.008, 9000, 0.1)
FIXED = Contest(UP, failed=False, left=0.5, fgsm=None, random=False, argmax=None, carried=None)
RANDOM = Contest(UP, failed=False, left=0.5, fgsm=None, random=True, argmax=UP, carried=DOWN)


def with_(contest: Contest, **changes: object) -> Contest:
    return dataclasses.replace(contest, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contest", "verdict", "words"),
    [
        (FIXED, "supported", "+5.0 points"),
        (with_(FIXED, gap=Estimate(0.5, 0.2, 0.8, 367, 0.5)), "inconclusive", "367 images are too few"),
        (with_(FIXED, gap=Estimate(-0.5, -0.8, -0.2, 367, 0.5)), "inconclusive", "368 are needed"),
        (with_(FIXED, gap=Estimate(0.5, 0.2, 0.8, 368, 0.5)), "supported", ""),
        (with_(FIXED, failed=True), "inconclusive", "failed"),
        (with_(FIXED, left=0.019), "inconclusive", "both have less than 2.0"),
        (with_(FIXED, left=0.02), "supported", ""),
        (with_(FIXED, failed=True, left=0.0), "inconclusive", "failed"),
        (with_(FIXED, gap=Estimate(0.05, 0.0, 0.1, 1000, 0.1)), "inconclusive", ""),
        (with_(FIXED, gap=Estimate(-0.05, -0.1, 0.0, 1000, 0.1)), "inconclusive", ""),
        (with_(FIXED, gap=Estimate(0.0, -0.01, 0.009, 9000, 0.1)), "inconclusive", ""),
        (with_(FIXED, gap=Estimate(0.0, -0.009, 0.01, 9000, 0.1)), "inconclusive", ""),
        (with_(FIXED, gap=NONE, fgsm=Estimate(0.05, 0.0, 0.1, 1000, 0.1)), "inconclusive", ""),
        (with_(FIXED, gap=Estimate(0.0, -0.05, 0.05, 1000, 0.1), fgsm=UP), "inconclusive", ""),
        (with_(FIXED, gap=Estimate(0.0, -0.05, 0.0499, 1000, 0.1), fgsm=UP), "explained by masking", ""),
        (with_(FIXED, gap=NONE), "inconclusive", "detecting one point needs"),
        (with_(FIXED, gap=DOWN), "unsupported", "−5.0 points"),
        (with_(FIXED, gap=SAME), "unsupported", "equal to within one point"),
        (with_(FIXED, gap=NONE, fgsm=UP), "explained by masking", "+5.0 points [+3.0,\xa0+7.0] under FGSM"),
        (with_(FIXED, gap=DOWN, fgsm=UP), "explained by masking", ""),
        # FGSM shows no more than the union may hide: too few images, not a mask.
        (with_(FIXED, gap=Estimate(0.04, -0.01, 0.09, 1000, 0.1), fgsm=UP), "inconclusive", ""),
        (with_(FIXED, gap=NONE, fgsm=NONE), "inconclusive", ""),
        (RANDOM, "supported", "with deterministic gates"),
        (with_(RANDOM, argmax=None, carried=None), "inconclusive", "the part of noise is unknown"),
        (with_(RANDOM, argmax=NONE, carried=UP), "explained by randomness", ""),
        # A true advantage without noise, of which noise makes more than double, isn't the claim that was made.
        (with_(RANDOM, argmax=Estimate(0.01, 0.005, 0.015, 1000, 0.1), carried=UP), "explained by randomness", ""),
        (with_(RANDOM, argmax=NONE, carried=NONE), "inconclusive", "detecting one point needs"),
        (with_(RANDOM, argmax=UP, carried=None), "inconclusive", "the part of noise is unknown"),
        (with_(RANDOM, argmax=None, carried=DOWN), "inconclusive", "the part of noise is unknown"),
        (with_(RANDOM, argmax=UP, carried=Estimate(0.01, 0.0, 0.02, 1000)), "supported", ""),
        (with_(RANDOM, argmax=Estimate(0.05, 0.0, 0.1, 1000), carried=DOWN), "inconclusive", ""),
        (with_(RANDOM, gap=NONE, fgsm=UP), "explained by masking", ""),
        (with_(RANDOM, gap=DOWN), "unsupported", ""),
    ],
)
def test_of_a_contest(contest: Contest, verdict: ClaimVerdict, words: str) -> None:
    found = judge_contest(contest, 0.0)
    assert found.verdict == verdict
    assert words in found.reason
    assert found.floor == ("both have less" in found.reason)


def test_a_margin_asks_for_more() -> None:
    assert judge_contest(FIXED, 0.02).verdict == "supported"
    assert judge_contest(FIXED, 0.04).verdict == "inconclusive"
    assert judge_contest(FIXED, 0.08).verdict == "unsupported"


def test_the_number_of_images_is_one_that_shows_a_point() -> None:
    assert mcnemar_power(NONE.needed, 0.1, 0.01) >= 0.8 > mcnemar_power(NONE.needed - 50, 0.1, 0.01)
    assert Estimate(0.0, 0.0, 0.0, 100).needed > 100


def estimate(one: float, other: float) -> Estimate:
    return Estimate((one + other) / 2, min(one, other), max(one, other), 100)


@pytest.mark.parametrize("sign", [1, -1])
def test_of_a_bound(sign: int) -> None:
    """The same from above as from below, mirrored."""
    for low, high, verdict in ((0.5, 0.7, "supported"), (0.6, 0.7, "supported"), (0.4, 0.6, "inconclusive")):
        found = estimate(sign * low, sign * high)
        assert judge_bound(found, sign * 0.5, at_least=sign > 0).verdict == verdict
    assert judge_bound(estimate(sign * 0.3, sign * 0.49), sign * 0.5, at_least=sign > 0).verdict == "unsupported"


FLOOR = Ruling("inconclusive", "", floor=True)


def alone(verdict: ClaimVerdict) -> Ruling:
    return Ruling(verdict, "")


@pytest.mark.parametrize(
    ("rulings", "combined"),
    [
        ([alone("supported"), alone("supported")], "supported"),
        ([alone("supported"), alone("inconclusive")], "inconclusive"),
        ([alone("inconclusive"), alone("explained by randomness")], "explained by randomness"),
        ([alone("explained by randomness"), alone("explained by masking")], "explained by masking"),
        ([alone("supported"), alone("explained by masking"), alone("unsupported")], "unsupported"),
        ([alone("supported"), FLOOR], "supported"),
        ([FLOOR, FLOOR], "inconclusive"),
    ],
)
def test_one_exception_refutes(rulings: list[Ruling], combined: ClaimVerdict) -> None:
    eps = [Threat.parse(f"{n}/255") for n in range(1, len(rulings) + 1)]
    found = [measurement("gap", UP, ruling, threat=one) for ruling, one in zip(rulings, eps, strict=True)]
    assert combine(found).verdict == combined


def test_what_holds_everywhere_is_told_by_the_hardest_strength() -> None:
    eps = [Threat.parse(f"{n}/255") for n in (1, 4, 2)]
    found = [measurement("gap", UP, Ruling("supported", "gated minus plain: more"), threat=one) for one in eps]
    assert combine(found).threat == eps[1]
    assert combine([measurement("rate", UP, Ruling("supported", "it is open"))]).threat is None


def test_a_margin_moves_every_limit() -> None:
    """At two points: below them, equal to within one more, above, and FGSM's advantage has to be above them, too."""
    for low, high, verdict in (
        (0.0, 0.0199, "unsupported"),
        (0.0, 0.02, "inconclusive"),
        (0.0101, 0.0299, "unsupported"),
        (0.01, 0.0299, "inconclusive"),
        (0.0101, 0.03, "inconclusive"),
        (0.02, 0.09, "inconclusive"),
        (0.0201, 0.09, "supported"),
    ):
        gap = Estimate((low + high) / 2, low, high, 10_000, 0.1)
        assert judge_contest(with_(FIXED, gap=gap), 0.02).verdict == verdict, (low, high)
    for fgsm, verdict in ((0.031, "explained by masking"), (0.03, "unsupported")):
        there = with_(FIXED, gap=NONE, fgsm=Estimate(0.05, fgsm, 0.07, 1000, 0.1))
        assert judge_contest(there, 0.03).verdict == verdict
    for argmax, verdict in ((0.031, "supported"), (0.03, "inconclusive")):
        there = with_(RANDOM, gap=Estimate(0.1, 0.05, 0.2, 1000), argmax=Estimate(0.06, argmax, 0.09, 1000))
        assert judge_contest(there, 0.03).verdict == verdict


def test_a_gap_that_is_no_advantage_says_why() -> None:
    assert no_advantage(DOWN, 0.0, "said") == Ruling("unsupported", "said")
    assert no_advantage(SAME, 0.0, "said") == Ruling("unsupported", "said: equal to within one point")
    needed = images_needed(0.01, 0.1)
    expected = Ruling("inconclusive", f"said; detecting one point needs {needed} images")
    assert no_advantage(NONE, 0.0, "said") == expected


@pytest.mark.parametrize(
    ("margin", "needed"), [(0.0, 368), (0.005, 368), (0.01, 368), (0.02, 183), (0.05, 72), (0.5, 6)]
)
def test_images_are_too_few_below_what_a_margin_takes(margin: float, needed: int) -> None:
    """(1 - margin)^n must be at most 2.5 %; a margin below one point asks for no more than one point does."""
    assert too_few(Estimate(0.5, 0.4, 0.6, needed), margin) is None
    few = too_few(Estimate(0.5, 0.4, 0.6, needed - 1), margin)
    assert few is not None
    assert (few.verdict, few.floor) == ("inconclusive", False)
    assert few.reason.startswith(f"{needed - 1} images")
    assert few.reason.endswith(f"{needed} are needed")
    assert too_few(Estimate(0.5, 0.4, 0.6, None), margin) is None


def test_an_estimate_is_above_what_its_interval_excludes() -> None:
    assert UP.above(0.0299)
    assert not UP.above(0.03)
    assert str(UP) == "+5.0 points [+3.0,\xa0+7.0]"
    for discordant, asked in ((0.0, 0.01), (0.01, 0.01), (0.2, 0.2)):
        assert Estimate(0.3, 0.2, 0.4, 100, discordant).needed == images_needed(0.01, asked)
    assert Estimate(0.0, 0.0, 0.0, 100) == Estimate(0.0, 0.0, 0.0, 100, 0.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_limit_is_reached_where_an_interval_ends_at_it(sign: int) -> None:
    within, beyond = ("at least", "below") if sign > 0 else ("at most", "above")
    for low, high, verdict, word in (
        (0.5, 0.7, "supported", within),
        (0.3, 0.5, "inconclusive", "contains the limit"),
        (0.3, 0.4999, "unsupported", beyond),
    ):
        found = judge_bound(estimate(sign * low, sign * high), sign * 0.5, at_least=sign > 0)
        assert found.verdict == verdict
        assert f" {word} " in found.reason


def test_a_bound_over_images_asks_for_enough_of_them() -> None:
    """Over no images, as a count of operations is, it asks for none."""
    one = Estimate(0.9, 0.8, 1.0, 100)
    assert judge_bound(one, 0.5, at_least=True).verdict == "supported"
    assert judge_bound(one, 0.5, at_least=True, margin=0.05).verdict == "supported"
    assert judge_bound(one, 0.5, at_least=True, margin=0.02).reason.startswith("100 images are too few")
    assert judge_bound(Estimate(0.9, 0.9, 0.9, None), 0.5, at_least=True, margin=0.0).verdict == "supported"


def test_a_number_is_told_with_its_interval_where_it_has_one() -> None:
    said = [judge_bound(one, 0.25, at_least=False).reason for one in (UP, Estimate(0.12345, 0.12345, 0.12345, None))]
    assert said[0].startswith("0.050 [0.030, 0.070] is")
    assert said[1].startswith("0.1235 is")
    assert all(one.endswith("at most 0.25") for one in said)


def test_the_record_of_a_number() -> None:
    plain = measurement("gap", UP, Ruling("supported", "why"))
    assert (plain.what, plain.value, plain.low, plain.high, plain.n) == ("gap", 0.05, 0.03, 0.07, 1000)
    assert (plain.verdict, plain.reason, plain.decides) == ("supported", "why", True)
    assert (plain.threat, plain.beside, plain.attacks) == (None, {}, [])
    eps = Threat.parse("1/255")
    full = measurement("gap", UP, FLOOR, threat=eps, beside={"fgsm": 0.5}, attacks=("pgd",))
    assert (full.decides, full.threat, full.beside, full.attacks) == (False, eps, {"fgsm": 0.5}, ["pgd"])


@pytest.mark.parametrize(
    ("verdict", "becomes"),
    [("supported", "not refuted"), ("inconclusive",) * 2, ("unsupported",) * 2],
)
def test_attacks_that_ran_support_nothing_about_all(verdict: ClaimVerdict, becomes: ClaimVerdict) -> None:
    assert unrefuted(measurement("gap", UP, alone(verdict))).verdict == becomes


def test_what_is_no_more_than_not_refuted_is_told_before_what_is_supported() -> None:
    found = [measurement("gap", UP, alone(verdict)) for verdict in ("supported", "not refuted")]
    assert combine(found).verdict == "not refuted"


def test_of_equal_exceptions_the_first_is_told() -> None:
    eps = [Threat.parse(f"{n}/255") for n in (1, 4)]
    found = [measurement("gap", DOWN, alone("unsupported"), threat=one) for one in eps]
    assert combine(found).threat == eps[0]
    refuted = [measurement("gap", UP, alone("not refuted"), threat=one) for one in eps]
    assert combine(refuted).threat == eps[1]


def test_records_of_evidence_do_not_change() -> None:
    for record in (UP, FIXED):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.value = 0  # type: ignore[union-attr,misc]
