"""The union over attacks, image by image in plain loops."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from robustbench_aig.records import WorstCase
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.reporting.union import members_of, unions, worst
from tests.reporting.synthetic import EPSILONS, MODELS, Row, Study, cascaded, fail, make_study, skip
from tests.reporting.worst_rows import choose, rows_id


def united(study: Study, directory: Path) -> list[WorstCase]:
    return [one.record for one in unions(load_evidence(study.write(directory, images=False)))]


def changed(study: Study, attacks: set[str], **changes: Any) -> Study:
    """The same study, whose plan says something else of some attacks."""
    evaluations = [e.model_copy(update=changes) if e.attack in attacks else e for e in study.plan.evaluations]
    return Study(study.plan.model_copy(update={"evaluations": evaluations}), study.rows)


def parts(study: Study, w: WorstCase) -> list[list[Row]]:
    """The rows of the clean evaluation, of FGSM and of PGD."""
    of = [("clean", None), ("fgsm", w.threat.eps), ("pgd", w.threat.eps)]
    return [study.rows[rows_id(w.model, w.gate_policy, attack, eps)] for attack, eps in of]


def fell(row: Row) -> bool:
    """Whether an attack broke an image: most of its choice draws are wrong."""
    return row["status"] == "ok" and bool(2 * row["choice_correct"] < row["choice_draws"])


def fallen(study: Study, w: WorstCase) -> list[list[bool]]:
    """Of every image, whether it fell when clean, under FGSM, and under PGD."""
    return [[fell(row) for row in image] for image in zip(*parts(study, w), strict=True)]


def broken_by_one(study: Study, w: WorstCase) -> dict[str, int]:
    """Attacks to the images that they alone break."""
    found = fallen(study, w)
    return {"fgsm": found.count([False, True, False]), "pgd": found.count([False, False, True])}


def test_union(study: Study, tmp_path: Path) -> None:
    found = united(study, tmp_path)
    assert [(w.model, w.gate_policy, w.threat.eps) for w in found] == [(*m, eps) for m in MODELS for eps in EPSILONS]
    for w in found:
        chosen = choose(study.rows, w.model, w.gate_policy, w.threat.eps)
        assert (w.attacks, w.status) == (["fgsm", "pgd"], "ok")
        assert w.accuracy.value == pytest.approx(fmean(r["correct_draws"] / r["draws"] for _, r in chosen))
        assert w.strongest == {"clean": 0, "fgsm": 0, "pgd": 0} | Counter(attack for attack, _ in chosen)
        assert w.alone == broken_by_one(study, w)
        if w.gate_policy == "sampled":
            assert w.accuracy.majority == pytest.approx(fmean(row["prediction"] == row["label"] for _, row in chosen))


def test_scores_of_images_are_those_of_the_chosen_rows(study: Study, tmp_path: Path) -> None:
    fail(study.rows[rows_id("aig-digits", "sampled", "pgd", "8/255")][3])
    (union,) = [
        one
        for one in unions(load_evidence(study.write(tmp_path, images=False)))
        if (one.record.gate_policy, one.record.threat.eps) == ("sampled", "8/255")
    ]
    chosen = [row for _, row in choose(study.rows, "aig-digits", "sampled", "8/255")]
    failed = [image == 3 for image in range(len(chosen))]
    assert union.scores.ok.tolist() == [not one for one in failed]
    expected = [0 if no else row["correct_draws"] for no, row in zip(failed, chosen, strict=True)]
    assert union.scores.correct.tolist() == expected
    right = [not no and row["prediction"] == row["label"] for no, row in zip(failed, chosen, strict=True)]
    assert union.scores.majority.tolist() == right
    assert not union.scores.exact


def test_what_is_united_is_every_attack_of_one_size_and_no_control(study: Study) -> None:
    groups = members_of(study.plan)
    assert [threat.eps for threat, _ in groups] == [*EPSILONS] * len(MODELS)
    for threat, members in groups:
        assert [(e.attack, e.role) for e in members] == [("clean", "clean"), ("fgsm", "attack"), ("pgd", "attack")]
        assert [e.threat for e in members] == [None, threat, threat]
        assert len({(e.model, e.policy) for e in members}) == 1


def test_without_clean_images_nothing_is_united(study: Study) -> None:
    kept = [e for e in study.plan.evaluations if (e.role, e.policy) != ("clean", "argmax")]
    groups = members_of(study.plan.model_copy(update={"evaluations": kept}))
    assert {members[0].policy for _, members in groups} == {"none", "sampled"}


def test_no_union_is_said_of_fewer_attacks_than_were_planned(study: Study, tmp_path: Path) -> None:
    del study.rows[rows_id("aig-digits", "argmax", "pgd", "8/255")]
    found = {(w.gate_policy, w.threat.eps) for w in united(study, tmp_path)}
    assert ("argmax", "8/255") not in found
    assert len(found) == len(MODELS) * len(EPSILONS) - 1


def test_where_an_attack_fails_is_no_evidence_that_it_breaks_anything(study: Study, tmp_path: Path) -> None:
    """Such an image is lost, and so in the accuracy; but what another attack breaks of it, that one breaks alone."""
    for e in study.plan.evaluations:
        for row in study.rows[e.id][{"pgd": slice(0, 20), "fgsm": slice(10, 40)}.get(e.attack, slice(0, 0))]:
            fail(row)
    found = united(study, tmp_path)
    for w in found:
        assert w.alone == broken_by_one(study, w)
        assert (w.status, sum(w.strongest.values())) == ("error", 20)
        assert w.accuracy.value <= 20 / 60
    assert max(w.alone["pgd"] for w in found) > 0


@pytest.mark.parametrize(("score", "lost"), [(4, True), (5, False), (6, False)])
def test_half_of_the_draws_is_not_lost(score: int, lost: bool, study: Study, tmp_path: Path) -> None:
    """An image is lost under the evaluation that is worst for it, where fewer than half of its draws are right."""
    names = [rows_id("aig-digits", "sampled", attack, eps) for attack, eps in (("clean", None), ("pgd", "8/255"))]
    for name, correct in zip(names, (9, score), strict=True):
        for row in study.rows[name]:
            row["choice_correct"] = correct
    evidence = load_evidence(study.write(tmp_path, images=False))
    chosen, found = worst([evidence.rows[name] for name in names])
    assert chosen.tolist() == [1] * 60
    assert found.tolist() == [lost] * 60


def mixed(study: Study) -> Study:
    """The same attacks, of which PGD is another provider's; some of its images fail, and some of ours do."""
    for e in study.plan.evaluations:
        for row in study.rows[e.id][{"pgd": slice(0, 5), "fgsm": slice(5, 10)}.get(e.attack, slice(0, 0))]:
            fail(row)
    return changed(study, {"pgd"}, provider="foolbox")


