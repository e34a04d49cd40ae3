"""Claims about gates, out of report directories that were made so that the answer is known."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from robustbench_aig.reporting.claims.clean_gates import class_spread
from tests.reporting.claims.studies import N, check_all, claims, hardened
from tests.reporting.synthetic import (
    EPSILONS,
    Study,
    evaluation,
    make_study,
    repeated,
)
from tests.reporting.synthetic import N as FEW


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
        assert mean.what.startswith("share of gates flipped by ")
        assert f"by {worst}, beyond random-sign noise" in largest.what
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
    assert found.reason.startswith(f"at linf {EPSILONS[0]}: flip rate of block {name}, the highest of 9 gates, by pgd")


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
