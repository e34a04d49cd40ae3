"""Two reports beside each other, against counts by hand over their rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records import Accuracy
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.compare import ReportComparison, compare_reports
from robustbench_aig.reporting.compare.changes import Change, independent_difference
from tests.reporting.synthetic import DRAWS, N, Row, Study, cascaded, fail, make_study


def made(study: Study, directory: Path) -> Path:
    """The directory of a study with its `report.json`, and without the page, which takes longest."""
    (study.write(directory, images=False) / "report.json").write_text(aggregate(directory).model_dump_json())
    return directory


def small_study(seed: int = 0) -> Study:
    """At one epsilon."""
    study = make_study(seed)
    kept = [e for e in study.plan.evaluations if e.threat is None or e.threat.eps == "8/255"]
    plan = study.plan.model_copy(update={"evaluations": kept})
    return Study(plan, {e.id: study.rows[e.id] for e in kept})


def with_plan(study: Study, **changes: Any) -> Study:
    return Study(study.plan.model_copy(update={"digest": "77" * 32, **changes}), study.rows)


def first_images(study: Study, n: int) -> Study:
    """The study as it would have been with `--limit n`."""
    data = study.plan.data.model_copy(update={"n": n, "digest": "99" * 32})
    return Study(with_plan(study, data=data).plan, {name: rows[:n] for name, rows in study.rows.items()})


def set_right(rows: Sequence[Row], images: range, *, right: bool) -> None:
    """Let all draws of some images be right or wrong."""
    for image in images:
        row = rows[image]
        row["correct_draws"] = row["choice_correct"] = row["draws"] if right else 0
        row["prediction"] = row["label"] if right else (row["label"] + 1) % 5


def of(found: ReportComparison, policy: str, attack: str, eps: str | None = "8/255") -> Change:
    (change,) = [
        change
        for change in found.changes
        if (change.gate_policy, change.attack) == (policy, attack)
        and (change.threat.eps if change.threat else None) == eps
    ]
    return change


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(small_study(), tmp_path_factory.mktemp("before"))


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other answers to the same images."""
    return made(with_plan(small_study(seed=1)), tmp_path_factory.mktemp("after"))


def test_a_report_and_itself(before: Path) -> None:
    found = compare_reports(before, before / "report.json")
    assert (found.notes, found.gone, found.new) == ([], [], [])
    assert len(found.changes) == 3 * (1 + 4)
    for change in found.changes:
        assert change.reading == "the same"
        assert (change.difference, change.only_first, change.only_second, change.paired) == (0, 0, 0, True)
        assert change.low < 0 < change.high
        assert not change.significant


def test_pairs_are_counted_image_by_image(before: Path, after: Path) -> None:
    found = compare_reports(before, after)
    ours, theirs = small_study(), small_study(seed=1)
    for change in found.changes:
        if change.attack == "union":
            continue
        name = next(
            e.id
            for e in ours.plan.evaluations
            if (e.model, e.policy, e.attack, e.threat)
            == (change.model, change.gate_policy, change.attack, change.threat)
        )
        one, other = ([row["correct_draws"] / row["draws"] for row in study.rows[name]] for study in (ours, theirs))
        each = np.subtract(other, one)
        assert change.difference == pytest.approx(each.mean())
        assert change.only_second == pytest.approx(each[each > 0].sum())
        assert change.only_first == pytest.approx(-each[each < 0].sum())
        assert change.low <= change.difference <= change.high
        if change.gate_policy == "sampled":
            assert change.p_value is change.adjusted_p is None
        else:
            gained, lost = int((each > 0).sum()), int((each < 0).sum())
            expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
            assert change.p_value == pytest.approx(expected)
    for change in found.changes:
        if change.p_value is not None and change.adjusted_p is not None:
            assert change.adjusted_p == pytest.approx(min(1.0, change.p_value * len(found.changes)))
            assert change.significant == (change.adjusted_p < 0.05)


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_a_large_difference_is_found_and_a_small_one_is_not(before: Path, tmp_path: Path, policy: str) -> None:
    study = small_study()
    pgd = next(name for name in study.rows if f"-{policy}-pgd-8" in name)
    fgsm = next(name for name in study.rows if f"-{policy}-fgsm-8" in name)
    set_right(study.rows[pgd], range(N), right=True)
    for image in range(2):
        set_right(study.rows[fgsm], range(image, image + 1), right=study.rows[fgsm][image]["correct_draws"] == 0)
    found = compare_reports(before, made(with_plan(study), tmp_path))
    assert of(found, policy, "pgd").significant
    assert of(found, policy, "pgd").reading == "B significantly higher"
    assert not of(found, policy, "fgsm").significant
    assert of(found, policy, "fgsm").reading == "not significantly different"
    least = min((c for c in found.changes if c.p_value is not None), key=lambda c: c.p_value or 0.0)
    assert least.adjusted_p == pytest.approx(min(1.0, (least.p_value or 0.0) * len(found.changes)))
    back = compare_reports(tmp_path, before)
    assert of(back, policy, "pgd").reading == "B significantly lower"
    assert of(back, policy, "pgd").difference == -of(found, policy, "pgd").difference


