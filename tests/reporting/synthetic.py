"""A small report directory out of seeded random numbers: what the attack side would have written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save_file

from robustbench_aig.records import (
    AdversarialRecord,
    CorruptionRecord,
    DataRecord,
    EvaluationPlan,
    GateRecord,
    ModelRecord,
    Plan,
    Role,
    TrainingRecord,
)
from robustbench_aig.sample_table import ROW
from robustbench_aig.threat import Threat

N, CLASSES, GATES, DRAWS, SIZE = 60, 5, 9, 10, 8
BLOCK_MACS, FIXED_MACS = 1000, 2000
TOTAL_MACS = FIXED_MACS + GATES * BLOCK_MACS
EPSILONS = ("4/255", "8/255")
MODELS = (("resnet-digits", "none"), ("aig-digits", "argmax"), ("aig-digits", "sampled"))
ATTACKS: tuple[tuple[str, Role], ...] = (("fgsm", "attack"), ("pgd", "attack"), ("corners", "control"))

_TEMPLATES = np.random.default_rng(2).random((CLASSES, GATES))

Row = dict[str, Any]


@dataclass
class Study:
    """A plan and the rows of its evaluations, to be changed by a test before they are written."""

    plan: Plan
    rows: dict[str, list[Row]]

    def write(self, directory: Path, *, images: bool = True) -> Path:
        """Write all files of a report directory and return it."""
        (directory / "samples").mkdir(parents=True, exist_ok=True)
        (directory / "plan.json").write_text(self.plan.model_dump_json(indent=1))
        for name, rows in self.rows.items():
            pq.write_table(pa.Table.from_pylist(rows, schema=ROW), directory / "samples" / f"{name}.parquet")
        seconds = {name: 1.5 + index for index, name in enumerate(self.rows)}
        (directory / "times.json").write_text(json.dumps(seconds))
        if images:
            self._write_images(directory / "images")
        return directory

    def _write_images(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(7)
        ids = np.sort(rng.choice(N, 20, replace=False)).astype(np.int64)
        clean = rng.random((20, 1, SIZE, SIZE), dtype=np.float32)
        for e in self.plan.evaluations:
            change = rng.choice([-1.0, 1.0], clean.shape) * (e.threat.value if e.threat else 0.0)
            pixels = np.clip(clean + change, 0, 1).astype(np.float32)
            save_file({"ids": ids, "images": pixels}, folder / f"{e.id}.safetensors")


def threat(eps: str) -> Threat:
    return Threat.parse(eps)


def evaluation(model: str, policy: str, attack: str, role: Role, eps: str | None) -> EvaluationPlan:
    return EvaluationPlan(
        id=f"{model}-{policy}-{attack.replace(':', '-')}-{eps.replace('/', '_') if eps else 'none'}",
        model=model,
        policy=policy,
        attack=attack,
        role=role,
        provider="aigrob",
        provider_version="0.1.0",
        settings={} if role == "clean" else {"algorithm": attack, "steps": 20 if attack == "pgd" else 1},
        threat=threat(eps) if eps else None,
    )


def trained(seed: int = 0, *, hardened: bool = False, best_epoch: int = 3) -> TrainingRecord:
    """Thirty epochs, of single-step adversarial training where `hardened`."""
    attacked = AdversarialRecord(method="fast", threat=threat("8/255"), best_epoch=best_epoch) if hardened else None
    return TrainingRecord(
        data="digits", epochs=30, seed=seed, adversarial=attacked, validation_accuracy={}, test_accuracy={}
    )


def make_plan() -> Plan:
    gates = [
        GateRecord(name=f"{s}.{b}", stage=s, macs=BLOCK_MACS, target=0.7, transition=b == 1 and s > 1)
        for s in (1, 2, 3)
        for b in (1, 2, 3)
    ]
    evaluations = [
        evaluation(model, policy, attack, role, eps)
        for model, policy in MODELS
        for attack, role, eps in [
            ("clean", "clean", None),
            *((attack, role, eps) for eps in EPSILONS for attack, role in ATTACKS),
        ]
    ]
    return Plan(
        created="2026-11-24T05:00:00Z",
        command="aigrob attack aig-digits resnet-digits --eps 4/255 --eps 8/255",
        seed=3,
        digest="5f0c" * 16,
        chunk=20,
        draws=DRAWS,
        environment={"python": "3.11.7", "torch": "2.9.0", "platform": "Linux x86_64", "device": "cpu"},
        data=DataRecord(
            name="digits",
            split="test",
            n=N,
            available=360,
            shape=(1, SIZE, SIZE),
            classes=["zero", "one", "two", "three", "four"],
            digest="ab12" * 16,
        ),
        models=[
            ModelRecord(
                name="resnet-digits",
                recipe="digits/resnet",
                family="plain",
                parameters=70_000,
                total_macs=TOTAL_MACS,
                weights_digest="cd34" * 16,
                training=trained(),
            ),
            ModelRecord(
                name="aig-digits",
                recipe="digits/aig",
                family="gated",
                parameters=74_000,
                total_macs=TOTAL_MACS,
                gates=gates,
                weights_digest="ef56" * 16,
                training=trained(),
            ),
        ],
        evaluations=evaluations,
    )


def make_study(seed: int = 0) -> Study:
    return Study(make_plan(), {name: [dict(row) for row in rows] for name, rows in _rows_of_plan(seed).items()})


@cache
def _rows_of_plan(seed: int) -> dict[str, list[Row]]:
    rng = np.random.default_rng(seed)
    return {e.id: _rows(e, rng) for e in make_plan().evaluations}


def repeated(study: Study, times: int) -> Study:
    """The same study on several times as many images, its rows over and over: enough for claims to say something."""
    data = study.plan.data.model_copy(update={"n": times * N, "available": times * study.plan.data.available})
    rows = {}
    for name, mine in study.rows.items():
        places = [(row, row["image"] + N * time) for time in range(times) for row in mine]
        rows[name] = [row | {"image": image, "chunk": image // 20} for row, image in places]
    return Study(study.plan.model_copy(update={"data": data}), rows)


def with_many_attacks(study: Study) -> Study:
    """The same study and FGSM eleven times more, under names as long as they get."""
    many, rows = list(study.plan.evaluations), dict(study.rows)
    for count in range(11):
        for e in study.plan.evaluations:
            if e.attack == "fgsm" and e.threat:
                name = f"fgsm:steps={count},gates=straight-through,gates.draws=20,keep=best,objective.weight=0.01"
                again = evaluation(e.model, e.policy, name, "attack", e.threat.eps)
                again = again.model_copy(update={"id": f"{e.id}-{count}"})
                many.append(again)
                rows[again.id] = [row | {"attack": name} for row in study.rows[e.id]]
    return Study(study.plan.model_copy(update={"evaluations": many}), rows)


def with_seeds(study: Study, seeds: int) -> Study:
    """Several trainings of each network, against an adversary of 8/255, with rows of their own."""
    rng, plan = np.random.default_rng(6), study.plan
    models = [
        m.model_copy(update={"name": f"{m.name}-s{seed}", "training": trained(seed, hardened=True)})
        for seed in range(seeds)
        for m in plan.models
    ]
    planned = [
        e.model_copy(update={"model": f"{e.model}-s{seed}", "id": f"{e.id}-s{seed}"})
        for seed in range(seeds)
        for e in plan.evaluations
    ]
    changed = plan.model_copy(update={"models": models, "evaluations": planned})
    return Study(changed, {e.id: _rows(e, rng) for e in planned})


def corrupted(
    study: Study, kinds: Mapping[str, Sequence[int]], *, alone: bool = False, source: str = "computed"
) -> Study:
    """The same study under corruptions, names to severities, beside its attacks or instead of them."""
    rng = np.random.default_rng(5)
    planned: list[EvaluationPlan] = []
    for model, policy in MODELS:
        mine = [e for e in study.plan.evaluations if (e.model, e.policy) == (model, policy)]
        planned += [e for e in mine if e.role == "clean" or not alone]
        for name, severities in kinds.items():
            for severity in severities:
                e = evaluation(model, policy, f"{name}:{severity}", "corruption", None)
                record = CorruptionRecord(name=name, severity=severity, source=source)
                planned.append(e.model_copy(update={"corruption": record, "settings": {}}))
    rows = {e.id: study.rows.get(e.id) or _rows(e, rng) for e in planned}
    return Study(study.plan.model_copy(update={"evaluations": planned}), rows)


def _rows(e: EvaluationPlan, rng: np.random.Generator) -> list[Row]:
    strength = {"clean": 0.0, "corners": 0.15, "permuted": 0.12, "fgsm": 0.5, "pgd": 0.7}.get(e.attack, 0.0)
    strength *= (e.threat.value * 255 / 8) ** 0.5 if e.threat else 0.0
    strength += 0.1 * e.corruption.severity if e.corruption else 0.0
    ease = np.clip(np.random.default_rng(1).normal(1.0, 0.25, N) - strength, 0.02, 0.97)
    gated, draws = e.policy != "none", DRAWS if e.policy == "sampled" else 1
    return [_row(index, e, float(ease[index]), draws, gated, strength, rng) for index in range(N)]


def _row(
    index: int,
    e: EvaluationPlan,
    ease: float,
    draws: int,
    gated: bool,
    strength: float,
    rng: np.random.Generator,
) -> Row:
    label = index % CLASSES
    correct = int(rng.binomial(draws, ease))
    choice = correct if draws == 1 else int(rng.binomial(draws, ease))
    prediction = label if 2 * correct > draws else (label + 1) % CLASSES
    p_clean, uniform = _unattacked(e, index, label) if gated else (np.zeros(0), np.zeros(0))
    towards = (_TEMPLATES[prediction] - _TEMPLATES[label])[: p_clean.size]
    p_adv = _probability(p_clean + strength * (0.5 * towards + rng.normal(0, 0.3, p_clean.size)))
    before, after = uniform < p_clean, uniform < p_adv
    noise = 0.0 if draws == 1 else 0.02
    mean_p, choice_p = (_probability(p_adv + rng.normal(0, noise, p_adv.size)) for _ in range(2))
    size = e.threat.value if e.threat else 0.0
    passes = {"fgsm": 1, "pgd": 20}.get(e.attack, 0)
    return {
        "image": index,
        "label": label,
        "model": e.model,
        "policy": e.policy,
        "attack": e.attack,
        "threat": str(e.threat or e.corruption or "none"),
        "chunk": index // 20,
        "status": "ok",
        "lost_to": None,
        "prediction": prediction,
        "margin": ease - 0.5 + float(rng.normal(0, 0.1)),
        "linf": size,
        "l2": size * SIZE,
        "draws": draws,
        "correct_draws": correct,
        "choice_draws": draws,
        "choice_correct": choice,
        "choice_margin": ease - 0.5 + float(rng.normal(0, 0.1)),
        "gates_clean": _pack(before),
        "gates_adv": _pack(after),
        "p_clean": p_clean,
        "p_adv": p_adv,
        "mean_p_adv": mean_p,
        "choice_p_adv": choice_p,
        "macs_clean": _macs(before, gated),
        "macs_adv": _macs(after, gated),
        "forwards": float(passes),
        "backwards": float(passes),
        "batch": 20,
    }


def _unattacked(e: EvaluationPlan, index: int, label: int) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
    """Open probabilities of the image itself, and the noise of its decisions: the same in every evaluation."""
    rng = np.random.default_rng([index, *f"{e.model} {e.policy}".encode()])
    return _probability(_TEMPLATES[label] + rng.normal(0, 0.1, GATES)), rng.random(GATES)


def _probability(p: NDArray[np.floating[Any]]) -> NDArray[np.float16]:
    return np.asarray(np.clip(p, 0, 1), np.float16)


def _pack(decisions: NDArray[np.bool_]) -> bytes:
    return np.packbits(decisions).tobytes()


def _macs(decisions: NDArray[np.bool_], gated: bool) -> float:
    return float(FIXED_MACS + BLOCK_MACS * (decisions.sum() if gated else GATES))


def fail(row: Row) -> None:
    """Turn a row into what a crashed attack leaves behind."""
    _empty(row, "error", None)


def skip(row: Row, lost_to: str) -> None:
    """Turn a row into that of an image which a cascade left out."""
    _empty(row, "skipped", lost_to)
    row.update(forwards=0.0, backwards=0.0, batch=0)


def cascaded(study: Study) -> Study:
    """The same study as a cascade: what no choosing draw gets right is skipped by the attacks that come later."""
    lost: dict[tuple[str, str, Threat | None], dict[int, str]] = {}
    clean: dict[tuple[str, str], dict[int, str]] = {}
    for e in study.plan.evaluations:
        if e.role == "control":
            continue
        first = clean.setdefault((e.model, e.policy), {})
        gone = first if e.role == "clean" else lost.setdefault((e.model, e.policy, e.threat), dict(first))
        for row in study.rows[e.id]:
            if e.role == "attack" and row["image"] in gone:
                skip(row, gone[row["image"]])
            elif row["choice_correct"] == 0:
                gone.setdefault(row["image"], e.attack)
    return Study(study.plan.model_copy(update={"cascade": True}), study.rows)


def _empty(row: Row, status: str, lost_to: str | None) -> None:
    row.update(
        status=status,
        lost_to=lost_to,
        prediction=-1,
        margin=float("nan"),
        linf=float("nan"),
        l2=float("nan"),
        correct_draws=0,
        choice_correct=0,
        choice_margin=float("nan"),
        gates_clean=b"",
        gates_adv=b"",
        p_clean=np.zeros(0, np.float16),
        p_adv=np.zeros(0, np.float16),
        mean_p_adv=np.zeros(0, np.float16),
        choice_p_adv=np.zeros(0, np.float16),
        macs_clean=float("nan"),
        macs_adv=float("nan"),
    )
