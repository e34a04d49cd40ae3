"""A cascade skips what is lost and nothing else, and loses the same images as an evaluation without."""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from robustbench_aig.attacks import Attack, View, build_attack
from robustbench_aig.distributed import World
from robustbench_aig.evaluation import Images
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack
from tests.evaluation.conftest import COUNT, DRAWS, contents, evaluator, make, subjects, table
from tests.networks import images

ATTACKS = ("fgsm", "pgd", "corners", "pgd-torchattacks:random_start=false")
"""The provider's random start belongs to the batch, so in a cascade it would be another."""
SUBJECTS = ("plain.none", "gated.argmax", "gated.sampled")
EPS = ("32/255", "64/255")
THREATS = ("linf-32_255", "linf-64_255")


def mostly_right() -> Images:
    """Images of which each network gets most right unattacked: every other label is one's, the others the other's."""
    pixels, labels, ids = images(COUNT)
    networks = subjects()
    with torch.no_grad():
        said = [networks[key].model(pixels).argmax(1) for key in (("plain", "none"), ("gated", "argmax"))]
    place = torch.arange(COUNT)
    mixed = torch.where(place % 2 == 0, said[0], said[1])
    return Images(pixels, torch.where(place % 8 == 7, labels, mixed), ids)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    list(evaluator(directory, make(ATTACKS, eps=EPS), of=mostly_right()))
    return directory


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cascade")
    list(evaluator(directory, make(ATTACKS, eps=EPS, cascade=True), of=mostly_right()))
    return directory


def group(directory: Path, subject: str, threat: str) -> dict[str, list[dict[str, Any]]]:
    """The tables of a union's members by attack, in the plan's order, and of the control."""
    found = {"clean": table(directory, f"{subject}.clean")}
    return found | {attack: table(directory, f"{subject}.{attack.replace(':', '_')}.{threat}") for attack in ATTACKS}


def lost(tables: dict[str, list[dict[str, Any]]]) -> set[int]:
    """Images that some measured row of the union got wrong."""
    return {
        row["image"]
        for attack, rows in tables.items()
        for row in rows
        if attack != "corners" and row["status"] != "skipped" and row["correct_draws"] == 0
    }


@pytest.mark.parametrize("subject", ["plain.none", "gated.argmax"])
@pytest.mark.parametrize("threat", THREATS)
def test_the_same_images_are_lost(whole: Path, cascade: Path, subject: str, threat: str) -> None:
    without, within = group(whole, subject, threat), group(cascade, subject, threat)
    assert lost(within) == lost(without)
    assert lost({"clean": within["clean"]}) < lost(within)


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("threat", THREATS)
def test_skipped_is_what_was_lost_before_on_the_draws_for_choosing(cascade: Path, subject: str, threat: str) -> None:
    tables = group(cascade, subject, threat)
    won: dict[int, str] = {}
    for attack, rows in tables.items():
        for row in rows:
            expected = won.get(row["image"]) if attack in ATTACKS and attack != "corners" else None
            assert row["lost_to"] == expected
            assert (row["status"] == "skipped") == (expected is not None)
        if attack != "corners":
            for row in rows:
                if row["status"] != "skipped" and row["choice_correct"] == 0:
                    won.setdefault(row["image"], attack)
    assert {"clean", "fgsm"} <= set(won.values())


def test_a_skipped_row_holds_no_measurement(cascade: Path) -> None:
    skipped = [row for row in table(cascade, "gated.sampled.pgd.linf-32_255") if row["status"] == "skipped"]
    assert skipped
    for row in skipped:
        assert (row["prediction"], row["correct_draws"], row["choice_correct"]) == (-1, 0, 0)
        assert (row["draws"], row["choice_draws"]) == (DRAWS, DRAWS)
        assert (row["forwards"], row["backwards"], row["batch"]) == (0, 0, 0)
        assert (row["gates_clean"], row["gates_adv"], row["p_clean"], row["p_adv"]) == (b"", b"", [], [])
        numbers = ("margin", "linf", "l2", "choice_margin", "macs_clean", "macs_adv")
        assert all(np.isnan(row[column]) for column in numbers)


def test_measured_rows_are_those_of_the_whole_evaluation(whole: Path, cascade: Path) -> None:
    """But for rounding: fewer images go through the network at once."""
    name = "gated.sampled.pgd.linf-32_255"
    for one, other in zip(table(cascade, name), table(whole, name), strict=True):
        if one["status"] == "ok":
            assert one["margin"] == pytest.approx(other["margin"], abs=1e-3)
            assert one["gates_clean"] == other["gates_clean"]
            assert 0 < one["batch"] <= other["batch"]


def test_kept_images_are_those_that_were_attacked(cascade: Path) -> None:
    name = "plain.none.pgd.linf-32_255"
    kept = load_file(cascade / "images" / f"{name}.safetensors")
    measured = {row["image"] for row in table(cascade, name) if row["status"] == "ok"}
    order = [image for image in images(COUNT)[2].tolist() if image in measured]
    assert kept["ids"].tolist() == order
    assert len(kept["images"]) == len(order)


def test_killed_and_resumed_the_files_are_equal(cascade: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    while True:
        work = iter(evaluator(tmp_path, make(ATTACKS, eps=EPS, cascade=True), of=mostly_right()))
        for _ in range(int(rng.integers(25, 60))):
            if next(work, None) is None:
                assert contents(tmp_path) == contents(cascade)
                return
        work.close()  # type: ignore[attr-defined]


def test_begun_by_three_processes_and_ended_by_one_the_files_are_equal(cascade: Path, tmp_path: Path) -> None:
    """One after the other: a leader that came to its end would wait for those that are not there."""
    for rank, size, steps in ((2, 3, None), (0, 2, 35), (1, 2, None)):
        one = evaluator(tmp_path, make(ATTACKS, eps=EPS, cascade=True), of=mostly_right())
        one.together.world = World(rank, size)
        assert len(list(islice(one, steps))) == (steps or 0)
    done = list(evaluator(tmp_path, make(ATTACKS, eps=EPS, cascade=True), of=mostly_right()))
    assert 0 < sum(not step.resumed for step in done) < 20
    assert contents(tmp_path) == contents(cascade)


@dataclass(frozen=True)
class Spy(Attack):
    """Notes how many images it is given."""

    attack: Attack
    seen: list[int] = field(default_factory=list)

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        self.seen.append(len(x))
        return self.attack(model, x, y, threat, stream)


def test_an_attack_sees_what_is_left_and_does_not_run_where_nothing_is(tmp_path: Path) -> None:
    """Every second image is wrong unattacked; of the second chunk all are."""
    pixels, _, ids = images(COUNT)
    model = subjects()["plain", "none"].model
    with torch.no_grad():
        labels = model(pixels).argmax(1)
    labels[::2] = (labels[::2] + 1) % 10
    labels[10:20:2], labels[11:20:2] = labels[10:20:2], (labels[11:20:2] + 1) % 10
    spy = Spy(build_attack(find_attack("corners")[1].attack))
    plan = make(("fgsm",), cascade=True)
    plan = plan.model_copy(update={"evaluations": [e for e in plan.evaluations if e.model == "plain"][:2]})
    list(evaluator(tmp_path, plan, attacks={"fgsm": spy}, of=Images(pixels, labels, ids)))
    assert spy.seen == [5, 2]
    assert [row["status"] for row in table(tmp_path, plan.evaluations[1].id)].count("skipped") == COUNT - 7
