"""The plain networks nearest in clean accuracy beside the usual twins: who is taken, and what is said of both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.records import CleanMatch, InitialWeights, MeanDifference, Rung
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import write_report
from robustbench_aig.reporting.clean_match import clean_matches
from robustbench_aig.reporting.clean_match_words import choice, lines
from robustbench_aig.reporting.corruptions import means
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.reporting.gated_vs_plain import results_of
from robustbench_aig.reporting.table_columns import Floats
from robustbench_aig.reporting.union import unions
from robustbench_aig.reporting.words import gates_text
from robustbench_aig.statistics import seed_difference
from robustbench_aig.training import train
from tests.command import aigrob_here
from tests.reporting.synthetic import EPSILONS, Study, make_study, trained
from tests.tiny import job

BRIEF = "brief-digits"
SEEDS = (0, 1, 2)


@cache
def with_brief(seeds: tuple[int, ...] = SEEDS, of_brief: tuple[int, ...] = SEEDS) -> Study:
    """Gated networks, their twins, and a shorter training of these, which comes first; each seed has its own rows."""
    models, planned, rows = [], [], {}
    for seed in sorted({*seeds, *of_brief}):
        study = make_study(seed)
        resnet, gated = study.plan.models
        briefly = trained(seed).model_copy(update={"epochs": 10})
        for model, name, training in (
            (resnet, BRIEF, briefly),
            (resnet, resnet.name, trained(seed)),
            (gated, gated.name, trained(seed)),
        ):
            if seed not in (of_brief if name == BRIEF else seeds):
                continue
            # The brief network answers as the twin of another seed would.
            told = make_study(seed + 7) if name == BRIEF else study
            mine = f"{name}-s{seed}"
            models.append(model.model_copy(update={"name": mine, "training": training}))
            for e in (e for e in study.plan.evaluations if e.model == model.name):
                again = e.model_copy(update={"model": mine, "id": f"{e.id}-{mine}"})
                planned.append(again)
                rows[again.id] = [row | {"model": mine} for row in told.rows[e.id]]
    return Study(study.plan.model_copy(update={"models": models, "evaluations": planned}), rows)


def validated(study: Study, accuracies: Mapping[str, Sequence[float]], **changes: Any) -> Study:
    """The same study whose networks, by name without the seed, were so accurate on validation images."""
    models = []
    for model in study.plan.models:
        name, _, seed = model.name.rpartition("-s")
        policies = ("argmax", "sampled") if model.family == "gated" else ("none",)
        known = dict.fromkeys(policies, accuracies[name][int(seed)]) if name in accuracies else {}
        assert model.training is not None
        training = model.training.model_copy(update={"validation_accuracy": known, **changes})
        models.append(model.model_copy(update={"training": training}))
    return Study(study.plan.model_copy(update={"models": models}), study.rows)


def matches(study: Study, where: Path) -> dict[str, CleanMatch]:
    """By policy."""
    evidence = load_evidence(study.write(where, images=False))
    found = clean_matches(evidence, results_of(evidence, unions(evidence), means(evidence)))
    by_policy = {match.gate_policy: match for match in found}
    assert len(by_policy) == len(found)
    return by_policy


def named(match: CleanMatch) -> list[str] | None:
    return match.nearest.networks.names if match.nearest else None


def shares(study: Study, model: str, policy: str, attack: str = "clean") -> Floats:
    """(S, N) of right draws, a row for each seed."""
    found = [
        [row["correct_draws"] / row["draws"] for row in study.rows[e.id]]
        for e in study.plan.evaluations
        if (e.model.rpartition("-s")[0], e.policy, e.attack) == (model, policy, attack)
    ]
    return np.array(found)


THREE = {"aig-digits": [0.80, 0.80, 0.80], "resnet-digits": [0.84, 0.84, 0.84]}


@pytest.mark.parametrize(
    ("brief", "taken"),
    [
        pytest.param([0.77, 0.83, 0.86], True, id="its mean is nearer"),
        pytest.param([0.80, 0.70, 0.75], False, id="one of its seeds is nearer, its mean is not"),
    ],
)
def test_a_recipe_is_taken_by_its_mean_over_seeds(tmp_path: Path, brief: list[float], taken: bool) -> None:
    found = matches(validated(with_brief(), THREE | {BRIEF: brief}), tmp_path)
    assert found.keys() == {"argmax", "sampled"}
    for match in found.values():
        assert named(match) == ([f"{BRIEF}-s{seed}" for seed in SEEDS] if taken else None)
        assert match.usual.networks.names == [f"resnet-digits-s{seed}" for seed in SEEDS]
        assert match.chosen_on == "validation images"
        assert match.usual.networks.choice_accuracy == pytest.approx(0.84)
        if match.nearest:
            assert match.nearest.networks.choice_accuracy == pytest.approx(np.mean(brief))
            assert match.nearest.networks.epochs == 10


def test_a_tie_but_for_rounding_is_the_twins(tmp_path: Path) -> None:
    study = validated(with_brief((0,), (0,)), {"aig-digits": [0.7], "resnet-digits": [0.9], BRIEF: [0.5]})
    assert abs(0.5 - 0.7) < abs(0.9 - 0.7)
    assert [match.nearest for match in matches(study, tmp_path).values()] == [None, None]


def test_over_seeds_differences_are_of_the_means_with_intervals_for_further_seeds(tmp_path: Path) -> None:
    study = validated(with_brief(), THREE | {BRIEF: [0.8, 0.8, 0.8]})
    match = matches(study, tmp_path)["argmax"]
    assert match.nearest is not None
    for rival, name in ((match.usual, "resnet-digits"), (match.nearest, BRIEF)):
        assert [(one.attack, one.threat and one.threat.eps) for one in rival.differences] == [
            ("clean", None),
            *(("union", eps) for eps in EPSILONS),
        ]
        gated, plain = shares(study, "aig-digits", "argmax"), shares(study, name, "none")
        clean = rival.differences[0]
        assert (clean.gated, clean.plain) == pytest.approx((gated.mean(), plain.mean()))
        assert clean.difference == pytest.approx(gated.mean() - plain.mean())
        expected = seed_difference(gated, plain, paired=True, seed=study.plan.seed).interval
        assert (clean.low, clean.high) == pytest.approx(expected)
        assert clean.p_value is None


@pytest.mark.parametrize("lacking", ["an accuracy", "other data", "a defence"])
def test_without_validation_accuracies_of_all_it_is_by_the_clean_images(tmp_path: Path, lacking: str) -> None:
    known = THREE | {BRIEF: [0.8, 0.8, 0.8]}
    study = with_brief((0,), (0,))
    if lacking == "an accuracy":
        study = validated(study, {name: of for name, of in known.items() if name != BRIEF})
    elif lacking == "other data":
        study = validated(study, known, data="cifar10")
    else:
        study = validated(study, known)
        behind = [m.model_copy(update={"defence": JpegDefence(kind="jpeg", quality=75)}) for m in study.plan.models]
        study = Study(study.plan.model_copy(update={"models": behind}), study.rows)
    for policy, match in matches(study, tmp_path).items():
        clean = {name: shares(study, name, "none").mean() for name in (BRIEF, "resnet-digits")}
        ours = shares(study, "aig-digits", policy).mean()
        nearest = abs(clean[BRIEF] - ours) < abs(clean["resnet-digits"] - ours)
        assert match.chosen_on == "images of the report"
        assert (match.nearest is not None) == nearest
        assert match.gated.choice_accuracy == pytest.approx(ours)
        assert "(validation accuracies are missing)" in choice(match)


def test_other_seeds_or_data_are_left_out_and_named(tmp_path: Path) -> None:
    known = THREE | {BRIEF: [0.8, 0.8, 0.8]}
    fewer = validated(with_brief(of_brief=(0, 1)), known)
    elsewhere = validated(with_brief(), known)
    models = [
        model.model_copy(update={"training": model.training and model.training.model_copy(update={"data": "svhn"})})
        if model.name.startswith(BRIEF)
        else model
        for model in elsewhere.plan.models
    ]
    elsewhere = Study(elsewhere.plan.model_copy(update={"models": models}), elsewhere.rows)
    for place, (study, seeds) in enumerate(((fewer, [0, 1]), (elsewhere, SEEDS))):
        match = matches(study, tmp_path / str(place))["argmax"]
        assert match.nearest is None
        assert match.left_out == [f"{BRIEF}-s{seed}" for seed in seeds]
        assert "it is not known that they were trained on the same data with the same seeds: brief-digits-s0" in choice(
            match
        )


@pytest.mark.parametrize("foreign", [("aig-digits", "resnet-digits", BRIEF), ("aig-digits", BRIEF), (BRIEF,)])
def test_of_foreign_networks_it_is_not_known_whether_they_are_trained_alike(
    tmp_path: Path, foreign: tuple[str, ...]
) -> None:
    study = with_brief((0,), (0,))
    models = [
        model.model_copy(update={"training": None} if model.name.rpartition("-s")[0] in foreign else {})
        for model in study.plan.models
    ]
    study = Study(study.plan.model_copy(update={"models": models}), study.rows)
    for match in matches(study, tmp_path).values():
        left_out = [name for name in ("resnet-digits-s0", "brief-digits-s0") if name not in match.usual.networks.names]
        assert (match.nearest, match.left_out) == (None, left_out)
        assert f"it is not known that they were trained on the same data with the same seeds: {left_out[0]}." in choice(
            match
        )


@pytest.mark.parametrize(
    ("seeds", "runs", "first"),
    [
        ((0,), ("first-s0",), "first-s0"),
        ((0, 1), ("first-s0", "first-s1"), "digits/first"),
        ((0, 1), ("first", "first"), "first"),
    ],
)
def test_what_a_training_began_with_is_named(
    tmp_path: Path, seeds: tuple[int, ...], runs: tuple[str, ...], first: str
) -> None:
    study = validated(with_brief(seeds, seeds), THREE | {BRIEF: [0.8] * 3})
    models = []
    for model in study.plan.models:
        assert model.training is not None
        seed = model.training.seed if len(set(runs)) == len(seeds) else None  # of the run, where each has its own
        began = InitialWeights(run=runs[model.training.seed], recipe="digits/first", recipe_digest="0a" * 32, seed=seed)
        training = model.training.model_copy(update={"initial": began})
        models.append(model if model.name.startswith("resnet") else model.model_copy(update={"training": training}))
    study = Study(study.plan.model_copy(update={"models": models}), study.rows)
    mean = ", mean of 2 seeds" if len(seeds) > 1 else ""
    for match in matches(study, tmp_path).values():
        assert f"(30 epochs after {first}{mean}, {gates_text(match.gate_policy)})" in choice(match)
        assert f"(10 epochs after {first}{mean})" in choice(match)
        assert f"(30 epochs{mean})" in choice(match), "the usual twin began with random weights"


def test_nothing_is_matched_without_a_further_network_or_an_attack(tmp_path: Path) -> None:
    assert matches(make_study(), tmp_path / "pair") == {}
    study = with_brief((0,), (0,))
    clean = [e for e in study.plan.evaluations if e.role == "clean"]
    rows = {e.id: study.rows[e.id] for e in clean}
    assert matches(Study(study.plan.model_copy(update={"evaluations": clean}), rows), tmp_path / "clean") == {}
    assert matches(study, tmp_path / "whole").keys() == {"argmax", "sampled"}
    (tmp_path / "whole" / "samples" / f"{clean[0].id}.parquet").unlink()
    assert clean[0].model == f"{BRIEF}-s0"
    evidence = load_evidence(tmp_path / "whole")
    assert clean_matches(evidence, results_of(evidence, unions(evidence), means(evidence))) == []
    hardened = [
        m.model_copy(update={"training": trained(hardened=True)}) if m.name.startswith(BRIEF) else m
        for m in study.plan.models
    ]
    assert matches(Study(study.plan.model_copy(update={"models": hardened}), study.rows), tmp_path / "hard") == {}


def test_of_a_ladder_policies_that_choose_are_matched(tmp_path: Path) -> None:
    study = with_brief((0,), (0,))
    opened = [
        e.model_copy(update={"policy": "open", "id": f"open-{e.id}"})
        for e in study.plan.evaluations
        if e.policy == "argmax"
    ]
    rows = study.rows | {e.id: [row | {"policy": "open"} for row in study.rows[e.id[5:]]] for e in opened}
    plan = study.plan.model_copy(update={"evaluations": [*study.plan.evaluations, *opened]})
    rung = Rung(key="R0", title="plain", model="resnet-digits-s0", policy="none")
    ladder = plan.model_copy(update={"ladder": [rung]})
    assert matches(Study(plan, rows), tmp_path / "without").keys() == {"argmax", "sampled", "open"}
    assert matches(Study(ladder, rows), tmp_path / "with").keys() == {"argmax", "sampled"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A report on a trained pair and a shorter training of its plain network, named first; and what was printed."""
    root = tmp_path_factory.mktemp("matched")
    for name, epochs in (("brief", 2), ("plain", 6), ("gated", 6)):
        list(train(job(root / "runs" / name, gated=name == "gated", epochs=epochs, lr=0.3)))
    options = ["--eps", "8/255", "--attack", "fgsm", "--limit", "60", "--no-latency", "--quiet", "--name", "r"]
    result = aigrob_here(root, "attack", "brief", "plain", "gated", *options)
    assert result.returncode == 0, result.stderr
    return root, result.stdout


