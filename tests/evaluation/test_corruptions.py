"""Corrupted images in an evaluation: rows against a pass by hand, resumed, in a cascade, from files, and as errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.corruptions.names import Corruption
from robustbench_aig.corruptions.pixels import corrupt
from robustbench_aig.evaluation import judge
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.randomness import Stream
from robustbench_aig.records import CorruptionRecord
from tests.evaluation.conftest import CHUNK, COUNT, DRAWS, contents, evaluator, make, subjects, table
from tests.networks import images

KINDS = [Corruption("gaussian-noise", 1), Corruption("gaussian-noise", 5), Corruption("contrast", 3)]
RECORDS = [CorruptionRecord(name=each.name, severity=each.severity, source="computed") for each in KINDS]
ALONE = make(attacks=(), corruptions=RECORDS)


@pytest.fixture(scope="module")
def corrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("corrupted")
    list(evaluator(directory, ALONE))
    return directory


def by_hand(kind: Corruption) -> Tensor:
    """All corrupted images at once."""
    x, _, ids = images(COUNT)
    return corrupt(x, kind, Stream.of(ids, ALONE.seed, "corruption", kind.name))


def test_each_corruption_is_measured_once_for_every_subject() -> None:
    assert [e.id for e in ALONE.evaluations[:4]] == [
        "plain.none.clean",
        "plain.none.gaussian-noise.severity-1",
        "plain.none.gaussian-noise.severity-5",
        "plain.none.contrast.severity-3",
    ]
    assert len(ALONE.evaluations) == 3 * (1 + 3)
    both = make(attacks=("fgsm",), corruptions=RECORDS)
    assert [e.role for e in both.evaluations[:6]] == ["clean", "attack", "attack", *["corruption"] * 3]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", ["plain", "gated"])
def test_a_row_is_what_the_network_says_of_the_corrupted_image(corrupted: Path, kind: Corruption, name: str) -> None:
    x, y, ids = images(COUNT)
    changed, policy = by_hand(kind), "none" if name == "plain" else "argmax"
    subject = subjects()[name, policy]
    with torch.no_grad(), gating(subject.model, Argmax()) as trace:
        logits = subject.model(changed)
    rows = {row["image"]: row for row in table(corrupted, f"{name}.{policy}.{kind.name}.severity-{kind.severity}")}
    for at, image in enumerate(ids.tolist()):
        row, delta = rows[image], changed[at] - x[at]
        assert (row["attack"], row["threat"]) == (f"{kind.name}:{kind.severity}", str(kind))
        assert (row["label"], row["prediction"], row["status"]) == (y[at], logits[at].argmax(), "ok")
        assert (row["draws"], row["correct_draws"]) == (1, int(logits[at].argmax() == y[at]))
        assert (row["forwards"], row["backwards"]) == (0, 0)
        assert row["batch"] == (5 if row["chunk"] == 2 else CHUNK)
        assert row["linf"] == pytest.approx(delta.abs().max().item(), abs=1e-6)
        assert row["l2"] == pytest.approx(delta.norm().item(), rel=1e-5)
        if name == "gated":
            assert row["gates_adv"] == np.packbits(trace.decisions.bool().numpy()[at]).tobytes()


def test_random_gates_draw_as_on_the_clean_image(corrupted: Path) -> None:
    _, y, ids = images(COUNT)
    subject = subjects()["gated", "sampled"]
    expected = judge(subject, by_hand(KINDS[2]), y, ids=ids, seed=ALONE.seed, draws=DRAWS)
    right = dict(zip(ids.tolist(), expected.correct.tolist(), strict=True))
    rows = table(corrupted, "gated.sampled.contrast.severity-3")
    assert {row["image"]: row["correct_draws"] for row in rows} == right
    assert {row["draws"] for row in rows} == {DRAWS}
    clean = {row["image"]: row["gates_adv"] for row in table(corrupted, "gated.sampled.clean")}
    assert all(row["gates_clean"] == clean[row["image"]] for row in rows)


def test_interrupted_and_resumed_the_files_are_equal(corrupted: Path, tmp_path: Path) -> None:
    for chunks in (4, 17, 100):
        work = iter(evaluator(tmp_path, ALONE))
        for _ in zip(range(chunks), work, strict=False):
            pass
        work.close()  # type: ignore[attr-defined]
    assert contents(tmp_path) == contents(corrupted)


def test_corrupted_images_are_not_kept_as_they_can_be_made_again(corrupted: Path) -> None:
    kept = load_file(corrupted / "images" / "plain.none.contrast.severity-3.safetensors")
    assert kept["ids"].shape == (0,)
    assert len(load_file(corrupted / "images" / "plain.none.clean.safetensors")["ids"]) == COUNT


def test_what_decides_the_images_is_part_of_the_digest() -> None:
    def digest(name: str, severity: int, source: str) -> str:
        return make(corruptions=[CorruptionRecord(name=name, severity=severity, source=source)]).digest

    others = [("fog", 1, "a"), ("fog", 2, "a"), ("fog", 1, "b"), ("snow", 1, "a")]
    assert len({make().digest, *(digest(*each) for each in others)}) == 5


def test_a_cascade_neither_skips_corrupted_images_nor_learns_from_them(tmp_path: Path) -> None:
    alone = make(("fgsm",), eps=("8/255",), cascade=True)
    both = make(("fgsm",), eps=("8/255",), cascade=True, corruptions=RECORDS[1:])
    # Corruptions first, where an attack would learn of them.
    first = sorted(both.evaluations, key=lambda e: ("clean", "corruption", "attack").index(e.role))
    both = both.model_copy(update={"evaluations": first})
    list(evaluator(tmp_path / "alone", alone))
    list(evaluator(tmp_path / "both", both))
    skipped = 0
    for e in both.evaluations:
        rows = table(tmp_path / "both", e.id)
        if e.role == "corruption":
            assert {row["status"] for row in rows} == {"ok"}
        else:
            # As text, since what was skipped holds NaN, which isn't equal to itself.
            assert str(rows) == str(table(tmp_path / "alone", e.id))
            skipped += sum(row["status"] == "skipped" for row in rows)
    assert skipped > 0


class NotOfGrey(nn.Module):
    """A network that says nothing of images without contrast."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return torch.where(x.std((1, 2, 3))[:, None] < 0.15, torch.nan, logits)