def test_chance_over_many_comparisons_is_no_finding(before: Path, after: Path) -> None:
    """15 differences of answers drawn from the same distribution: hardly any may stand out alone, and none together."""
    assert not [change for change in compare_reports(before, after).changes if change.significant]


def test_fewer_images_are_paired_on_those_that_both_have(before: Path, tmp_path: Path) -> None:
    fewer = first_images(small_study(seed=1), 40)
    found = compare_reports(before, made(fewer, tmp_path))
    assert found.notes[0].startswith("40 of 60 and 40 images are in both: compared on these")
    change = of(found, "argmax", "pgd")
    name = next(name for name in fewer.rows if "argmax-pgd-8" in name)
    assert (change.n, change.paired) == (40, True)
    assert change.second == sum(row["correct_draws"] for row in fewer.rows[name]) / 40
    assert change.first == sum(row["correct_draws"] for row in small_study().rows[name][:40]) / 40


def test_the_same_numbers_with_other_pixels_are_not_paired(before: Path, tmp_path: Path) -> None:
    found = compare_reports(before, made(first_images(small_study(), N), tmp_path))
    assert found.notes[0].startswith("not paired, since images of the same numbers have other pixels or labels")
    assert not any(change.paired for change in found.changes)


def test_reports_without_their_tables_are_not_paired(before: Path, after: Path, tmp_path: Path) -> None:
    alone = tmp_path / "mine.json"
    alone.write_bytes((after / "report.json").read_bytes())
    found, paired = compare_reports(before, alone), compare_reports(before, after)
    assert f"no sample table of it beside {alone}" in found.notes[0]
    for change, beside in zip(found.changes, paired.changes, strict=True):
        assert (change.paired, change.p_value, change.only_first) == (False, None, None)
        assert [change.first, change.second] == pytest.approx([beside.first, beside.second])
        assert change.low < change.difference < change.high


def test_unpaired_differences_are_found_when_large(before: Path, tmp_path: Path) -> None:
    study = small_study()
    for name, rows in study.rows.items():
        if "pgd-8" in name:
            set_right(rows, range(N), right=True)
    made(with_plan(study), tmp_path)
    for path in (tmp_path / "samples").iterdir():
        path.unlink()
    found = compare_reports(before, tmp_path)
    assert {change.attack for change in found.changes if change.significant} == {"pgd", "union"}


def accuracy(count: int, n: int) -> Accuracy:
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return Accuracy(value=count / n, low=low, high=high, n=n, draws=1, count=count, interval="wilson")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Newcombe 1998, table II, method 10: (a), (b), (e) and (h).
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((10, 10), (0, 10), (0.6075, 1.0000)),
    ],
)
def test_independent_differences_as_published(
    first: tuple[int, int], second: tuple[int, int], expected: tuple[float, float]
) -> None:
    assert independent_difference(accuracy(*first), accuracy(*second)) == pytest.approx(expected, abs=5e-5)
    assert independent_difference(accuracy(*first), accuracy(*second), wider=99.0) == (-1, 1)