def test_what_other_providers_alone_break(study: Study, tmp_path: Path) -> None:
    other = mixed(study)
    counts = []
    for w in united(other, tmp_path / "mixed"):
        clean, ours, _ = parts(other, w)
        shares = []
        for image in zip(clean, ours, strict=True):
            least = min(image, key=lambda row: (row["choice_correct"] / row["choice_draws"], row["choice_margin"]))
            shares.append(least["correct_draws"] / least["draws"])
        assert w.others_only == [i for i, lost in enumerate(fallen(other, w)) if lost == [False, False, True]]
        assert w.own_accuracy is not None
        assert w.own_accuracy.value == pytest.approx(fmean(shares))
        assert w.own_accuracy.value >= w.accuracy.value or w.gate_policy == "sampled"
        counts.append(len(w.others_only))
    assert max(counts) > 0


@pytest.mark.parametrize("theirs", [set(), {"fgsm", "pgd"}])
def test_where_all_attacks_are_ours_or_theirs_nothing_is_compared(
    theirs: set[str], study: Study, tmp_path: Path
) -> None:
    found = united(changed(study, theirs, provider="foolbox"), tmp_path)
    assert [(w.own_accuracy, w.others_only) for w in found] == [(None, [])] * 6


STOCK: list[dict[str, object]] = [
    {},
    {"gates": {"mode": "straight-through"}},
    {"gates": {"draws": 1}, "objective": {"name": "margin"}},
]
AWARE: list[dict[str, object]] = [
    {"gates": {"mode": "leaded", "draws": 1}},
    {"gates": {"mode": "bpda"}},
    {"gates": {"mode": "straight-through", "draws": 2}},
    {"gates": {"draws": 20}},
    {"gates": {"mode": "straight-through", "draws": 1}, "objective": {"name": "joint"}},
    {"objective": {"name": "gate-flip"}},
]


@pytest.mark.parametrize(("settings", "knows"), [*((s, False) for s in STOCK), *((s, True) for s in AWARE)])
def test_what_attacks_that_know_of_gates_break_beyond_the_others(
    settings: dict[str, object], knows: bool, study: Study, tmp_path: Path
) -> None:
    for e in study.plan.evaluations:
        for image in {"pgd": range(0, 60, 7), "fgsm": range(0, 60, 4)}.get(e.attack, ()):
            fail(study.rows[e.id][image])
    other = changed(study, {"pgd"}, settings=settings)
    found = united(other, tmp_path)
    for w in found:
        gated = w.model.startswith("aig")
        assert w.beyond == ({"pgd": broken_by_one(other, w)["pgd"]} if knows and gated else {})
    assert not knows or max(w.beyond.get("pgd", 0) for w in found) > 0


