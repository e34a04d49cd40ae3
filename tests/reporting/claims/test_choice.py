"""Whether the choice pays: argmax gates against one path for all images and a plain network of equal compute."""

from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.records import Claim, Rung
from robustbench_aig.reporting import aggregate
from tests.reporting.claims.studies import claims
from tests.reporting.synthetic import GATES, N, Row, Study, evaluation, make_study, repeated

IMAGES = 14 * N

RUNGS = [
    Rung(key="R0", title="", model="resnet-digits", policy="none"),
    Rung(key="R0'", title="", model=None, policy="none", needed=False),
    Rung(key="R3", title="", model="aig-digits", policy="argmax"),
]


def study_of(*, argmax: float, majority: float, static: float | None, plain: float, looks: bool = True) -> Study:
    """What is right unattacked: the first images, so many of all."""
    study = repeated(make_study(), IMAGES // N)
    plan = study.plan.model_copy(update={"ladder": RUNGS, "evaluations": list(study.plan.evaluations)})
    argmax_rows = study.rows[evaluation("aig-digits", "argmax", "clean", "clean", None).id]
    for policy, share in (("majority", majority), ("static", static)):
        if share is not None:
            planned = evaluation("aig-digits", policy, "clean", "clean", None)
            plan.evaluations.append(planned)
            study.rows[planned.id] = [row | {"policy": policy} for row in argmax_rows]
            right(study.rows[planned.id], share)
    right(argmax_rows, argmax)
    right(study.rows[evaluation("resnet-digits", "none", "clean", "clean", None).id], plain)
    for row in argmax_rows:
        opened = np.random.default_rng(row["image"]).random(GATES) < 0.5 if looks else np.ones(GATES, bool)
        row.update(gates_clean=np.packbits(opened).tobytes(), gates_adv=np.packbits(opened).tobytes())
    return Study(plan, study.rows)


def right(rows: list[Row], share: float) -> None:
    for row in rows:
        count = int(row["image"] < share * IMAGES)
        row.update(correct_draws=count, choice_correct=count, prediction=row["label"] if count else -1)


def claim(study: Study, directory: Path) -> Claim:
    (found,) = (c for (name, _), c in claims(study.write(directory, images=False)).items() if name == "choice-pays")
    assert found.gate_policy == "argmax"
    assert found.gated == ["aig-digits"]
    return found


def test_it_pays_where_it_is_above_all_three(tmp_path: Path) -> None:
    found = claim(study_of(argmax=0.9, majority=0.8, static=0.82, plain=0.85), tmp_path)
    assert found.verdict == "supported", found.reason
    assert [round(m.value, 3) for m in found.measurements] == [0.1, 0.08, 0.05]


@pytest.mark.parametrize(("static", "plain"), [(0.902, 0.8), (0.8, 0.902), (0.95, 0.8), (0.8, 0.95)])
def test_one_rival_that_is_as_good_refutes_it(static: float, plain: float, tmp_path: Path) -> None:
    found = claim(study_of(argmax=0.9, majority=0.8, static=static, plain=plain), tmp_path)
    assert found.verdict == "unsupported", found.reason


def test_it_takes_all_rivals(tmp_path: Path) -> None:
    found = claim(study_of(argmax=0.9, majority=0.8, static=None, plain=0.8), tmp_path)
    assert found.verdict == "inconclusive"
    assert "a comparison with the best path of no more compute is missing" in found.reason
    study = study_of(argmax=0.9, majority=0.8, static=0.8, plain=0.8)
    untrained = [rung.model_copy(update={"needed": True}) for rung in RUNGS]
    missing = Study(study.plan.model_copy(update={"ladder": untrained}), study.rows)
    found = claim(missing, tmp_path / "missing")
    assert found.verdict == "inconclusive"
    assert "the plain network of equal mean compute is missing" in found.reason


def test_of_gates_that_do_not_look_it_is_inconclusive_for_that_reason(tmp_path: Path) -> None:
    """One path is then what argmax gates do."""
    found = claim(study_of(argmax=0.9, majority=0.9, static=0.9, plain=0.8, looks=False), tmp_path)
    assert found.verdict == "inconclusive"
    assert f"only 0 of {GATES} gates of aig-digits certainly decide by the image" in found.reason
    assert [m.value for m in found.measurements[:2]] == [0, 0]


def test_without_a_path_for_all_images_nobody_asks(tmp_path: Path) -> None:
    report = aggregate(make_study().write(tmp_path, images=False))
    assert "choice-pays" not in {c.id for c in report.claims}
