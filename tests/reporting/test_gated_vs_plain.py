"""What is said of a difference beside its interval: adjusted p, equivalence, and what could have been seen."""

import re
from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.records import Comparison, Report
from robustbench_aig.reporting import aggregate, words
from robustbench_aig.reporting.gated_vs_plain import equivalence, paired
from robustbench_aig.reporting.image_scores import Scores
from robustbench_aig.statistics import mcnemar_power
from tests.reporting.synthetic import Study, evaluation, fail


@pytest.fixture(scope="module")
def report(directory: Path) -> Report:
    return aggregate(directory)


def scores(correct: list[int], draws: int = 1) -> Scores:
    right = np.array(correct)
    return Scores(np.ones(right.size, bool), right, np.full(right.size, draws), 2 * right > draws)


def test_adjusted_over_all_that_have_a_p_value(study: Study, tmp_path: Path) -> None:
    """Gates made right on all images in one condition, and on ever fewer in others, so that p-values spread."""
    wrong = {("fgsm", "4/255"): 0, ("pgd", "4/255"): 20, ("fgsm", "8/255"): 30}
    for (attack, eps), count in wrong.items():
        for row in study.rows[evaluation("aig-digits", "argmax", attack, "attack", eps).id]:
            right = row["image"] >= count
            row.update(correct_draws=int(right), prediction=row["label"] if right else -1)
    found = aggregate(study.write(tmp_path)).comparisons
    assert all((c.holm_p is None) == (c.p_value is None) for c in found)
    assert all(c.holm_p is None for c in found if c.gate_policy == "sampled")
    tested = sorted((c.p_value, c.holm_p) for c in found if c.p_value is not None and c.holm_p is not None)
    assert len(tested) == 9
    largest, below = 0.0, 0
    for rank, (p, adjusted) in enumerate(tested):
        largest = max(largest, min(1.0, (9 - rank) * p))
        assert adjusted == pytest.approx(largest)
        below += adjusted < 1
    assert 2 <= below < 9


def test_a_difference_is_one_by_the_same_rule_as_its_reading(report: Report) -> None:
    verdicts = set()
    for c in report.comparisons:
        assert (c.equivalence == "different") != (words.reading(c) == words.SAME)
        verdicts.add(c.equivalence)
    assert verdicts == {"different", "undecided"}


def test_three_images_on_one_side_are_no_difference_and_twelve_are() -> None:
    """Of 2000: 0.15 points are no difference and lie within one point; so do 0.6, but they are different from zero."""
    for only, verdict in ((3, "equivalent"), (12, "different but within the margin"), (60, "different")):
        first, second = scores([1] * 2000), scores([0] * only + [1] * (2000 - only))
        assert equivalence(paired(first, second)) == verdict
    few = scores([1] * 100), scores([0] * 3 + [1] * 97)
    assert equivalence(paired(*few)) == "undecided"


def test_what_could_be_seen_depends_on_images_and_discordance(report: Report) -> None:
    for c in report.comparisons:
        assert c.detectable is not None
        assert c.detectable > 0.03
        if c.p_value is not None:
            discordant = max((c.only_gated + c.only_plain) / c.n, c.detectable)
            assert mcnemar_power(c.n, discordant, c.detectable) == pytest.approx(0.8, abs=1e-3)


def test_random_gates_see_by_the_spread_over_images() -> None:
    """Scores that differ by 0.3, up and down in turn, are as good as 9 % of discordant images."""
    count = 400
    found = paired(scores([8, 2] * (count // 2), 10), scores([5] * count, 10))
    assert found.p_value is None
    assert found.detectable == pytest.approx(2.8016 * 0.3 / np.sqrt(count), rel=0.01)


def test_failed_images_leave_no_verdict(study: Study, tmp_path: Path) -> None:
    for row in study.rows[evaluation("aig-digits", "argmax", "pgd", "attack", "8/255").id][:7]:
        fail(row)
    failed = [c for c in aggregate(study.write(tmp_path)).comparisons if c.status == "error"]
    assert failed
    assert {(c.equivalence, c.detectable) for c in failed} == {(None, None)}


def test_an_older_report_has_none_of_them(report: Report) -> None:
    before = report.comparisons[0].model_dump(exclude={"holm_p", "equivalence", "detectable"})
    read = Comparison.model_validate(before)
    assert (read.holm_p, read.equivalence, read.detectable) == (None, None, None)


def test_the_page_shows_them(written: Path, report: Report) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", (written / "report.html").read_text()))
    tested = sum(c.p_value is not None for c in report.comparisons)
    assert f"adjusted by Holm over the {tested} comparisons" in text
    assert "p after Holm within ±1 detectable" in text
    for c in report.comparisons:
        assert c.detectable is not None
        assert f" {c.equivalence} {100 * c.detectable:.1f} " in text
