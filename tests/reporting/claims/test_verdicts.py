"""Every branch of the rules, on evidence made for it."""

import dataclasses

import pytest

from robustbench_aig.records import ClaimVerdict, ThreatRecord
from robustbench_aig.reporting.claims.verdicts import (
    Contest,
    Estimate,
    Ruling,
    combine,
    judge_bound,
    judge_contest,
    measurement,
)
from robustbench_aig.statistics import mcnemar_power

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
        (with_(FIXED, gap=Estimate(-0.5, -0.8, -0.2, 367, 0.5)), "inconclusive", "it takes 368"),
        (with_(FIXED, gap=Estimate(0.5, 0.2, 0.8, 368, 0.5)), "supported", ""),
        (with_(FIXED, failed=True), "inconclusive", "failed"),
        (with_(FIXED, left=0.019), "inconclusive", "both have less than 2.0"),
        (with_(FIXED, gap=NONE), "inconclusive", "images would show a difference of one point"),
        (with_(FIXED, gap=DOWN), "unsupported", "−5.0 points"),
        (with_(FIXED, gap=SAME), "unsupported", "the same to within a point"),
        (with_(FIXED, gap=NONE, fgsm=UP), "explained by masking", "+5.0 points [+3.0,\xa0+7.0] under FGSM"),
        (with_(FIXED, gap=DOWN, fgsm=UP), "explained by masking", ""),
        # FGSM shows no more than the union may hide: too few images, not a mask.
        (with_(FIXED, gap=Estimate(0.04, -0.01, 0.09, 1000, 0.1), fgsm=UP), "inconclusive", ""),
        (with_(FIXED, gap=NONE, fgsm=NONE), "inconclusive", ""),
        (RANDOM, "supported", "without randomness"),
        (with_(RANDOM, argmax=None, carried=None), "inconclusive", "takes argmax gates beside it"),
        (with_(RANDOM, argmax=NONE, carried=UP), "explained by randomness", ""),
        # A true advantage without noise, of which noise makes more than double, isn't the claim that was made.
        (with_(RANDOM, argmax=Estimate(0.01, 0.005, 0.015, 1000, 0.1), carried=UP), "explained by randomness", ""),
        (with_(RANDOM, argmax=NONE, carried=NONE), "inconclusive", ""),
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
    eps = [ThreatRecord(norm="linf", eps=f"{n}/255", value=n / 255) for n in range(1, len(rulings) + 1)]
    found = [measurement("gap", UP, ruling, threat=one) for ruling, one in zip(rulings, eps, strict=True)]
    assert combine(found).verdict == combined


def test_what_holds_everywhere_is_told_by_the_hardest_strength() -> None:
    eps = [ThreatRecord(norm="linf", eps=f"{n}/255", value=n / 255) for n in (1, 4, 2)]
    found = [measurement("gap", UP, Ruling("supported", "gated minus plain: more"), threat=one) for one in eps]
    assert combine(found).threat == eps[1]
    assert combine([measurement("rate", UP, Ruling("supported", "it is open"))]).threat is None
