"""Adversarial training: the inner attack, the losses, which epoch is kept, and the alarm of single-step training."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robustbench_aig.data import load_data
from robustbench_aig.distributed import World
from robustbench_aig.errors import AigrobError
from robustbench_aig.gating import Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Adversarial, ModelRecipe, validate
from robustbench_aig.runs import RobustScore, RunRecord, read_history
from robustbench_aig.training import EpochEvent, FinishedEvent, Hardware, Job, NoteEvent, load_model, train
from robustbench_aig.training.batches import Batch
from robustbench_aig.training.inner_attack import inner_attack
from robustbench_aig.training.learner import Learner
from robustbench_aig.training.scoring import Scorer, overfitted
from tests.networks import gated, images, plain
from tests.tiny import job, recipe

METHODS: tuple[Literal["pgd", "trades", "fast"], ...] = ("pgd", "trades", "fast")


def settings(method: str, **changes: Any) -> Adversarial:
    return Adversarial.model_validate({"method": method, **changes})


def batch(count: int = 16) -> Batch:
    x, labels, ids = images(count)
    return Batch(x, labels, Stream.of(ids, 0, "gates"), Stream.of(ids, 0, "attack"))


def with_attack(start: Job, **changes: Any) -> Job:
    training = start.training.model_copy(update={"adversarial": settings(**changes)})
    return replace(start, recipe=start.recipe.model_copy(update={"training": training}))


def follow(start: Job) -> tuple[RunRecord, list[str]]:
    """The record and the notes of a training."""
    events = list(train(start, tick=3600))
    assert isinstance(events[-1], FinishedEvent)
    return events[-1].record, [event.text for event in events if isinstance(event, NoteEvent)]


class Linear(nn.Module):
    """Two logits ±w·x: the steepest change of every pixel is known."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.weight).sum((1, 2, 3))
        return torch.stack([-score, score], 1)


def test_on_a_linear_network_pgd_and_fast_find_the_worst_corner() -> None:
    start = batch()
    x, labels = start.x * 0.5 + 0.25, start.labels % 2
    network = Linear((3, 12, 12))
    direction = torch.where(labels == 1, -1.0, 1.0).view(-1, 1, 1, 1) * network.weight.detach().sign()
    for method in ("pgd", "fast"):
        # A single step reaches the corner from any start where it's as long as the ball is wide.
        chosen = settings(method, eps="16/255", **({"step": 2.0} if method == "fast" else {}))
        found = inner_attack(network, replace(start, x=x, labels=labels), chosen, amp=False)
        torch.testing.assert_close(found, x + 16 / 255 * direction)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_inner_attack_stays_in_the_ball_raises_its_loss_and_keeps_the_network(method: str, norm: str) -> None:
    network, start = gated().train(), batch()
    chosen = settings(method, norm=norm, eps="8/255" if norm == "linf" else "0.5")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = inner_attack(network, start, chosen, amp=False)
    assert chosen.threat.contains(found, start.x).all()
    assert not found.requires_grad
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    network.eval()
    corner = chosen.threat.corner(start.x, start.attack.uniform(3, 12, 12))
    losses: list[float] = []
    clean = torch.empty(0)
    for x in (start.x, corner, found):
        with torch.no_grad(), gating(network, Sampled(start.gates)):
            logits = network(x)
        clean = logits if x is start.x else clean
        towards = clean.softmax(1) if method == "trades" else F.one_hot(start.labels, 10).float()
        losses.append(F.cross_entropy(logits, towards).item())
    assert losses[2] > max(losses[:2])


def test_the_inner_attack_sees_the_gate_noise_of_the_update_and_its_own_start() -> None:
    network, start = gated().train(), batch()
    ids = torch.arange(len(start.x))
    found = inner_attack(network, start, settings("pgd"), amp=False)
    assert torch.equal(found, inner_attack(network, start, settings("pgd"), amp=False))
    for other in (replace(start, gates=Stream.of(ids, 9)), replace(start, attack=Stream.of(ids, 9))):
        assert not torch.equal(found, inner_attack(network, other, settings("pgd"), amp=False))
    argmax = [
        inner_attack(network, one, settings("pgd", gates="argmax"), amp=False)
        for one in (start, replace(start, gates=Stream.of(ids, 9)))
    ]
    assert torch.equal(*argmax)


