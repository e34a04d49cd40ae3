"""What a report says of gates that look at the image, and of coins; and of claims about the choice of either."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.records import Claim, Dependence, Report
from robustbench_aig.reporting import aggregate, write_report
from tests.reporting.claims.studies import hardened
from tests.reporting.synthetic import DRAWS, GATES, N, Study, evaluation, make_study, repeated

IMAGES = 7 * N

Likely = Callable[[int, np.random.Generator], np.ndarray[tuple[int], np.dtype[np.float64]]]


def study_of(likely: Likely) -> Study:
    """Gates that are open with the given probabilities, whatever is done to the image: no attack moves them."""
    study = hardened(repeated(make_study(), IMAGES // N))
    for e in study.plan.evaluations:
        for row in study.rows[e.id] if e.policy != "none" else []:
            p = likely(row["image"], np.random.default_rng(row["image"]))
            noise = np.random.default_rng([row["image"], e.policy == "sampled"])
            opened = noise.random(GATES) < p if e.policy == "sampled" else p > 0.5
            means = [noise.binomial(DRAWS, p) / DRAWS if e.policy == "sampled" else p for _ in range(2)]
            packed = np.packbits(opened).tobytes()
            row.update(gates_clean=packed, gates_adv=packed, mean_p_adv=means[0], choice_p_adv=means[1])
    return study


def coins(image: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.linspace(0.4, 0.8, GATES)


def looking(image: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return rng.choice([0.05, 0.95], GATES)


@pytest.fixture(scope="module", params=["coins", "looking"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Report]:
    directory = study_of({"coins": coins, "looking": looking}[request.param]).write(tmp_path_factory.mktemp("looking"))
    return request.param, directory, write_report(directory)


def found(report: Report, policy: str) -> Dependence:
    clean = next(e for e in report.evaluations if (e.model, e.gate_policy, e.role) == ("aig-digits", policy, "clean"))
    assert clean.gates is not None
    assert clean.gates.dependence is not None
    return clean.gates.dependence


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_the_record_counts_the_gates_that_decide_by_the_image(written: tuple[str, Path, Report], policy: str) -> None:
    kind, _, report = written
    of = found(report, policy)
    assert (of.n, of.deciding, of.looks) == (IMAGES, *((0, False) if kind == "coins" else (GATES, True)))
    assert of.paths == 1 if (kind, policy) == ("coins", "argmax") else of.paths > 100
    attacked = next(e for e in report.evaluations if e.gate_policy == policy and e.role == "attack")
    assert attacked.gates is not None
    assert attacked.gates.dependence is None


def test_the_page_says_so(written: tuple[str, Path, Report]) -> None:
    kind, directory, _ = written
    page = (directory / "report.html").read_text()
    first, rest = page[: page.index('id="claims"')], page[page.index('id="networks"') :]
    of = f"{0 if kind == 'coins' else GATES} of {GATES} gates decide by the image"
    assert first.count(f"{'Hardly: ' if kind == 'coins' else ''}{of}") == 2, "for each policy"
    assert ("depend little on the image" in rest) == (kind == "coins")


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_a_claim_about_the_choice_of_coins_is_inconclusive_for_that_reason(
    written: tuple[str, Path, Report], policy: str
) -> None:
    kind, _, report = written
    moved: Claim = next(c for c in report.claims if (c.id, c.gate_policy) == ("gates-hardly-move", policy))
    assert ("0 of 9 gates of aig-digits" in moved.reason) == (kind == "coins")
    assert moved.verdict == "inconclusive" or kind == "looking"


def test_it_is_not_known_of_sample_tables_without_the_probabilities(tmp_path: Path) -> None:
    study = study_of(coins)
    clean = evaluation("aig-digits", "sampled", "clean", "clean", None).id
    for row in study.rows[clean]:
        row.update(mean_p_adv=[], choice_p_adv=[])
    report = aggregate(study.write(tmp_path))
    e = next(e for e in report.evaluations if e.id == clean)
    assert e.gates is not None
    assert e.gates.dependence is None
