"""The three answers of a report, against what its rows and claims say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.records import Answer, Asked, Report
from robustbench_aig.records.plan import Named
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.answer_cards import cards
from tests.reporting.synthetic import (
    EPSILONS,
    GATES,
    TOTAL_MACS,
    Row,
    Study,
    cascaded,
    evaluation,
    fail,
    make_study,
    repeated,
    with_seeds,
)

RAISED = {"algorithm": "pgd", "direction": "up"}


def asked_of(report: Report, question: str, policy: str) -> Answer:
    (found,) = [one for one in report.answers if (one.question, one.gate_policy) == (question, policy)]
    return found


def slowed(study: Study, share: float) -> Study:
    """PGD is on the compute: images execute a share of what they skipped, every other one twice as much."""
    evaluations = [
        e.model_copy(update={"role": "compute", "settings": RAISED}) if e.attack == "pgd" else e
        for e in study.plan.evaluations
    ]

    def raised(row: Row) -> Row:
        more = share * (1 + row["image"] % 2) * (TOTAL_MACS - row["macs_clean"])
        return row | {"macs_adv": row["macs_clean"] + more}

    raising = {e.id for e in evaluations if e.role == "compute" and e.model.startswith("aig")}
    rows = {name: [raised(row) for row in mine] if name in raising else mine for name, mine in study.rows.items()}
    return Study(study.plan.model_copy(update={"evaluations": evaluations}), rows)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return aggregate(make_study().write(tmp_path_factory.mktemp("answers")))


def test_three_questions_for_each_policy_deterministic_gates_first(report: Report) -> None:
    asked = [(one.gate_policy, one.question) for one in report.answers]
    assert asked == [(policy, q) for policy in ("argmax", "sampled") for q in ("more-robust", "slower", "gates")]
    known = {e.id for e in report.evaluations}
    assert all(set(one.evidence) <= known for one in report.answers)


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_where_no_claim_is_judged_the_difference_is_that_of_the_comparison(report: Report, policy: str) -> None:
    found = asked_of(report, "more-robust", policy)
    (of,) = [c for c in report.comparisons if (c.attack, c.gate_policy, c.threat) == ("union", policy, found.threat)]
    assert (found.value, found.low, found.high, found.n) == (of.difference, of.low, of.high, of.n)
    assert found.verdict == ("not significantly different" if of.low <= 0 <= of.high else "inconclusive")


def test_over_seeds_word_and_number_are_the_claim_s(tmp_path: Path) -> None:
    report = aggregate(repeated(with_seeds(make_study(), 3), 5).write(tmp_path))
    for policy in ("argmax", "sampled"):
        (claim,) = [c for c in report.claims if (c.id, c.gate_policy) == ("more-robust", policy)]
        found = asked_of(report, "more-robust", policy)
        assert found.gated == claim.gated
        assert (found.value, found.threat) in [(one.value, one.threat) for one in claim.measurements]
        assert found.reason == claim.reason
        assert (found.verdict == "yes") == (claim.verdict == "supported")


@pytest.mark.parametrize(
    ("share", "verdict", "told"), [(0.2, "yes", "Yes"), (0.004, "hardly", "Hardly"), (0.0, "", "")]
)
def test_recovered_compute_is_counted_from_the_rows(tmp_path: Path, share: float, verdict: str, told: str) -> None:
    study = slowed(repeated(make_study(), 20), share)
    found = asked_of(aggregate(study.write(tmp_path)), "slower", "argmax")
    rows = study.rows[evaluation("aig-digits", "argmax", "pgd", "attack", EPSILONS[-1]).id]
    before, after = (np.array([row[key] for row in rows], float) for key in ("macs_clean", "macs_adv"))
    assert found.value == pytest.approx((after - before).sum() / (TOTAL_MACS - before).sum())
    assert None not in (found.low, found.value, found.high)
    assert found.low <= found.value <= found.high  # type: ignore[operator]
    assert found.n == len(rows)
    if verdict:
        assert found.verdict == verdict
        assert found.told.startswith(told)
    else:
        assert found.verdict != "yes", "nothing was raised"


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_changed_decisions_are_counted_from_the_rows(report: Report, policy: str) -> None:
    found = asked_of(report, "gates", policy)
    rates = {}
    for attack in ("fgsm", "pgd", "corners"):
        role = "control" if attack == "corners" else "attack"
        rows = make_study().rows[evaluation("aig-digits", policy, attack, role, EPSILONS[-1]).id]  # type: ignore[arg-type]
        both = [[int.from_bytes(row[key], "big") for key in ("gates_clean", "gates_adv")] for row in rows]
        rates[attack] = np.mean([(before ^ after).bit_count() / GATES for before, after in both])
    assert found.value == pytest.approx(max(rates["fgsm"], rates["pgd"]))
    assert found.noise == pytest.approx(rates["corners"])
    assert None not in (found.low, found.value, found.high)
    assert found.low < found.value < found.high  # type: ignore[operator]


def test_what_is_missing_comes_with_its_command(tmp_path: Path) -> None:
    study = make_study()
    networks = {model.name: Named(run=f"my runs/{model.name}") for model in study.plan.models}
    asked = Asked(runs="my runs", data=None, images=None, norm="linf", seed=3, device="auto", networks=networks)
    study = Study(study.plan.model_copy(update={"asked": asked}), study.rows)
    found = asked_of(aggregate(study.write(tmp_path)), "slower", "sampled")
    assert (found.verdict, found.value) == ("not measured", None)
    assert found.command == (
        "aigrob attack 'my runs/resnet-digits' 'my runs/aig-digits' --policy argmax --policy sampled --suite compute "
        "--eps 4/255 --eps 8/255 --limit 60 --runs 'my runs' --seed 3"
    )


def test_networks_without_gates_are_asked_nothing(tmp_path: Path) -> None:
    study = make_study()
    plain = [e for e in study.plan.evaluations if e.model == "resnet-digits"]
    plan = study.plan.model_copy(update={"evaluations": plain, "models": study.plan.models[:1]})
    report = aggregate(Study(plan, {e.id: study.rows[e.id] for e in plain}).write(tmp_path))
    assert report.answers == []


def failed(study: Study, of: str, role: str, count: int) -> Study:
    """Some images of every evaluation of that role of a network end as errors."""
    for e in study.plan.evaluations:
        if e.model.startswith(of) and e.role == role:
            for row in study.rows[e.id][:count]:
                fail(row)
    return study


@pytest.mark.parametrize("of", ["resnet", "aig"])
def test_of_failed_images_nothing_is_told_but_that(tmp_path: Path, of: str) -> None:
    report = aggregate(failed(make_study(), of, "attack", 30).write(tmp_path))
    for policy in ("argmax", "sampled"):
        found = asked_of(report, "more-robust", policy)
        assert (found.verdict, found.told, found.value) == ("inconclusive", "Not known: images failed", None)
    slower = failed(slowed(make_study(), 0.2), "aig", "compute", 30)
    found = asked_of(aggregate(slower.write(tmp_path / "slower")), "slower", "argmax")
    assert (found.verdict, found.value) == ("inconclusive", None)


def test_what_one_network_lacks_is_told_of_what_all_have_met(tmp_path: Path) -> None:
    """The second seed has not come to the larger budget yet."""
    study = slowed(with_seeds(make_study(), 2), 0.2)
    last = {e.id for e in study.plan.evaluations if e.model.endswith("s1") and e.threat and e.threat.eps == EPSILONS[1]}
    report = aggregate(Study(study.plan, {k: v for k, v in study.rows.items() if k not in last}).write(tmp_path))
    assert report.status == "partial"
    for question in ("more-robust", "slower", "gates"):
        found = asked_of(report, question, "argmax")
        assert found.threat
        assert found.threat.eps == EPSILONS[0], question
        threats = {e.id: e.threat for e in report.evaluations}
        assert {threats[name] for name in found.evidence} <= {found.threat, None}


def test_a_network_that_skips_nothing_hides_no_attack_on_another(tmp_path: Path) -> None:
    study = slowed(with_seeds(make_study(), 2), 0.2)
    full = {"macs_clean": TOTAL_MACS, "macs_adv": TOTAL_MACS}
    whole = {e.id for e in study.plan.evaluations if e.model == "aig-digits-s1"}
    rows = {k: [row | full for row in mine] if k in whole else mine for k, mine in study.rows.items()}
    found = asked_of(aggregate(Study(study.plan, rows).write(tmp_path)), "slower", "argmax")
    assert found.verdict == "yes"
    assert found.value == pytest.approx(0.3, abs=0.01)
    assert "aig-digits-s1: nothing is skipped" in found.reason


def test_an_attack_that_does_what_noise_does_slows_nothing(tmp_path: Path) -> None:
    """The same rows under the name of a control, and without any control."""
    study = slowed(repeated(make_study(), 20), 0.2)
    rows, plan = dict(study.rows), study.plan
    for e in plan.evaluations:
        if e.attack == "corners" and e.model.startswith("aig"):
            rows[e.id] = [row | {"attack": "corners"} for row in rows[e.id.replace("corners", "pgd")]]
    found = asked_of(aggregate(Study(plan, rows).write(tmp_path / "noise")), "slower", "argmax")
    assert (found.verdict, found.told) == ("inconclusive", "Inconclusive: not beyond random noise")
    kept = [e for e in plan.evaluations if e.attack != "corners"]
    without = Study(plan.model_copy(update={"evaluations": kept}), {e.id: study.rows[e.id] for e in kept})
    found = asked_of(aggregate(without.write(tmp_path / "none")), "slower", "argmax")
    assert (found.verdict, found.told) == ("inconclusive", "Not known: no noise control")


def test_pictures_show_what_answers_say(tmp_path: Path) -> None:
    """Each line ends at its answer's number; noise has one of its own for each policy."""
    study = slowed(repeated(make_study(), 2), 0.2)
    report = aggregate(study.write(tmp_path))
    robust, slower, gates = cards(report, study.plan)
    assert robust.lines[0].name == "plain"
    for card in (slower, gates):
        assert len(card.lines) == 2 * len(card.answers)
        for answer, line, noise in zip(card.answers, card.lines[:2], card.lines[2:], strict=True):
            assert (line.points[-1].value, line.points[-1].low) == (answer.value, answer.low)
            assert noise.points[-1].value == answer.noise
        assert card.picture
        assert [point.eps for point in card.lines[0].points] == sorted(point.eps for point in card.lines[0].points)


def test_in_a_cascade_the_picture_shows_the_attack_that_saw_most(tmp_path: Path) -> None:
    study = cascaded(make_study())
    report = aggregate(study.write(tmp_path))
    gates = cards(report, study.plan)[2]
    for answer, line in zip(gates.answers, gates.lines[:2], strict=True):
        assert line.points[-1].value == answer.value
        assert answer.n is not None
        assert answer.n <= report.data.n
        assert ("images that it ran on" in answer.reason) == (answer.n < report.data.n)