def learner(method: str, network: nn.Module, gates: int) -> Learner:
    training = recipe(gated=gates > 0).training
    assert training
    chosen = training.model_copy(update={"adversarial": settings(method), "label_smoothing": 0.1})
    return Learner(network, chosen, torch.full((gates,), 0.6), Hardware())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gates", [0, 6])
def test_the_losses_of_a_step_by_their_definitions(method: str, gates: int) -> None:
    """Computed again from the state before the step, without the learner."""
    network, start = (gated() if gates else plain()), batch()
    network.train()
    found = inner_attack(network, start, settings(method), amp=False)
    logits = {}
    for name, x in (("clean", start.x), ("attacked", found)):
        with gating(network, Sampled(start.gates)) as trace:
            logits[name] = network(x)
        if gates and name == ("clean" if method == "trades" else "attacked"):
            rates = trace.decisions.mean(0)
    learned = logits["clean"] if method == "trades" else logits["attacked"]
    cross_entropy = F.cross_entropy(learned, start.labels, label_smoothing=0.1)
    clean, attacked = (logits[name].softmax(1) for name in ("clean", "attacked"))
    divergence = 6 * (clean * (clean / attacked).log()).sum(1).mean() if method == "trades" else torch.zeros(())

    second = (gated() if gates else plain()).train()
    done = learner(method, second, gates).update(start, lr=0.01)
    torch.testing.assert_close(done.cross_entropy, cross_entropy.detach())
    torch.testing.assert_close(done.divergence, divergence.detach(), rtol=1e-4, atol=1e-6)
    if gates:
        torch.testing.assert_close(done.penalty, 2 * (rates.detach() - 0.6).square().mean())
    torch.testing.assert_close(done.right, learned.argmax(1) == start.labels)


def small(
    epochs: int, *, gated: bool, depth: int = 14, lr: float = 0.1, adversarial: dict[str, Any] | None
) -> ModelRecipe:
    content: dict[str, Any] = {
        "summary": "small",
        "reference": "none",
        "model": {"algorithm": "gated-resnet" if gated else "resnet", "depth": depth},
        "training": {
            "epochs": epochs,
            "batch": 64,
            "augment": {"crop": 0.125},
            "optimizer": {"lr": lr, "nesterov": True},
            **({"rate_loss": {}} if gated else {}),
            **({"adversarial": adversarial} if adversarial else {}),
        },
    }
    return validate(ModelRecipe, content, "test")


@pytest.mark.slow
@pytest.mark.parametrize("is_gated", [False, pytest.param(True, marks=pytest.mark.evidence)])
def test_adversarial_training_helps_against_the_attack_it_was_trained_on(tmp_path: Path, is_gated: bool) -> None:
    """A sound single-step training sets off no alarm, and withstands ten steps far better than a standard one."""
    data = load_data("digits", seed=0)
    attack: dict[str, Any] = {"method": "fast", "eps": "24/255", "step": 1.0}
    held = {}
    for name, adversarial in (("standard", None), ("fast", attack)):
        chosen = small(5, gated=is_gated, depth=8, adversarial=adversarial)
        record, notes = follow(Job(tmp_path / name, name, chosen, data, seed=0))
        assert not notes
        assert record.stopped is None
        network = load_model(tmp_path / name)
        scorer = Scorer(record.family, profile_macs(network, data.shape), 0, World())
        held[name] = scorer.robust(network, data.test, settings(**attack)).pgd
    assert held["fast"] > held["standard"] + 0.15


@pytest.mark.slow
def test_catastrophic_overfitting_is_stopped(tmp_path: Path) -> None:
    """Single-step training with too large a step, on digits of 20 pixels, learns to withstand its own step alone.

    Left alone, it ends with 95 % against one step and 0 % against ten.
    """
    chosen = small(24, gated=False, adversarial={"method": "fast", "eps": "64/255", "step": 2.0})
    start = Job(tmp_path / "run", "plain", chosen, load_data("digits", seed=0, image_size=20), seed=0)
    record, notes = follow(start)
    assert record.stopped is not None
    assert "catastrophic overfitting" in record.stopped
    assert notes == [record.stopped]
    history = read_history(start.directory)
    last = history[-1].robust
    assert last is not None
    assert len(history) < 15
    assert last.pgd < last.fgsm / 10