def right(root: Path, model: str, policy: str, attack: str) -> Floats:
    """(N,) shares of right draws, by image, out of the sample table."""
    found = {
        row["image"]: row["correct_draws"] / row["draws"]
        for row in pq.read_table(root / "reports" / "r" / "samples").to_pylist()
        if (row["model"], row["policy"], row["attack"]) == (model, policy, attack)
    }
    return np.array([found[image] for image in sorted(found)])


def test_a_real_report_takes_who_is_nearest_on_validation_images(attacked: tuple[Path, str]) -> None:
    root, _ = attacked
    report = load_report(root / "reports" / "r")
    scores = {
        name: json.loads((root / "runs" / name / "run.json").read_text())["metrics"]["validation"]
        for name in ("brief", "plain", "gated")
    }
    assert {match.gate_policy for match in report.clean_matches} == {"argmax", "sampled"}
    for match in report.clean_matches:
        ours = scores["gated"][match.gate_policy]["accuracy"]
        away = {name: abs(scores[name]["none"]["accuracy"] - ours) for name in ("plain", "brief")}
        assert match.usual.networks.names == ["plain"]
        assert named(match) == (["brief"] if away["brief"] < away["plain"] else None)
        assert match.gated.choice_accuracy == ours
        same = [(match.usual, "plain"), *([(match.nearest, "brief")] if match.nearest else [])]
        for rival, name in same:
            for one in rival.differences:
                _is_right(root, match, one, name)
                (known,) = (
                    c
                    for c in report.comparisons
                    if (c.gate_policy, c.plain, c.attack, c.threat) == (match.gate_policy, name, one.attack, one.threat)
                )
                numbers = (known.difference, known.low, known.high, known.p_value, known.n)
                assert numbers == (one.difference, one.low, one.high, one.p_value, one.n), "one rule, one number"


