"""The loop over chunks: rows, resume, errors."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from robustbench_aig.attacks import Attack, Fgsm
from robustbench_aig.attacks.attack_factory import build_attack
from robustbench_aig.errors import RunError
from robustbench_aig.evaluation import Store, plan_evaluations
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.models import fused
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe
from robustbench_aig.sample_table import ROW
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack
from tests.evaluation.conftest import CHUNK, COUNT, contents, evaluator, make, model_records, subjects, table
from tests.networks import images

ONE = "gated.argmax.fgsm.linf-8_255"


def test_every_evaluation_has_one_row_per_image_in_order(finished: Path) -> None:
    plan = make()
    assert len(plan.evaluations) == 3 * (1 + 2 * 3)
    ids = sorted(images(COUNT)[2].tolist())
    for evaluation in plan.evaluations:
        read = pq.read_table(finished / "samples" / f"{evaluation.id}.parquet")
        assert read.schema.equals(ROW)
        assert read["image"].to_pylist() == ids
        assert set(read["status"].to_pylist()) == {"ok"}
    assert not (finished / "parts").exists()


def test_a_row_says_what_happened_to_its_image(finished: Path) -> None:
    """Every column against the stored attacked image, judged again by hand."""
    x, y, ids = images(COUNT)
    pictures = load_file(finished / "images" / f"{ONE}.safetensors")
    adv = dict(zip(pictures["ids"].tolist(), pictures["images"], strict=True))
    subject = subjects()["gated", "argmax"]
    for row in table(finished, ONE):
        at = ids.tolist().index(row["image"])
        pair = torch.stack([x[at], adv[row["image"]]])
        with torch.no_grad(), gating(subject.model, Argmax()) as trace:
            logits = subject.model(pair)
        bits = trace.decisions.bool().numpy()
        assert (row["label"], row["prediction"]) == (y[at], logits[1].argmax())
        assert (row["draws"], row["correct_draws"]) == (1, int(logits[1].argmax() == y[at]))
        assert row["gates_clean"] == np.packbits(bits[0]).tobytes()
        assert row["gates_adv"] == np.packbits(bits[1]).tobytes()
        np.testing.assert_allclose(np.array(row["p_adv"], float), trace.probabilities[1], atol=1e-3)
        assert row["mean_p_adv"] == row["choice_p_adv"] == row["p_adv"]
        assert row["macs_adv"] == subject.profile.executed(trace.decisions)[1]
        assert row["linf"] == pytest.approx((pair[1] - pair[0]).abs().max().item())
        assert row["l2"] == pytest.approx((pair[1] - pair[0]).norm().item(), rel=1e-5)
        assert (row["attack"], row["threat"], row["forwards"], row["backwards"]) == ("fgsm", "linf 8/255", 1, 1)
        assert row["batch"] == (5 if row["chunk"] == 2 else CHUNK)


def test_clean_rows_have_no_change(finished: Path) -> None:
    for row in table(finished, "gated.sampled.clean"):
        assert (row["linf"], row["l2"], row["forwards"]) == (0, 0, 0)
        assert row["gates_clean"] == row["gates_adv"]
        assert row["draws"] == row["choice_draws"] == 4


def test_open_probabilities_of_random_gates_are_means_over_draws(finished: Path) -> None:
    """The clean image's stand in its own row; along one draw they are others from the second gate on."""
    for row in table(finished, "gated.sampled.clean"):
        assert row["p_clean"] == row["p_adv"]
        columns = (row["p_adv"], row["mean_p_adv"], row["choice_p_adv"])
        assert {len(column) for column in columns} == {len(subjects()["gated", "sampled"].profile.blocks)}
        assert columns[0][0] == pytest.approx(columns[1][0], abs=1e-3)
        assert columns[0][0] == pytest.approx(columns[2][0], abs=1e-3)
    last = np.array(
        [
            [row[name][-1] for name in ("p_adv", "mean_p_adv", "choice_p_adv")]
            for row in table(finished, "gated.sampled.clean")
        ]
    )
    assert (np.abs(last[:, 1] - last[:, 2]) > 1e-3).any()
    # Means over four draws spread less than single ones, whatever they spread around.
    assert np.abs(last[:, 1] - last[:, 2]).mean() < np.abs(last[:, 0] - last[:, 2]).mean()


def test_killed_at_any_chunk_and_resumed_the_files_are_equal(finished: Path, tmp_path: Path) -> None:
    plan = make()
    rng = np.random.default_rng(0)
    while True:
        work = iter(evaluator(tmp_path, plan))
        for _ in range(int(rng.integers(20, 45))):
            if next(work, None) is None:
                assert contents(tmp_path) == contents(finished)
                return
        work.close()  # type: ignore[attr-defined]


def test_resume_does_no_work_twice(finished: Path) -> None:
    assert all(done.resumed for done in evaluator(finished, make(), attacks={"none": Fgsm(FgsmRecipe())}))


def test_chunk_size_moves_nothing_but_rounding(finished: Path, tmp_path: Path) -> None:
    """Starts, gate noise and scoring noise belong to the image; only foreign attacks draw per chunk."""
    list(evaluator(tmp_path, make(attacks=("fgsm", "pgd", "corners"), chunk=16)))
    for evaluation in ("gated.sampled.clean", "gated.sampled.fgsm.linf-8_255", "gated.sampled.corners.linf-8_255"):
        for one, other in zip(table(finished, evaluation), table(tmp_path, evaluation), strict=True):
            assert one["gates_clean"] == other["gates_clean"]
            assert one["margin"] == pytest.approx(other["margin"], abs=1e-3)


