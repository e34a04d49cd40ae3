"""Claims out of report directories that were made so that the answer is known."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records import Checkup, Claim, FindingRecord, ModelRecord, TrainedOn, TrainingSpeed
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate, write_report
from robustbench_aig.reporting.checkups import add_checkup, refuse_foreign
from robustbench_aig.reporting.claims.clean_gates import class_spread
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.zoo import claim_names, find_claim
from tests.reporting import synthetic
from tests.reporting.synthetic import (
    CLASSES,
    DRAWS,
    EPSILONS,
    Study,
    evaluation,
    fail,
    make_study,
    repeated,
)
from tests.reporting.synthetic import N as FEW

N = 7 * FEW
"""Images; claims say nothing of one point from fewer than 368."""

POLICIES = {"resnet-digits": ("none",), "aig-digits": ("argmax", "sampled")}


def hardened(study: Study) -> Study:
    """Claims on hardened networks are judged at the strengths of this study."""
    models = [model.model_copy(update={"training": synthetic.trained(hardened=True)}) for model in study.plan.models]
    return Study(study.plan.model_copy(update={"models": models}), study.rows)


def keeps(study: Study, policy: str, attack: str, share: float, draws: float = 1.0) -> None:
    """Let a network get the first images right, on a share of the draws, at every strength."""
    model = "resnet-digits" if policy == "none" else "aig-digits"
    for eps in [None] if attack == "clean" else EPSILONS:
        role = "clean" if attack == "clean" else "attack"
        for row in study.rows[evaluation(model, policy, attack, role, eps).id]:  # type: ignore[arg-type]
            count = round(row["draws"] * draws) if row["image"] < share * N else 0
            majority = 2 * count > row["draws"]
            row.update(correct_draws=count, choice_correct=count, prediction=row["label"] if majority else -1)


def kept(none: float, argmax: float, sampled: float, *, fgsm: tuple[float, float, float] | None = None) -> Study:
    """All right unattacked; under attack plain, argmax and, on a share of the draws, sampled gates keep so much."""
    study = hardened(repeated(make_study(), N // FEW))
    for policy, share, first in zip(("none", "argmax", "sampled"), (none, argmax, sampled), fgsm or (), strict=False):
        keeps(study, policy, "clean", 1)
        keeps(study, policy, "pgd", share)
        keeps(study, policy, "fgsm", first)
    if fgsm is None:
        for policy, share in zip(("none", "argmax", "sampled"), (none, argmax, sampled), strict=True):
            for attack in ("clean", "fgsm", "pgd"):
                keeps(study, policy, attack, 1 if attack == "clean" else share)
    return study


Asked = tuple[str, str | None]


def claims(directory: Path) -> dict[Asked, Claim]:
    """By name and policy."""
    found = aggregate(directory).claims
    by_name: dict[Asked, Claim] = {(c.id, c.gate_policy): c for c in found}
    assert len(by_name) == len(found)
    return by_name


def checkup(model: ModelRecord, policy: str, status: str, data: object) -> Checkup:
    finding = FindingRecord.model_validate(
        {
            "check": "logits",
            "title": "Logits",
            "status": status,
            "value": 0.0,
            "low": 0.0,
            "high": 0.1,
            "count": 0,
            "n": 60,
            "needs": 30,
            "threshold": "",
            "evidence": "",
            "numbers": {},
            "advice": "",
            "seconds": 1.0,
        }
    )
    return Checkup.model_validate(
        {
            "created": "2026-11-24",
            "command": "aigrob check",
            "run": model.name,
            "policy": policy,
            "seed": 0,
            "weights_digest": model.weights_digest,
            "attack": "apgd",
            "chosen_threat": True,
            "others": [],
            "threat": {"norm": "linf", "eps": "1/255", "value": 1 / 255},
            "data": data,
            "quick": True,
            "findings": [finding],
        }
    )


def check_all(directory: Path, status: str = "pass", **changes: str) -> None:
    """Every network under every policy; `status` is what one check finds under argmax gates."""
    (directory / "checks").mkdir()
    plan = load_evidence(directory).plan
    for model in plan.models:
        for policy in POLICIES[model.name]:
            found = checkup(model, policy, status if policy == "argmax" else "pass", plan.data)
            path = directory / "checks" / f"{model.name}.{policy}.json"
            path.write_text(found.model_copy(update=changes).model_dump_json())


def test_an_advantage_under_every_attack_is_not_refuted_once_it_is_checked(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    unchecked = claims(directory)
    check_all(directory)
    checked = claims(directory)
    for policy in ("argmax", "sampled"):
        before, after = unchecked["more-robust", policy], checked["more-robust", policy]
        assert (before.verdict, before.checks) == ("inconclusive", "not run")
        assert "nobody has checked it" in before.reason
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
    theirs, ours = page[page.index('id="claims"') :].split("Ours: no source was found")[:2]
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


def test_not_while_a_check_of_its_evidence_fails(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    check_all(directory, "fail")
    found = claims(directory)
    failed = found["more-robust", "argmax"]
    assert (failed.verdict, failed.checks) == ("inconclusive", "failed")
    assert failed.failed_checks == ["aig-digits (argmax): logits"]
    assert "aig-digits (argmax): logits" in failed.reason
    assert found["more-robust", "sampled"].verdict == "not refuted", "it rests on other evidence"
    assert found["gates-cost-nothing", None].checks == "not needed"


def test_a_checkup_of_other_weights_is_none(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    check_all(directory, weights_digest="00" * 32)
    assert claims(directory)["more-robust", "argmax"].checks == "not run"


def test_a_checkup_is_put_beside_its_report(tmp_path: Path) -> None:
    directory = make_study().write(tmp_path)
    plan = load_evidence(directory).plan
    for status in ("pass", "fail"):
        add_checkup(directory, checkup(plan.models[1], "argmax", status, plan.data))
    page = (directory / "report.html").read_text()
    assert "What is left of the claims" in page
    assert "<td>logits</td>" in page
    assert len(load_report(directory).checks) == 1, "the later one replaces the earlier one"


def test_the_first_screen_says_what_is_left_of_the_claim_of_robustness(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    check_all(directory)
    write_report(directory)
    found = claims(directory)
    page = (directory / "report.html").read_text()
    first = page[: page.index('id="claims"')]
    for policy in ("argmax", "sampled"):
        claim = found["more-robust", policy]
        assert f"{claim.sentence}, {policy} gates: <strong>{claim.ruled}</strong>" in first
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
    assert "it has to be measured at 8/255, too" in found["more-robust", "argmax"].reason
    assert "it has to be measured at 2 more strengths, too" in found["any-fgsm-strength", "argmax"].reason


def test_a_less_accurate_network_is_compared_where_both_are_right(tmp_path: Path) -> None:
    study = kept(0.4, 0.4, 0.4)
    keeps(study, "argmax", "clean", 0.6)
    found = claims(study.write(tmp_path))
    (first, _) = found["more-robust", "argmax"].measurements
    assert first.n == round(0.6 * N)
    assert "images that all get right, since its clean accuracy is −40.0 points" in first.what
    assert f"(of the {first.n} images that all get right)" in found["more-robust", "argmax"].reason
    assert found["as-accurate", "argmax"].verdict == "unsupported"
    assert found["as-accurate", "sampled"].measurements[0].value == 0


def flips_of(study: Study, attack: str, eps: str) -> NDArray[np.bool_]:
    """(N, 9) by the bits of the sample table."""
    role = "control" if attack == "corners" else "attack"
    rows = study.rows[evaluation("aig-digits", "argmax", attack, role, eps).id]  # type: ignore[arg-type]
    before, after = (np.array([list(row[name]) for row in rows], np.uint8) for name in ("gates_clean", "gates_adv"))
    return np.unpackbits(before ^ after, axis=1)[:, :9].astype(bool)


def test_moved_gates_are_those_beyond_the_control(tmp_path: Path) -> None:
    """In the mean over nine gates, then that gate of one of the attacks which is furthest beyond."""
    study = hardened(repeated(make_study(), N // FEW))
    found = claims(study.write(tmp_path))["gates-hardly-move", "argmax"]
    for eps, mean, largest in zip(EPSILONS, found.measurements[::2], found.measurements[1::2], strict=True):
        of_gates = {name: flips_of(study, name, eps).mean(axis=0) for name in ("fgsm", "pgd", "corners")}
        beyond = {name: of_gates[name] - of_gates["corners"] for name in ("fgsm", "pgd")}
        assert mean.threat == largest.threat
        assert mean.threat is not None
        assert mean.threat.eps == eps
        assert mean.beside == pytest.approx({name: float(each.mean()) for name, each in beyond.items()})
        assert mean.value == pytest.approx(max(mean.beside.values()))
        assert largest.value == pytest.approx(max(each.max() for each in beyond.values()))
        worst = max(beyond, key=lambda name: float(beyond[name].max()))
        assert list(largest.beside.values()) == pytest.approx(beyond[worst].tolist())
        assert mean.what.startswith("gates flipped by ")
        assert f"by {worst}, beyond the control" in largest.what
        assert mean.attacks == largest.attacks == ["fgsm", "pgd"]


def still(study: Study) -> None:
    """No image moves any gate."""
    for rows in study.rows.values():
        for row in rows:
            row.update(gates_adv=row["gates_clean"])


@pytest.mark.parametrize("moved", [0.0, 0.25])
def test_one_gate_that_moves_refutes_what_no_mean_does(moved: float, tmp_path: Path) -> None:
    """One of nine on a quarter of the images is 2.8 % of the decisions, and still no gate that hardly moves."""
    study = hardened(repeated(make_study(), N // FEW))
    still(study)
    for row in study.rows[evaluation("aig-digits", "argmax", "pgd", "attack", EPSILONS[0]).id]:
        flip = np.zeros(9, bool)
        flip[4] = row["image"] < moved * N
        before = np.unpackbits(np.frombuffer(row["gates_clean"], np.uint8))[:9].astype(bool)
        row.update(gates_adv=np.packbits(before ^ flip).tobytes())
    directory = study.write(tmp_path, images=False)
    check_all(directory)
    found = claims(directory)["gates-hardly-move", "argmax"]
    if not moved:
        assert found.ruled == "not refuted by fgsm and pgd", "and never supported"
        return
    assert found.verdict == "unsupported"
    mean, largest = found.measurements[:2]
    assert mean.value == pytest.approx(moved / 9)
    assert mean.verdict == "not refuted"
    assert largest.value == moved
    name = study.plan.models[1].gates[4].name
    assert found.reason.startswith(f"at linf {EPSILONS[0]}: flips of block {name}, which moves most of 9 gates, by pgd")


def test_attacks_on_the_compute_can_refute_it_too(tmp_path: Path) -> None:
    study = hardened(repeated(make_study(), N // FEW))
    still(study)
    old = evaluation("aig-digits", "argmax", "pgd", "attack", EPSILONS[1])
    planned = [e.model_copy(update={"role": "compute"}) if e.id == old.id else e for e in study.plan.evaluations]
    for row in study.rows[old.id]:
        row.update(gates_adv=bytes(255 - byte for byte in row["gates_clean"]))
    changed = Study(study.plan.model_copy(update={"evaluations": planned}), study.rows)
    found = claims(changed.write(tmp_path, images=False))["gates-hardly-move", "argmax"]
    assert (found.verdict, found.measurements[-2].value) == ("unsupported", 1.0)


def test_a_claim_does_not_vanish_where_no_image_is_right_in_all_networks(tmp_path: Path) -> None:
    study = kept(0.1, 0.1, 0.1)
    keeps(study, "argmax", "clean", 0.6)
    for row in study.rows[evaluation("resnet-digits", "none", "clean", "clean", None).id]:
        right = row["image"] >= 0.6 * N
        row.update(correct_draws=int(right), prediction=row["label"] if right else -1)
    found = claims(study.write(tmp_path, images=False))["more-robust", "argmax"]
    assert found.verdict == "inconclusive"
    assert "no image is right in all networks" in found.reason
    assert [one.n for one in found.measurements] == [N, N]


def test_the_least_open_transition_decides(tmp_path: Path) -> None:
    study = hardened(repeated(make_study(), N // FEW))
    for row in study.rows[evaluation("aig-digits", "argmax", "clean", "clean", None).id]:
        opened = np.zeros(9, bool)
        opened[3], opened[6] = True, row["image"] % 2 == 0  # blocks 2.1 and 3.1
        row.update(gates_clean=np.packbits(opened).tobytes(), gates_adv=np.packbits(opened).tobytes())
    found = claims(study.write(tmp_path))["transitions-open", "argmax"]
    assert found.verdict == "unsupported"
    assert found.measurements[0].beside == {"block 2.1": 1.0, "block 3.1": 0.5}
    assert found.measurements[0].value == 0.5


def test_chance_spreads_no_classes() -> None:
    """Rates of .5 in every class spread by chance alone; rates of .2 and .8 by their standard deviation."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(10), 30)
    chance = np.array([class_spread(rng.random((300, 1)) < 0.5, labels)[0] ** 2 for _ in range(300)])
    naive = 0.25 / 30
    assert chance.mean() < 0.6 * naive, "what isn't corrected would be all of it"
    rates = np.where(np.arange(10) < 5, 0.2, 0.8)
    spread = [class_spread(rng.random((300, 1)) < rates[labels][:, None], labels)[0] for _ in range(100)]
    assert np.mean(spread) == pytest.approx(np.std(rates, ddof=1), abs=0.02)


def test_what_no_claim_could_rest_on_is_refused(directory: Path) -> None:
    digest = "ef56" * 16
    refuse_foreign(directory, "aig-digits", digest, None)
    refuse_foreign(directory, "aig-digits", digest, "sampled")
    for arguments, words in (
        (("other", digest, None), "resnet-digits, aig-digits, not other"),
        (("aig-digits", "00", None), "other weights of aig-digits"),
        (("aig-digits", digest, "open"), "under argmax, sampled"),
    ):
        with pytest.raises(InputError, match=words):
            refuse_foreign(directory, *arguments)


def test_a_damaged_checkup_does_not_vanish(tmp_path: Path) -> None:
    directory = make_study().write(tmp_path)
    (directory / "checks").mkdir()
    (directory / "checks" / "aig-digits.argmax.json").write_text('{"run": "aig-digits"}')
    with pytest.raises(RunError, match="no checkup"):
        aggregate(directory)


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
