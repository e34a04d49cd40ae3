"""Claims about accuracy and cost, out of report directories that were made so that the answer is known."""

from pathlib import Path

import pytest

from robustbench_aig.records import TrainedOn, TrainingSpeed
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import write_report
from robustbench_aig.reporting.words import gates_text
from robustbench_aig.zoo import claim_names, find_claim
from tests.reporting import synthetic
from tests.reporting.claims.studies import N, check_all, claims, hardened, keeps, kept
from tests.reporting.synthetic import (
    CLASSES,
    DRAWS,
    EPSILONS,
    Study,
    evaluation,
    fail,
    make_study,
)
from tests.reporting.synthetic import N as FEW


def test_an_advantage_under_every_attack_is_not_refuted_once_it_is_checked(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    unchecked = claims(directory)
    check_all(directory)
    checked = claims(directory)
    for policy in ("argmax", "sampled"):
        before, after = unchecked["more-robust", policy], checked["more-robust", policy]
        assert (before.verdict, before.checks) == ("inconclusive", "not run")
        assert "the checks of this evidence were not run" in before.reason
        assert (after.verdict, after.checks) == ("not refuted", "no fail")
        assert after.attacks == ["fgsm", "pgd"], "controls are no attacks"
        assert after.ruled == "not refuted by fgsm and pgd"
        # Under one attack there is none that wasn't tried: fewer strengths than any, and it would be supported.
        assert [m.verdict for m in checked["any-fgsm-strength", policy].measurements] == ["supported"] * 2
        assert [m.threat and m.threat.eps for m in after.measurements] == list(EPSILONS)
        assert all(m.value == pytest.approx(0.7) and m.n == N for m in after.measurements)


def test_sentences_that_no_source_backs_are_headed_as_ours(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    write_report(directory)
    found = load_report(directory).claims
    assert {claim.id for claim in found if claim.ours} >= {"any-fgsm-strength"}
    assert all(claim.source and (claim.ours or claim.source.place) for claim in found)
    assert all((claim.reference is None) == claim.ours for claim in found)
    page = (directory / "report.html").read_text()
    theirs, ours = page[page.index("Claims in full") :].split("Claims of our own")[:2]
    rows = ours[: ours.index("</table>")]
    for claim in found:
        assert (claim.sentence in rows, claim.sentence in theirs) == (claim.ours, not claim.ours), claim.id


def test_every_recipe_names_its_source() -> None:
    """By the notes on what is known of the paper: three sentences have none."""
    sources = {name: find_claim(name)[1].source for name in claim_names()}
    assert {"any-fgsm-strength", "trains-as-fast", "saves-time"} <= {
        n for n, s in sources.items() if s.certainty == "ours"
    }
    assert all(source.place for source in sources.values() if source.certainty != "ours")


def test_the_first_screen_says_what_is_left_of_the_claim_of_robustness(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    check_all(directory)
    write_report(directory)
    found = claims(directory)
    page = (directory / "report.html").read_text()
    first = page[: page.index('id="claims"')]
    for policy in ("argmax", "sampled"):
        claim = found["more-robust", policy]
        assert claim.verdict == "not refuted"
        assert first.count(f"<strong>Yes: {claim.ruled}</strong>") == 2, "for each policy"
        whole = f"{claim.sentence}, {gates_text(policy)}: <strong>{claim.ruled}</strong>"
        assert whole in page[page.index('id="networks"') :]
    assert found["as-accurate", "argmax"].sentence not in first


@pytest.mark.parametrize(("right", "guesses"), [(0.23, True), (0.25, False)])
def test_a_network_that_guesses_carries_no_claim(right: float, guesses: bool, tmp_path: Path) -> None:
    """A fifth of 420 images is in each class. Wilson: 97 right may be .193, 105 may not be less than .211."""
    study = kept(right / 2, 0.9, 0.9)
    keeps(study, "none", "clean", right)
    directory = study.write(tmp_path)
    check_all(directory)
    report = write_report(directory)
    assert report.commonest == pytest.approx(1 / CLASSES)
    assert [e.model for e in report.guessing] == ["resnet-digits"] * guesses
    found = {(c.id, c.gate_policy): c for c in report.claims}
    for claim in ("more-robust", "as-accurate"):
        asked = found[claim, "argmax"]
        assert ("resnet-digits: not significantly better than guessing" in asked.reason) == guesses
    assert (found["as-accurate", "argmax"].verdict == "inconclusive") == guesses
    assert found["gates-cost-nothing", None].verdict != "inconclusive", "costs are the same"
    alone = found["transitions-open", "argmax"]
    assert "guessing" not in alone.reason, "it rests on the gated network alone"
    assert alone.reason.startswith(f"{alone.measurements[0].what}: ")
    assert ("Not significantly better than guessing" in (directory / "report.html").read_text()) == guesses


def test_few_images_say_nothing_whatever_their_interval(tmp_path: Path) -> None:
    """Sixty, nearly all of them on one side: neither for a sentence nor against it."""
    for name, none, gated in (("up", 0.1, 0.9), ("down", 0.9, 0.1)):
        study = hardened(make_study())
        for policy in ("none", "argmax", "sampled"):
            keeps(study, policy, "clean", 1)
            for attack in ("fgsm", "pgd"):
                for eps in EPSILONS:
                    share = none if policy == "none" else gated
                    network = "resnet-digits" if policy == "none" else "aig-digits"
                    for row in study.rows[evaluation(network, policy, attack, "attack", eps).id]:
                        right = row["image"] < share * FEW
                        count = row["draws"] if right else 0
                        prediction = row["label"] if right else -1
                        row.update(correct_draws=count, choice_correct=count, prediction=prediction)
        directory = study.write(tmp_path / name, images=False)
        check_all(directory)
        costs = {"gates-cost-nothing", "trains-as-fast", "saves-time", "late-gates-know-classes"}
        found = [claim for (claim_name, _), claim in claims(directory).items() if claim_name not in costs]
        assert {claim.id for claim in found} >= {"more-robust", "as-accurate", "gates-hardly-move", "transitions-open"}
        for claim in found:
            assert claim.verdict == "inconclusive", claim
            assert all("60 images are too few" in one.reason for one in claim.measurements)
        robust = next(claim for claim in found if claim.id == "more-robust").measurements[0]
        assert (robust.low > 0) == (name == "up")
        assert (robust.high < 0) == (name == "down")


def test_noise_that_makes_the_advantage(tmp_path: Path) -> None:
    """All gates keep half of the images; random ones also half of the draws on the others."""
    study = kept(0.5, 0.5, 0.5)
    for attack in ("fgsm", "pgd"):
        for eps in EPSILONS:
            for row in study.rows[evaluation("aig-digits", "sampled", attack, "attack", eps).id]:
                if row["image"] >= N / 2:
                    row.update(correct_draws=DRAWS // 2, choice_correct=DRAWS // 2)
    found = claims(study.write(tmp_path))["more-robust", "sampled"]
    assert found.verdict == "explained by randomness"
    assert found.measurements[0].value == pytest.approx(0.25)
    assert found.measurements[0].beside["argmax gates"] == 0


def test_an_advantage_that_only_fgsm_sees(tmp_path: Path) -> None:
    found = claims(kept(0.3, 0.3, 0.3, fgsm=(0.3, 0.9, 0.9)).write(tmp_path))["more-robust", "argmax"]
    assert found.verdict == "explained by masking"
    assert found.measurements[0].beside == pytest.approx({"all images": 0, "fgsm": 0.6})


def test_a_failed_image_decides_nothing(tmp_path: Path) -> None:
    study = kept(0.2, 0.9, 0.9)
    fail(study.rows[evaluation("resnet-digits", "none", "pgd", "attack", EPSILONS[0]).id][0])
    directory = study.write(tmp_path)
    check_all(directory)
    found = claims(directory)["more-robust", "argmax"]
    assert [m.verdict for m in found.measurements] == ["inconclusive", "not refuted"]
    assert found.verdict == "inconclusive"


def test_half_of_the_strengths_support_nothing(tmp_path: Path) -> None:
    study = kept(0.2, 0.9, 0.9)
    planned = [e for e in study.plan.evaluations if e.threat is None or e.threat.eps == EPSILONS[0]]
    study = Study(study.plan.model_copy(update={"evaluations": planned}), {e.id: study.rows[e.id] for e in planned})
    directory = study.write(tmp_path)
    check_all(directory)
    found = claims(directory)
    assert "a measurement at 8/255 is missing" in found["more-robust", "argmax"].reason
    assert "a measurement at 2 more perturbation budgets is missing" in found["any-fgsm-strength", "argmax"].reason


def test_a_less_accurate_network_is_compared_where_both_are_right(tmp_path: Path) -> None:
    study = kept(0.4, 0.4, 0.4)
    keeps(study, "argmax", "clean", 0.6)
    found = claims(study.write(tmp_path))
    (first, _) = found["more-robust", "argmax"].measurements
    assert first.n == round(0.6 * N)
    assert "images that all networks classify right, because clean accuracies differ by −40.0 points" in first.what
    assert f"(on the {first.n} images that all classify right)" in found["more-robust", "argmax"].reason
    assert found["as-accurate", "argmax"].verdict == "unsupported"
    assert found["as-accurate", "sampled"].measurements[0].value == 0


@pytest.mark.parametrize(("lost", "compared"), [(4, N), (5, N - 5)])
def test_clean_accuracies_are_the_same_within_a_point_and_without_significance(
    lost: int, compared: int, tmp_path: Path
) -> None:
    """Four of 420 images are 0.95 points. Five, of which none is the other's, are 1.2, and still not significant."""
    study = kept(0.4, 0.4, 0.4)
    keeps(study, "argmax", "clean", (N - lost) / N)
    (first, _) = claims(study.write(tmp_path, images=False))["more-robust", "argmax"].measurements
    assert first.n == compared


def test_a_claim_does_not_vanish_where_no_image_is_right_in_all_networks(tmp_path: Path) -> None:
    study = kept(0.1, 0.1, 0.1)
    keeps(study, "argmax", "clean", 0.6)
    for row in study.rows[evaluation("resnet-digits", "none", "clean", "clean", None).id]:
        right = row["image"] >= 0.6 * N
        row.update(correct_draws=int(right), prediction=row["label"] if right else -1)
    found = claims(study.write(tmp_path, images=False))["more-robust", "argmax"]
    assert found.verdict == "inconclusive"
    assert "no image is classified right by all networks" in found.reason
    assert [one.n for one in found.measurements] == [N, N]


SPEED = TrainedOn(device="cpu", threads=1, processes=1, precision="bf16", compiled=False)


@pytest.mark.parametrize(
    ("gated", "where", "verdict"),
    [
        ((98.0, 97.0, 99.0), SPEED, "supported"),
        ((95.5, 94.0, 97.0), SPEED, "inconclusive"),
        ((80.0, 79.0, 81.0), SPEED, "unsupported"),
        ((80.0, 79.0, 81.0), SPEED.model_copy(update={"threads": 2}), None),
    ],
)
def test_training_speed_is_compared_on_the_like_machine_only(
    gated: tuple[float, float, float], where: TrainedOn, verdict: str | None, tmp_path: Path
) -> None:
    study = make_study()
    speeds = [((100.0, 99.0, 101.0), SPEED), (gated, where)]
    models = []
    for model, ((median, low, high), on) in zip(study.plan.models, speeds, strict=True):
        speed = TrainingSpeed(median=median, low=low, high=high, on=on)
        training = synthetic.trained().model_copy(update={"speed": speed})
        models.append(model.model_copy(update={"training": training}))
    study = Study(study.plan.model_copy(update={"models": models}), study.rows)
    found = [c for c in claims(study.write(tmp_path, images=False)).values() if c.id == "trains-as-fast"]
    assert [c.verdict for c in found] == ([verdict] if verdict else [])
    for one in found:
        (measured,) = one.measurements
        assert (measured.value, measured.low, measured.high) == pytest.approx(
            (gated[0] / 100, gated[1] / 101, gated[2] / 99)
        )