def test_progress_counts_images(tmp_path: Path) -> None:
    steps = list(evaluator(tmp_path, make(attacks=("corners",))))
    assert [s.done for s in steps[:3]] == [10, 20, 25]
    assert steps[-1].done == steps[-1].total == 3 * 3 * COUNT


def test_kept_images_are_the_front_of_the_order(tmp_path: Path) -> None:
    list(evaluator(tmp_path, make(attacks=("corners",)), keep=12))
    kept = load_file(tmp_path / "images" / "plain.none.corners.linf-2_255.safetensors")
    assert torch.equal(kept["ids"], images(COUNT)[2][:12])
    assert kept["images"].shape == (12, 3, 12, 12)


@dataclass(frozen=True)
class Broken(Attack):
    """Crashes on one chunk, returns NaN for one image of another."""

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        if len(x) == 5:
            raise RuntimeError("planted")
        out = x.clone()
        out[0, 0, 0, 0] = torch.nan
        return out


def test_a_crash_or_a_nan_is_an_error_and_never_robust(tmp_path: Path) -> None:
    reasons = {done.reason for done in evaluator(tmp_path, make(attacks=("fgsm",)), attacks={"fgsm": Broken()})}
    assert reasons == {None, "RuntimeError: planted", "returned NaN or infinite pixels"}
    rows = table(tmp_path, ONE)
    bad = [row for row in rows if row["status"] == "error"]
    assert len(bad) == 5 + 2
    for row in bad:
        assert (row["prediction"], row["correct_draws"], row["choice_correct"]) == (-1, 0, 0)
        assert all(np.isnan(row[column]) for column in ("margin", "linf", "l2"))


def test_another_plan_does_not_touch_the_directory(finished: Path) -> None:
    before = contents(finished)
    store = Store(finished)
    with pytest.raises(RunError, match=r"another evaluation \(other seed\)"):
        store.open(make(seed=1), resume=True)
    with pytest.raises(RunError, match="--resume"):
        store.open(make(), resume=False)
    assert contents(finished) == before


def test_digest_sees_what_decides_the_numbers_and_nothing_else() -> None:
    plan = make()
    assert make().digest == plan.digest
    assert make(seed=1).digest != plan.digest
    assert make(chunk=11).digest != plan.digest
    assert make(attacks=("fgsm",)).digest != plan.digest
    assert make(cascade=True).digest != plan.digest


def test_times_are_kept_apart(finished: Path) -> None:
    times = json.loads((finished / "times.json").read_text())
    assert set(times) == {e.id for e in make().evaluations}
    assert all(seconds > 0 for seconds in times.values())


def test_repeated_epsilons_are_measured_once() -> None:
    threats = [Threat.parse("4/255"), Threat.parse("8/510"), Threat.parse("2/255")]
    planned = plan_evaluations(model_records()[:1], [find_attack("fgsm")], threats)
    assert [e.threat.eps for e in planned if e.threat] == ["4/255", "2/255"]


class Asked(nn.Module):
    """A network that counts the images that it's asked about."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.images = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        logits: Tensor = self.model(x)
        return logits


def test_each_provider_works_on_its_copy_and_the_network_alone_judges(tmp_path: Path, finished: Path) -> None:
    subject = subjects()["plain", "none"]
    model, fast, exact = Asked(subject.model), Asked(fused(subject.model)), Asked(fused(subject.model))
    spied = {("plain", "none"): replace(subject, model=model, copy=fast, exact=exact)}
    ours, theirs = "plain.none.fgsm.linf-8_255", "plain.none.pgd-torchattacks.linf-8_255"
    plan = make()
    for evaluation, used, unused in ((ours, fast, exact), (theirs, exact, fast)):
        fast.images = exact.images = model.images = 0
        part = plan.model_copy(update={"evaluations": [e for e in plan.evaluations if e.id == evaluation]})
        list(evaluator(tmp_path / evaluation, part, networks=spied))
        assert used.images >= COUNT
        assert unused.images == 0
        assert model.images >= COUNT
        # Folding and fusing change logits by their rounding alone.
        verdicts, wanted = (
            [row["prediction"] for row in table(d, evaluation)] for d in (tmp_path / evaluation, finished)
        )
        assert verdicts == wanted


@pytest.mark.parametrize("exact", [False, True])
def test_an_attack_of_ours_may_ask_for_float32(tmp_path: Path, exact: bool) -> None:
    subject = subjects()["plain", "none"]
    fast, fine = Asked(fused(subject.model)), Asked(fused(subject.model))
    plan = make(["fgsm"])
    only = plan.model_copy(update={"evaluations": [e for e in plan.evaluations if e.model == "plain" and e.threat][:1]})
    attacks = {"fgsm": build_attack(find_attack(f"apgd:steps=2,keep=last,exact={str(exact).lower()}")[1].attack)}
    networks = {("plain", "none"): replace(subject, copy=fast, exact=fine)}
    list(evaluator(tmp_path, only, attacks=attacks, networks=networks))
    used, unused = (fine, fast) if exact else (fast, fine)
    assert used.images >= COUNT
    assert unused.images == 0


def test_no_pixels_are_kept_beyond_their_chunk(tmp_path: Path) -> None:
    """Every chunk's would take as much of the device as the whole set."""
    work = evaluator(tmp_path, make(attacks=("fgsm",), eps=("8/255",)))
    list(work)
    known = work._worker._clean.values()
    assert len(known) == 9
    assert sum(measured.images.untyped_storage().nbytes() for measured in known) == 0
