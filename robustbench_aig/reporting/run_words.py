"""A training in words: what it was, what came of it, and how far that goes."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.recipes import Adversarial, Training
from robustbench_aig.reporting.words import NBSP, ball, gates_text, macs, number, percent
from robustbench_aig.runs import EpochRecord, RunRecord, Score, Scores

_MINUTE, _HOUR = 60, 3600
_LAG = "Training numbers are means over an epoch while the weights change. Validation numbers are measured after it."
_ONCE = "The test images were used once, at the end; nothing was chosen on them. Another seed gives another result."
_CLEAN = "Clean accuracy says nothing about robust accuracy. To measure that, run aigrob attack."


def facts(record: RunRecord, history: Sequence[EpochRecord]) -> list[tuple[str, str]]:
    """What a reader asks first, as (name, text)."""
    training, data = record.recipe.training, record.data
    found = [("Network", f"{record.recipe.summary}; {record.parameters:,} parameters{_gates(record)}")]
    shape = "×".join(map(str, data.shape))
    found.append(("Data", f"{data.name}: {len(data.classes)} classes, images of {shape}"))
    if training:
        preset = f", preset {record.recipe.preset}" if record.recipe.preset else ""
        found.append(("Recipe", f"{record.recipe_name}{preset}"))
        found.append(("Epochs", _epochs(len(history), training)))
        if training.adversarial:
            found.append(("Adversarial training", _attacked(training.adversarial, gated=record.family == "gated")))
    if record.reason:
        found.append(("Reason for this choice", record.reason))
    if record.init:
        found.append(("Initial weights", f"run {record.init.run}, of which {record.init.tensors} tensors were copied"))
    if history:
        found.append(("Time", _time(record, history)))
    return found


def findings(record: RunRecord, history: Sequence[EpochRecord]) -> list[str]:
    """What came of it."""
    if record.metrics:
        found = _results(record, record.metrics.test, "test")
    elif history:
        found = _results(record, history[-1].validation, "validation", f"after epoch {history[-1].epoch},")
    elif record.recipe.training is None:
        found = ["It was trained elsewhere, so nothing is known about its training."]
    else:
        found = []
    ended = [f"Training ended early: {record.stopped}."] if record.stopped else []
    return [*found, *_chosen(record, history), *ended]


def notes(record: RunRecord, history: Sequence[EpochRecord]) -> list[str]:
    """What the numbers do not show."""
    found = [_LAG] if history else []
    if record.metrics:
        found.append(_ONCE)
    robust = next((epoch.robust for epoch in history if epoch.robust), None)
    if robust is None:
        return [*found, _CLEAN] if found else []
    gates = "" if robust.policy == "none" else f" with {gates_text(robust.policy)}"
    attacked = (
        f"Accuracy under attack is on {robust.n} validation images{gates}, under PGD of one step and of "
        f"{robust.steps} steps at {ball(robust.norm, robust.eps)}. That is enough to choose an epoch, but it does not "
        "measure robust accuracy. To do that, run aigrob attack."
    )
    return [*found, attacked]


def unfinished(record: RunRecord, history: Sequence[EpochRecord]) -> str | None:
    """What is missing; None where the training is over."""
    if record.status == "finished":
        return None
    training = record.recipe.training
    whole = f" of {training.epochs}" if training else ""
    return f"{len(history)}{whole} epochs are done. There are no final weights yet, and no test image was used."


def _gates(record: RunRecord) -> str:
    targets = record.recipe.model.targets
    if not targets:
        return ""
    low, high = min(targets), max(targets)
    rates = percent(low) if low == high else f"{percent(low)} to {percent(high)}"
    if record.family == "stochastic":
        return f", {len(targets)} blocks with a survival probability of {rates}"
    return f", {len(targets)} gates with a target rate of {rates}"


def _epochs(done: int, training: Training) -> str:
    whole = str(training.epochs) if done == training.epochs else f"{done} of {training.epochs}"
    return f"{whole}, in batches of {training.batch}"


def _attacked(settings: Adversarial, *, gated: bool) -> str:
    size = f"{settings.step:g}{NBSP}ε"
    how = {
        "pgd": f"PGD, {settings.steps} steps of {size}",
        "trades": f"TRADES, {settings.steps} steps of {size}, beta {settings.beta:g}",
        "fast": f"one step of {size} from a random start",
    }[settings.method]
    gates = f"; {gates_text(settings.gates)} in the inner attack" if gated else ""
    threat = ball(settings.norm, settings.eps).replace(" ", NBSP)
    return f"{how}; {threat}{gates}"


def _time(record: RunRecord, history: Sequence[EpochRecord]) -> str:
    seconds = sum(epoch.seconds for epoch in history)
    images = sum(epoch.seconds * epoch.images_per_second for epoch in history)
    processes = f", {record.processes} processes" if record.processes > 1 else ""
    device = record.environment.get("device", "an unknown device")
    return (
        f"{_duration(seconds)} without scoring, {number(images / seconds, 0)} images a second; {device}, "
        f"{record.precision}{processes}"
    )


def _duration(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"


def _results(record: RunRecord, scores: Scores, split: str, when: str = "") -> list[str]:
    """One sentence on each policy."""
    return [_result(record, policy, score, split, when) for policy, score in scores.items()]


def _result(record: RunRecord, policy: str, score: Score, split: str, when: str) -> str:
    gates = "" if policy == "none" else f"with {gates_text(policy)}"
    draws = f" (mean of {score.draws} draws)" if score.draws > 1 else ""
    found = f"it classifies {percent(score.accuracy)} of {score.n} {split} images right{draws}"
    if record.family == "gated" and score.mean_rate is not None:
        found += f", executes {percent(score.mean_rate)} of its gated blocks"
    if score.mean_macs is not None:
        whole = _all_open(record)
        share = f", {percent(score.mean_macs / whole)} of the compute with every gate open" if whole else ""
        found += f" and computes {macs(score.mean_macs)}{NBSP}MACs per image{share}"
    sentence = " ".join(filter(None, (when, gates, found)))
    return f"{sentence[0].upper()}{sentence[1:]}."


def _all_open(record: RunRecord) -> int | None:
    """MACs with every gate open, where they were counted for these images and classes."""
    figures, data = record.recipe.figures, record.data
    same = figures and (figures.classes, tuple(figures.shape)) == (len(data.classes), data.shape)
    return figures.macs if figures and same and record.family == "gated" else None


def _chosen(record: RunRecord, history: Sequence[EpochRecord]) -> list[str]:
    """Which epoch's weights these are, and why."""
    robust = next((epoch.robust for epoch in history if epoch.epoch == record.best_epoch), None)
    if robust is None:
        return []
    chosen = (
        f"The weights are those of epoch {record.best_epoch}, which has the highest robust accuracy on {robust.n} "
        f"validation images: {percent(robust.pgd)} under PGD of {robust.steps} steps, {percent(robust.fgsm)} of one."
    )
    return [chosen]
