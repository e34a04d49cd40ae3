"""A small inspection out of plain Python: what the measuring side would have found."""

from __future__ import annotations

import numpy as np

from robustbench_aig.inspection_record import ClassUse, GateUse, History, ImageUse, Inspection, Lesion
from robustbench_aig.records import Accuracy, DataRecord, GateRecord, ModelRecord
from robustbench_aig.reporting.pictures import Pixels
from robustbench_aig.statistics import wilson
from tests.reporting.synthetic import trained

GATES = [f"{stage}.{block}" for stage in (1, 2, 3) for block in (1, 2, 3)]
GATE_RECORDS = [GateRecord(name=name, stage=1 + at // 3, macs=800, target=0.6) for at, name in enumerate(GATES)]
PER_CLASS = 20


def accuracy(count: int, n: int) -> Accuracy:
    low, high = wilson(count, n)
    return Accuracy(value=count / n, low=low, high=high, n=n, draws=1, count=count, interval="wilson")


def class_use(label: str, position: int, rng: np.random.Generator) -> ClassUse:
    executed = rng.random((PER_CLASS, len(GATES))) < 0.3 + 0.05 * (position % 10)
    executed[:, 0] = True
    executed[:, 4] = False
    order = np.argsort(executed.sum(1), kind="stable")
    uses = [
        ImageUse(
            image=PER_CLASS * position + int(row),
            blocks=int(executed[row].sum()),
            open_probability=float(executed[row].sum()) - 0.25,
            executed=executed[row].tolist(),
            prediction=label if row else "other",
            correct=bool(row),
        )
        for row in order
    ]
    return ClassUse(
        label=label,
        n=PER_CLASS,
        rates=executed.mean(0).tolist(),
        histogram=np.bincount(executed.sum(1), minlength=len(GATES) + 1).tolist(),
        fewest=uses[:3],
        most=uses[:-4:-1],
    )


def gate_use(classes: list[str], history: int) -> GateUse:
    rng = np.random.default_rng(0)
    per_class = [class_use(label, position, rng) for position, label in enumerate(classes)]
    epochs = list(range(1, history + 1))
    return GateUse(
        rates=np.mean([c.rates for c in per_class], 0).tolist(),
        histogram=np.sum([c.histogram for c in per_class], 0).tolist(),
        per_class=per_class,
        history=History(policy="argmax", epochs=epochs, rates=rng.random((history, 9)).tolist()) if history else None,
    )


def inspection(*, classes: int = 10, history: int = 12, gated: bool = True) -> Inspection:
    """Of a network with nine blocks; gate 1.1 is always open, gate 2.2 always closed."""
    names = [f"class {number}" for number in range(classes)]
    n = PER_CLASS * classes
    lesions = [
        Lesion(
            block=name,
            transition=name in {"2.1", "3.1"},
            accuracy=accuracy(n * 9 // 10 - 3 * index, n),
            difference=-3 * index / n,
            lost=3 * index + 1,
            gained=1,
            p_value=1.0 if index < 2 else 0.0004,
        )
        for index, name in enumerate(GATES)
    ]
    return Inspection(
        created="2026-11-24T05:00:00+00:00",
        command="aigrob inspect made",
        seed=0,
        environment={"python": "3.11.7", "torch": "2.9.0"},
        data=DataRecord(
            name="photos", split="test", n=n, available=2 * n, shape=(3, 32, 32), classes=names, digest="ab12" * 16
        ),
        model=ModelRecord(
            name="made",
            recipe="test/made",
            family="gated" if gated else "plain",
            parameters=70_000,
            total_macs=9000,
            gates=[GateRecord(name=name, stage=1 + at // 3, macs=800, target=0.6) for at, name in enumerate(GATES)]
            if gated
            else [],
            weights_digest="cd34" * 16,
            training=trained(),
        ),
        policy="argmax" if gated else "none",
        accuracy=accuracy(n * 9 // 10, n),
        lesions=lesions,
        gates=gate_use(names, history) if gated else None,
    )


def pixels(of: Inspection, side: int = 32) -> dict[int, Pixels]:
    """Noise, which compresses worse than any photo, for every image that is told by name."""
    rng = np.random.default_rng(0)
    classes = of.gates.per_class if of.gates else []
    images = sorted({use.image for c in classes for use in [*c.fewest, *c.most]})
    return {image: rng.random((3, side, side), dtype=np.float32) for image in images}