def _is_right(root: Path, match: CleanMatch, one: MeanDifference, plain: str) -> None:
    """Counted by hand. Under one attack the union takes the clean image where that is worse."""
    if one.attack != "clean" and match.gate_policy == "sampled":
        return  # its choice among draws is tested with the union
    each = {}
    for name, policy in (("gated", match.gate_policy), (plain, "none")):
        clean = right(root, name, policy, "clean")
        each[name] = clean if one.attack == "clean" else np.minimum(clean, right(root, name, policy, "fgsm"))
    assert (one.gated, one.plain) == pytest.approx((each["gated"].mean(), each[plain].mean()))
    if match.gate_policy == "argmax":
        gained, lost = int((each["gated"] > each[plain]).sum()), int((each["gated"] < each[plain]).sum())
        assert one.p_value == pytest.approx(binomtest(gained, gained + lost).pvalue)


def test_the_terminal_and_the_page_say_the_same(attacked: tuple[Path, str]) -> None:
    root, shown = attacked
    report = load_report(root / "reports" / "r")
    page = _text((root / "reports" / "r" / "report.html").read_text())
    screen = page.partition("Perturbation budgets")[2].partition("Limits of these numbers")[0]
    for match in report.clean_matches:
        assert all(line in shown for line in lines(match))
        assert _text(choice(match)) in screen


