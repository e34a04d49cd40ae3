"""Charts of a training: losses, accuracy, execution rate, compute, learning rate and speed over its epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import altair as alt

from robustbench_aig.recipes import ModelRecipe
from robustbench_aig.reporting.curves import DASHES, Curve, Stroke, over_epochs
from robustbench_aig.reporting.words import macs, number, percent
from robustbench_aig.runs import EpochRecord, RunRecord, Score

_TRAINING = Stroke("training", "var(--s0)", DASHES[2])
_SHARES = alt.Scale(domain=[0, 1])
_WIDTH = 310

History = Sequence[EpochRecord]


class Entry(NamedTuple):
    """A line of a chart's legend: what is drawn, and its value after the last epoch."""

    stroke: Stroke
    value: str


class Panel(NamedTuple):
    """A chart with its legend."""

    title: str
    svg: str
    legend: list[Entry]


def accuracy(record: RunRecord, history: History) -> Panel:
    """On the training images, and on those of validation under every gate policy, as they are and attacked."""
    attacked = [epoch.robust for epoch in history]
    steps = next((robust.steps for robust in attacked if robust), 0)
    curves = [
        _curve(_TRAINING, [epoch.train_accuracy for epoch in history]),
        *_validation(history, lambda score: score.accuracy),
        _curve(_stroke("attacked, one step", 3), [robust.fgsm if robust else None for robust in attacked]),
        _curve(_stroke(f"attacked, {steps} steps", 4), [robust.pgd if robust else None for robust in attacked]),
    ]
    return _panel("Accuracy", history, curves, _share_axis("accuracy"), percent, rule=record.best_epoch)


def panels(record: RunRecord, history: History) -> list[Panel]:
    """All other charts."""
    gates = []
    if record.family == "gated":  # elsewhere rates and compute are given, not learned
        gates = [*_gate_losses(history), _rate(record.recipe, history), *_dependence(history), _compute(history)]
    return [_losses(history), *gates, _learning_rate(record.recipe, history), _speed(history)]


def policies(history: History) -> list[str]:
    """Under which the network was scored on validation images."""
    return list(dict.fromkeys(policy for epoch in history for policy in epoch.validation))


def _losses(history: History) -> Panel:
    curves = [
        _curve(_stroke("cross-entropy", 1), [epoch.cross_entropy for epoch in history]),
        _curve(_stroke("divergence, weighted", 2), [epoch.divergence for epoch in history]),
    ]
    return _panel("Loss in training", history, curves, _axis("loss"), _short)


def _gate_losses(history: History) -> list[Panel]:
    """That of the execution rates, and those of the gates' dependence on the image where the recipe has them."""
    rate = [_curve(_stroke("rate loss, weighted", 1), [epoch.rate_loss for epoch in history])]
    dependence = [
        _curve(_stroke("mutual information, weighted", 1), [epoch.information_loss for epoch in history]),
        _curve(_stroke("batch shaping, weighted", 2), [epoch.shaping_loss for epoch in history]),
    ]
    found = [_panel("Loss of the execution rates in training", history, rate, _axis("loss"), _short)]
    if any(value is not None for curve in dependence for value in curve.values):
        found.append(_panel("Loss of the gates' dependence in training", history, dependence, _axis("loss"), _short))
    return found


def _rate(recipe: ModelRecipe, history: History) -> Panel:
    targets = recipe.model.targets
    target = sum(targets) / len(targets)
    curves = [
        _curve(_stroke("target", 4), [target] * len(history)),
        _curve(_TRAINING, [epoch.train_mean_rate for epoch in history]),
        *_validation(history, lambda score: score.mean_rate),
    ]
    return _panel("Execution rate, mean of all gates", history, curves, _share_axis("execution rate"), percent)


def _dependence(history: History) -> list[Panel]:
    """None of a run that was trained before this was measured."""
    measured = [epoch.dependence for epoch in history]
    if not any(measured):
        return []
    curves = [_curve(_stroke("validation, sampled gates", 1), [one.explained if one else None for one in measured])]
    return [_panel("What the image explains of the gates' decisions", history, curves, _share_axis("share"), percent)]


def _compute(history: History) -> Panel:
    curves = _validation(history, lambda score: score.mean_macs)
    y = _axis("MACs per image").axis(format="~s", tickCount=5)
    return _panel("Executed compute", history, curves, y, macs)


def _learning_rate(recipe: ModelRecipe, history: History) -> Panel:
    curves = [_curve(_stroke("learning rate", 1), [epoch.lr for epoch in history])]
    y = _axis("learning rate")
    if recipe.training and recipe.training.schedule.kind == "steps":
        y = y.scale(type="log").axis(format="~g", tickCount=4)
    return _panel("Learning rate at the end of each epoch", history, curves, y, _short)


def _speed(history: History) -> Panel:
    curves = [_curve(_stroke("images per second", 1), [epoch.images_per_second for epoch in history])]
    return _panel("Speed of training", history, curves, _axis("images per second"), lambda value: number(value, 0))


def _validation(history: History, measure: Callable[[Score], float | None]) -> list[Curve]:
    scores = {policy: [epoch.validation.get(policy) for epoch in history] for policy in policies(history)}
    return [
        _curve(_stroke(_named(policy), place), [measure(score) if score else None for score in of_policy])
        for place, (policy, of_policy) in enumerate(scores.items(), 1)
    ]


def _named(policy: str) -> str:
    """A set of validation scores in a legend."""
    return "validation" if policy == "none" else f"validation, {policy} gates"


def _curve(stroke: Stroke, values: Sequence[float | None]) -> Curve:
    return Curve(stroke, stroke.name, values)


def _stroke(name: str, place: int) -> Stroke:
    """The look of the curve at a place from 1 to 4; the third dash is that of the training."""
    return Stroke(name, f"var(--s{place})", DASHES[place - 1 if place < 3 else place])


def _panel(
    title: str,
    history: History,
    curves: list[Curve],
    y: alt.Y,
    tell: Callable[[float], str],
    *,
    rule: int | None = None,
) -> Panel:
    """Only curves with some value are drawn and told of."""
    kept = [curve for curve in curves if any(value is not None for value in curve.values)]
    legend = [
        Entry(curve.stroke, "not measured" if (last := curve.values[-1]) is None else tell(last)) for curve in kept
    ]
    epochs = [epoch.epoch for epoch in history]
    return Panel(title, over_epochs(epochs, kept, y, tell, rule=rule, width=_WIDTH), legend)


def _axis(title: str) -> alt.Y:
    return alt.Y("value:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))


def _share_axis(title: str) -> alt.Y:
    return alt.Y("value:Q", title=title, scale=_SHARES, axis=alt.Axis(format="%", tickCount=5))


def _short(value: float) -> str:
    """Three digits, wherever the point is."""
    return f"{value:.3g}"