def test_union_of_noise_shows_no_winners_curse(study: Study, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    members = [
        rows_id("aig-digits", "sampled", attack, eps)
        for attack, eps in (("clean", None), ("fgsm", "8/255"), ("pgd", "8/255"))
    ]
    for name in members:
        for row in study.rows[name]:
            row["correct_draws"], row["choice_correct"] = map(int, rng.binomial(10, 0.5, 2))
    union = united(study, tmp_path)[-1].accuracy
    naive = fmean(min(study.rows[name][image]["correct_draws"] / 10 for name in members) for image in range(union.n))
    noise = 4 * (0.25 / 10 / union.n) ** 0.5
    assert abs(union.value - 0.5) < noise
    assert naive < 0.5 - noise


def test_a_cascade_is_united_over_what_was_measured(tmp_path: Path) -> None:
    study = cascaded(make_study())
    for w in united(study, tmp_path):
        shares = []
        for image in zip(*parts(study, w), strict=True):
            candidates = [row for row in image if row["status"] == "ok"]
            least = min(candidates, key=lambda row: (row["choice_correct"] / row["choice_draws"], row["choice_margin"]))
            shares.append(least["correct_draws"] / least["draws"])
        assert w.accuracy.value == pytest.approx(fmean(shares))
        assert sum(w.strongest.values()) == len(shares)
        assert (w.status, w.alone, w.beyond) == ("ok", {}, {})


def test_a_cascade_does_not_say_who_else_would_have_broken_an_image(tmp_path: Path) -> None:
    for w in united(changed(cascaded(make_study()), {"fgsm"}, provider="foolbox"), tmp_path):
        assert (w.own_accuracy, w.others_only, w.alone) == (None, [], {})


def test_what_others_break_of_what_ours_have_left(tmp_path: Path) -> None:
    study = changed(cascaded(make_study()), {"pgd"}, provider="foolbox")
    found = united(study, tmp_path)
    for w in found:
        assert w.others_only == [i for i, lost in enumerate(fallen(study, w)) if lost == [False, False, True]]
        assert w.own_accuracy is not None
        assert w.own_accuracy.value >= w.accuracy.value or w.gate_policy == "sampled"
    assert any(w.others_only for w in found)


@pytest.mark.parametrize("role", ["control", "compute", "corruption"])
def test_what_does_not_aim_at_the_class_is_in_no_union(role: str, study: Study) -> None:
    other = changed(study, {"pgd"}, role=role)
    assert [[e.attack for e in members] for _, members in members_of(other.plan)] == [["clean", "fgsm"]] * 6


def test_a_skipped_image_is_never_worst_where_it_was_skipped(study: Study, tmp_path: Path) -> None:
    clean, fgsm = rows_id("aig-digits", "argmax", "clean", None), rows_id("aig-digits", "argmax", "fgsm", "4/255")
    for row in study.rows[clean]:
        row["choice_correct"] = 0
    for row in study.rows[fgsm]:
        skip(row, "clean")
    cascade = Study(study.plan.model_copy(update={"cascade": True}), study.rows)
    evidence = load_evidence(cascade.write(tmp_path, images=False))
    right = replace(evidence.rows[clean], choice_score=np.ones(len(study.rows[clean])))
    chosen, lost = worst([right, evidence.rows[fgsm]])
    assert not chosen.any()
    assert not lost.any()


@pytest.mark.parametrize(("late", "compared"), [(["fgsm"], False), (["pgd"], False), (["again"], True)])
def test_others_are_compared_in_a_cascade_where_all_of_ours_ran_before(
    late: list[str], compared: bool, study: Study, tmp_path: Path
) -> None:
    """Of three attacks one after the other, of which one is another provider's."""
    evaluations = []
    for e in study.plan.evaluations:
        evaluations.append(e)
        if e.attack == "pgd":
            evaluations.append(e.model_copy(update={"attack": "again", "id": f"{e.id}-again"}))
            study.rows[f"{e.id}-again"] = [row | {"attack": "again"} for row in study.rows[e.id]]
    three = Study(study.plan.model_copy(update={"evaluations": evaluations}), study.rows)
    found = united(changed(cascaded(three), set(late), provider="foolbox"), tmp_path)
    assert [w.own_accuracy is not None for w in found] == [compared] * 6