def planted(monkeypatch: pytest.MonkeyPatch, values: list[tuple[float, float]]) -> None:
    """Robust validation scores (fgsm, pgd) that epochs are told to have."""
    left = iter(values)

    def robust(*_: object) -> RobustScore:
        fgsm, pgd = next(left)
        return RobustScore(policy="none", norm="linf", eps="8/255", n=143, steps=10, fgsm=fgsm, pgd=pgd)

    monkeypatch.setattr(Scorer, "robust", robust)


@pytest.mark.parametrize("method", METHODS)
def test_the_epoch_that_is_best_on_attacked_validation_images_is_kept(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its weights, also where it was interrupted after the best epoch; the first where two are equal."""
    planted(monkeypatch, [(0.3, 0.2), (0.5, 0.4), (0.5, 0.4)])
    cut = with_attack(job(tmp_path / "cut"), method=method)
    events = train(cut, tick=3600)
    for _ in range(2):
        assert isinstance(next(events), EpochEvent)
    events.close()  # type: ignore[attr-defined]
    (*_, last) = train(cut, resume=True)
    assert isinstance(last, FinishedEvent)
    assert last.record.best_epoch == 2
    assert last.record.metrics
    scores = [epoch.validation["argmax"] for epoch in read_history(cut.directory)]
    assert last.record.metrics.validation["argmax"] == scores[1]
    assert scores[1] != scores[2]


@pytest.mark.parametrize(
    ("scores", "alarm"),
    [
        ([(0.20, 0.18), (0.40, 0.33), (0.46, 0.38)], False),  # sound
        ([(0.20, 0.18), (0.40, 0.33), (0.85, 0.02)], True),  # collapsed
        ([(0.20, 0.18), (0.40, 0.33), (0.60, 0.15)], True),  # collapsing
        ([(0.20, 0.18), (0.40, 0.33), (0.30, 0.16)], False),  # an unlucky epoch: both fell
        ([(0.25, 0.02)], False),  # hardly more than guessing: nothing to lose yet
        ([(0.35, 0.08)], False),  # early: not robust yet
        ([(0.90, 0.01)], True),  # never robust to more than its own step
    ],
)
def test_the_alarm(scores: list[tuple[float, float]], alarm: bool) -> None:
    found = [
        RobustScore(policy="none", norm="linf", eps="8/255", n=1000, steps=10, fgsm=fgsm, pgd=pgd)
        for fgsm, pgd in scores
    ]
    assert overfitted(found, 10) is alarm


def test_a_collapse_after_a_good_epoch_keeps_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, [(0.5, 0.4), (0.9, 0.01)])
    record, (note,) = follow(with_attack(job(tmp_path / "run"), method="fast"))
    assert record.best_epoch == 1
    assert record.stopped == note
    assert "epoch 2" in note
    assert "weights of epoch 1 are used (40.0% robust)" in note
    assert len(read_history(tmp_path / "run")) == 2


def test_a_training_killed_after_the_alarm_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, [(0.5, 0.4), (0.9, 0.01)])
    cut = with_attack(job(tmp_path / "run"), method="fast")
    events = train(cut, tick=3600)
    for _ in range(2):
        assert isinstance(next(events), EpochEvent)
    events.close()  # type: ignore[attr-defined]
    note, finished = train(cut, resume=True)
    assert isinstance(note, NoteEvent)
    assert isinstance(finished, FinishedEvent)
    assert finished.record.stopped == note.text


def test_a_collapse_from_the_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, [(0.9, 0.01)])
    with pytest.raises(AigrobError, match=r"no earlier epoch can be used: lower the step .* --adversarial pgd"):
        follow(with_attack(job(tmp_path / "run"), method="fast"))


@pytest.mark.parametrize("method", ["pgd", "trades"])
def test_iterated_methods_have_no_such_alarm(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, [(0.9, 0.01)] * 3)
    record, notes = follow(with_attack(job(tmp_path / "run"), method=method))
    assert record.stopped is None
    assert not notes