def test_a_network_that_says_nothing_of_corrupted_images_is_wrong_there(tmp_path: Path) -> None:
    plan = ALONE.model_copy(update={"evaluations": [e for e in ALONE.evaluations if e.model == "plain"]})
    subject = subjects()["plain", "none"]
    broken = {("plain", "none"): replace(subject, model=NotOfGrey(subject.model))}
    reasons = {done.evaluation.id: done.reason for done in evaluator(tmp_path, plan, networks=broken)}
    grey = "plain.none.contrast.severity-3"
    assert [name for name, reason in reasons.items() if reason] == [grey]
    for row in table(tmp_path, grey):
        assert (row["status"], row["prediction"], row["correct_draws"]) == ("error", -1, 0)


def test_images_of_files_are_those_that_are_judged(tmp_path: Path) -> None:
    _, y, ids = images(COUNT)
    generator = np.random.default_rng(0)
    count = int(ids.max()) + 1
    stored = generator.integers(0, 256, (5 * count, 12, 12, 3), dtype=np.uint8)
    np.save(tmp_path / "fog.npy", stored)
    np.save(tmp_path / "labels.npy", np.zeros(5 * count, dtype=np.int64))
    record = CorruptionRecord(name="fog", severity=4, source="0" * 64)
    plan = make(attacks=(), corruptions=[record])
    (planned,) = [e for e in plan.evaluations if e.model == "plain" and e.corruption]
    assert (planned.provider, planned.corruption) == ("files", record)
    list(evaluator(tmp_path / "report", plan, files=CorruptedFiles(tmp_path)))
    pixels = torch.from_numpy(stored[3 * count + ids.numpy()]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        said = subjects()["plain", "none"].model(pixels).argmax(1)
    rows = {row["image"]: row for row in table(tmp_path / "report", planned.id)}
    assert [rows[image]["prediction"] for image in ids.tolist()] == said.tolist()
    assert [rows[image]["label"] for image in ids.tolist()] == y.tolist()
