"""Accuracy against an attacker who may ask several times, against every choice of draws."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustbench_aig.evaluation import Images, Store, Subject, judge, plan_evaluations
from robustbench_aig.evaluation.cascade import lost_before
from robustbench_aig.evaluation.chunk_rows import make_rows
from robustbench_aig.evaluation.oom_batches import Measured
from robustbench_aig.models import profile_macs
from robustbench_aig.records import EXACT, ModelRecord, Plan
from robustbench_aig.reporting.image_scores import Scores, accuracy
from robustbench_aig.reporting.table_columns import Rows
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack
from tests.networks import images, undecided

ANSWERS = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]])


def scores(answers: np.ndarray) -> Scores:
    images, draws = answers.shape
    right = answers.sum(1)
    return Scores(np.ones(images, bool), right, np.full(images, draws), 2 * right > draws)


def test_counts_stand_for_all_sets_of_draws() -> None:
    found = accuracy(scores(ANSWERS))
    assert found.when_asked is not None
    assert sorted(found.when_asked) == [1, 2, 3, 5]  # ten of five draws can't be had
    for times, value in found.when_asked.items():
        sets = [ANSWERS[:, chosen].all(1) for chosen in map(list, itertools.combinations(range(5), times))]
        assert value == pytest.approx(np.mean(sets))
    assert found.when_asked[1] == pytest.approx(found.value)
    assert found.when_asked[5] == found.all_right


def test_it_is_unbiased() -> None:
    """The mean over all that ten draws can turn out to be is q^k."""
    q, draws = 0.8, 10
    right = np.arange(draws + 1)
    chance = np.array([math.comb(draws, n) * q**n * (1 - q) ** (draws - n) for n in range(draws + 1)])
    counted = Scores(np.ones(right.size, bool), right, np.full(right.size, draws), 2 * right > draws)
    for times in (1, 2, 3, 5, 10):
        assert chance @ counted.when_asked(times) == pytest.approx(q**times)


def test_exact_probabilities_are_multiplied() -> None:
    q = np.array([1.0, 0.9, 0.25, 0.0])
    ones = np.ones(4, np.int64)
    found = accuracy(Scores(ones.astype(bool), q, ones, q > 0.5, exact=True))
    assert found.value == pytest.approx(q.mean())
    assert found.draws == EXACT
    assert found.when_asked == pytest.approx({k: (q**k).mean() for k in (1, 2, 3, 5, 10)})
    assert (found.majority, found.all_right, found.any_right, found.count) == (0.5, None, None, None)
    assert found.low < found.value < found.high


def test_nobody_asks_a_deterministic_network_twice() -> None:
    assert accuracy(scores(ANSWERS[:, :1])).when_asked is None


def test_exact_rows_are_read_as_they_were_judged_and_only_certain_losses_are_skipped(tmp_path: Path) -> None:
    x, _, ids = images(6)
    model = undecided(8, x)
    with torch.no_grad():
        y = model(x).argmax(1)
    y[0] = 9 - y[0]
    record = ModelRecord(name="m", recipe="", family="gated", parameters=0, total_macs=0, weights_digest="")
    evaluations = plan_evaluations([(record, ["sampled"])], [find_attack("fgsm")], [Threat.parse("8/255")])
    clean, attack = evaluations
    subject = Subject("m", model, profile_macs(model, (3, 12, 12)), "sampled")
    judged = judge(subject, x, y, ids=ids, seed=0, draws=EXACT)
    judged = replace(judged, probability=torch.where(torch.arange(6) == 1, 0.0, judged.share))
    made = make_rows(clean, chunk=0, images=Images(x, y, ids), clean=judged, measured=Measured.of(x, judged)).sort_by(
        "image"
    )
    rows = Rows.of(made, clean, gates=3)
    order = ids.argsort()
    assert rows.choice_score.tolist() == Scores.of(rows).share.tolist() == judged.share[order].tolist()
    assert Scores.of(rows).exact
    pq.write_table(made, tmp_path / "part.parquet")

    class Kept:
        def rows(self, _: str, __: int, columns: list[str]) -> pa.Table:
            return pq.read_table(tmp_path / "part.parquet", columns=columns)

    plan = cast(Plan, SimpleNamespace(cascade=True, draws=EXACT, evaluations=evaluations))
    lost = lost_before(attack, 0, plan, cast(Store, Kept()))
    assert lost == dict.fromkeys(ids[judged.share == 0].tolist(), "clean")
    assert 1 <= len(lost) < 6