def _text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("&nbsp;", " ").replace("\xa0", " ")


@pytest.mark.parametrize("brief", [0.8, 0.7])
def test_both_comparisons_stand_side_by_side_or_one_sentence_says_why_not(tmp_path: Path, brief: float) -> None:
    known = {"aig-digits": [0.8], "resnet-digits": [0.84], BRIEF: [brief]}
    study = validated(with_brief((0,), (0,)), known)
    report = write_report(study.write(tmp_path, images=False))
    html = (tmp_path / "report.html").read_text()
    screen = _text(html[html.index('id="networks"') : html.index('id="accuracy"')])
    usual_table = screen.partition("Gated against plain on the same images")[2].partition("At nearer clean accuracy")[0]
    of_gated = "the gated model with deterministic (argmax) gates has robust accuracy"
    assert f"Under the strongest of these attacks at ε = 4/255 (L∞) {of_gated}" in screen
    assert "resnet-digits-s0" in usual_table
    for match in report.clean_matches:
        gates = f"aig-digits-s0 (30 epochs, {gates_text(match.gate_policy)})"
        if brief == 0.8:
            assert (
                f"nearest to {gates} in clean accuracy is brief-digits-s0 (10 epochs): on validation images it has "
                "80.0 %, the gated one 80.0 %, the usual twin, resnet-digits-s0 (30 epochs), 84.0 %." in screen
            )
            for one in match.nearest.differences if match.nearest else ():
                where = f"ε = {one.threat.eps} (L∞), worst case over attacks" if one.threat else "clean"
                points = f"{100 * one.difference:+.1f}".replace("+0.0", "0.0").replace("-", "\u2212")
                assert f"{where}: {points} points" in screen
                assert any(line.startswith(f"  {where}: gated") for line in lines(match))
            assert f"At nearer clean accuracy: {gates} compared with the plain network nearest to it" in screen
            assert BRIEF not in usual_table, "it has a table of its own"
            assert match.nearest is not None
            for one in (*match.nearest.differences, *match.usual.differences):
                assert f"{100 * one.plain:.1f} %" in screen.partition("At nearer clean accuracy")[2]
        else:
            said = f"The usual plain twin, resnet-digits-s0 (30 epochs), is also the nearest to {gates}"
            assert screen.count(said) == 1
            assert "At nearer clean accuracy" not in screen
            assert lines(match) == [choice(match)]
