"""Plans and reports of version 1 in version 2: words about networks become records, and intervals agree with tests.

The one place where such words are read.
"""

from __future__ import annotations

import re
from typing import Any

from robustbench_aig.errors import RunError
from robustbench_aig.threat import Threat

Document = dict[str, Any]

_GATE = re.compile(r"(\d+)\.(\d+)")
_DEFENCE = re.compile(r"(jpeg)[ :](\d+)")
_ADVERSARIAL = re.compile(r"(?P<method>\w+), (?P<norm>\w+) (?P<eps>[^,]+)(, best epoch (?P<epoch>\d+|None))?")


def typed(document: Document) -> Document:
    """A plan or report of version 1 in version 2: defence, gates and training of each network are records."""
    return document | {"models": [_model(model) for model in document.get("models", [])]}


def retold(report: Document) -> Document:
    """A report of version 1 in version 2; its verdicts on claims stay those of the rules that it was made by.

    The intervals of its differences were bootstraps. Where an exact test stood beside one, the test was the word and
    could contradict it: such intervals are made anew from the counts. Steps of the ladder have none: where their test
    saw no difference, an interval that left out 0 ends there.
    """
    ladder = report.get("ladder")
    return typed(report) | {
        "rules": 1,
        "comparisons": [_comparison(one) for one in report["comparisons"]],
        "ladder": ladder and ladder | {"steps": [_step(one) for one in ladder["steps"]]},
    }


def _comparison(one: Document) -> Document:
    from robustbench_aig.statistics import (  # noqa: PLC0415 - slow, and for old reports alone
        EQUIVALENCE_CONFIDENCE,
        equivalence_of,
        paired_interval,
    )

    if one["p_value"] is None:
        return one
    counts = round(one["only_gated"]), round(one["only_plain"]), one["n"]
    found, within = paired_interval(*counts), paired_interval(*counts, confidence=EQUIVALENCE_CONFIDENCE)
    said = equivalence_of(within, differs=found.excludes(0)) if one.get("equivalence") else None
    return one | {"low": found.low, "high": found.high, "equivalence": said}


def _step(one: Document) -> Document:
    from robustbench_aig.statistics import LEVEL, Interval  # noqa: PLC0415 - as above

    chance = one["p_value"] is not None and one["p_value"] >= LEVEL
    if not chance or not Interval(one["low"], one["high"]).excludes(0):
        return one
    return one | {"low": min(one["low"], 0.0), "high": max(one["high"], 0.0)}


def _model(model: Document) -> Document:
    said = model.get("training", {})
    return model | {
        "gates": [_gate(gate) for gate in model.get("gates", [])],
        "defence": _defence(model.get("defence")),
        "training": _training(said) if said.keys() >= {"data", "epochs", "seed"} else None,
        "imported": said.get("imported"),
    }


def _gate(gate: Document) -> Document:
    found = _GATE.fullmatch(gate["name"])
    return gate | {"stage": int(found[1]) if found else None}


def _defence(said: str | None) -> Document | None:
    if said is None:
        return None
    found = _read(_DEFENCE, said)
    return {"kind": found[1], "quality": int(found[2])}


def _training(said: Document) -> Document:
    return {
        "data": said["data"],
        "preset": said.get("preset"),
        "epochs": said["epochs"],
        "adversarial": _adversarial(said.get("adversarial")),
        "initial": {"run": said["initial weights"]} if "initial weights" in said else None,
        "seed": said["seed"],
        "validation_accuracy": said.get("validation accuracy", {}),
        "test_accuracy": said.get("test accuracy", {}),
        "test_rates": said.get("mean execution rate, test", {}),
        "speed": said["images per second"] | {"on": said["trained on"]} if "images per second" in said else None,
    }


def _adversarial(said: str | None) -> Document | None:
    if said is None:
        return None
    found = _read(_ADVERSARIAL, said)
    threat = Threat.parse(found["eps"], found["norm"])
    return {
        "method": found["method"],
        "threat": {"norm": threat.norm, "eps": threat.eps, "value": threat.value},
        "best_epoch": None if found["epoch"] in {None, "None"} else int(found["epoch"]),
    }


def _read(words: re.Pattern[str], said: str) -> re.Match[str]:
    """A network whose defence or training was overlooked would be compared with others than its like."""
    found = words.fullmatch(said)
    if found is None:
        raise RunError(f"version 1 never said '{said}' of a network: the file is damaged; attack again")
    return found