def test_what_differs_beside_the_numbers_is_said(before: Path, tmp_path: Path) -> None:
    study = small_study()
    plan = study.plan
    models = [plan.models[0], plan.models[1].model_copy(update={"weights_digest": "11" * 32})]
    evaluations = [
        e.model_copy(update={"settings": {"algorithm": "pgd", "steps": 40}}) if e.attack == "pgd" else e
        for e in plan.evaluations
    ]
    environment = plan.environment | {"torch": "2.10.0"}
    changed = with_plan(study, models=models, evaluations=evaluations, environment=environment, seed=4, chunk=10)
    found = compare_reports(before, made(changed, tmp_path))
    assert found.notes == [
        "other weights: aig-digits",
        "settings: seed 3 and 4, chunk 20 and 10",
        "pgd: steps 20 and 40",
        "environment: torch 2.9.0 and 2.10.0",
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": "cifar10"}, "name: digits and cifar10"),
        ({"split": "train"}, "split: test and train"),
        ({"available": 100}, "size of the split: 360 and 100"),
    ],
)
def test_other_data_is_refused(before: Path, tmp_path: Path, change: dict[str, object], what: str) -> None:
    study = small_study()
    other = with_plan(study, data=study.plan.data.model_copy(update=change))
    with pytest.raises(InputError, match=f"of different data .{what}"):
        compare_reports(before, made(other, tmp_path))


def test_new_and_gone_attacks_and_unions_over_others(before: Path, tmp_path: Path) -> None:
    study = small_study()
    kept = [e for e in study.plan.evaluations if e.attack != "pgd"]
    fewer = Study(with_plan(study, evaluations=kept).plan, {e.id: study.rows[e.id] for e in kept})
    found = compare_reports(before, made(fewer, tmp_path))
    assert {one.attack for one in found.gone} == {"pgd"}
    assert (len(found.gone), found.new) == (3, [])
    assert "worst cases are over other attacks: pgd in A alone" in found.notes
    for change in found.changes:
        assert change.other_attacks == (change.attack == "union")
        assert change.reading.endswith(", other attacks") == (change.attack == "union")
    assert of(found, "argmax", "union").difference >= 0
    back = compare_reports(tmp_path, before)
    assert (back.new, back.gone) == (found.gone, [])


def test_failed_images_are_no_finding(before: Path, tmp_path: Path) -> None:
    study = small_study()
    name = next(name for name in study.rows if "argmax-fgsm-8" in name)
    for row in study.rows[name]:
        fail(row)
    found = compare_reports(before, made(with_plan(study), tmp_path))
    change = of(found, "argmax", "fgsm")
    assert (change.status, change.significant, change.reading) == ("error", False, "has failed images")
    assert change.adjusted_p is not None
    assert change.adjusted_p < 0.05
    assert f"{tmp_path} is error" in found.notes


def test_of_a_cascade_only_the_worst_case_is_compared(before: Path, tmp_path: Path) -> None:
    found = compare_reports(before, made(cascaded(with_plan(small_study())), tmp_path))
    # No image is lost to ten draws of sampled gates unattacked, so that the first attack there skips none.
    assert {change.attack for change in found.changes if change.gate_policy != "sampled"} == {
        "clean",
        "union",
        "corners",
    }
    assert {change.attack for change in found.changes} == {"clean", "union", "corners", "fgsm"}
    assert "settings: cascade False and True" in found.notes
    assert any(note.startswith("a cascade: ") for note in found.notes)


def test_tables_of_another_plan_are_not_taken_for_the_reports(before: Path, tmp_path: Path) -> None:
    made(with_plan(small_study(seed=1)), tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"digest": "00" * 32}))
    assert "no sample table of it" in compare_reports(before, tmp_path).notes[0]


def test_a_folder_without_a_report_is_refused(before: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no report"):
        compare_reports(before, tmp_path)


def test_random_gates_are_averaged_over_their_draws(before: Path) -> None:
    study = small_study()
    name = next(name for name in study.rows if "sampled-pgd-8" in name)
    change = of(compare_reports(before, before), "sampled", "pgd")
    assert change.first == pytest.approx(sum(row["correct_draws"] for row in study.rows[name]) / (N * DRAWS))
