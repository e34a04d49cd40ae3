"""A small evaluation: a plain and a gated network, three attacks, two epsilons, 25 images in chunks of 10."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from robustbench_aig.attacks import Attack, build_attack
from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.evaluation import Evaluator, Images, Store, Subject, make_plan, plan_evaluations
from robustbench_aig.models import profile_macs
from robustbench_aig.records import CorruptionRecord, DataRecord, GateRecord, ModelRecord, Plan
from robustbench_aig.threat import Threat
from robustbench_aig.zoo import find_attack
from tests.networks import gated, images, plain
from tests.sharing import shared

COUNT, CHUNK, DRAWS = 25, 10, 4
SHAPE = (3, 12, 12)


def subjects() -> dict[tuple[str, str], Subject]:
    networks = {"plain": plain(8), "gated": gated(8)}
    pairs = [("plain", "none"), ("gated", "argmax"), ("gated", "sampled")]
    return {(n, p): Subject(n, networks[n], profile_macs(networks[n], SHAPE), p) for n, p in pairs}


def model_records() -> list[tuple[ModelRecord, Sequence[str]]]:
    known = {name: subject for (name, _), subject in subjects().items()}
    records: list[tuple[ModelRecord, Sequence[str]]] = []
    for name, policies in (("plain", ["none"]), ("gated", ["argmax", "sampled"])):
        profile = known[name].profile
        record = ModelRecord(
            name=name,
            recipe=f"test/{name}",
            family="gated" if profile.blocks else "plain",
            parameters=1,
            total_macs=profile.total,
            gates=[GateRecord(name=f"{i + 1}.1", macs=m) for i, m in enumerate(profile.blocks)],
            weights_digest="0",
        )
        records.append((record, policies))
    return records


def make(
    attacks: Sequence[str] = ("fgsm", "pgd-torchattacks", "corners"),
    chunk: int = CHUNK,
    seed: int = 0,
    *,
    eps: Sequence[str] = ("2/255", "8/255"),
    cascade: bool = False,
    corruptions: Sequence[CorruptionRecord] = (),
) -> Plan:
    models = model_records()
    threats = [Threat.parse(text) for text in eps]
    return make_plan(
        data=DataRecord(
            name="made",
            split="test",
            n=COUNT,
            available=COUNT,
            shape=SHAPE,
            classes=[str(i) for i in range(10)],
            digest="0",
        ),
        models=[record for record, _ in models],
        evaluations=plan_evaluations(models, [find_attack(name) for name in attacks], threats, corruptions),
        seed=seed,
        chunk=chunk,
        draws=DRAWS,
        command="test",
        environment={},
        cascade=cascade,
    )


def evaluator(
    directory: Path,
    plan: Plan,
    attacks: dict[str, Attack] | None = None,
    keep: int = 64,
    of: Images | None = None,
    networks: dict[tuple[str, str], Subject] | None = None,
    files: CorruptedFiles | None = None,
) -> Evaluator:
    names = {e.attack for e in plan.evaluations if e.threat}
    built = {name: build_attack(find_attack(name)[1].attack) for name in names}
    store = Store(directory)
    store.open(plan, resume=True)
    return Evaluator(
        plan,
        networks or subjects(),
        attacks or built,
        of or Images(*images(COUNT)),
        store,
        torch.device("cpu"),
        keep,
        files=files,
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with shared(tmp_path_factory, "finished", lambda directory: list(evaluator(directory, make()))) as directory:
        yield directory


def table(directory: Path, evaluation: str) -> list[dict[str, Any]]:
    """The rows of a finished evaluation."""
    rows: list[dict[str, Any]] = pq.read_table(directory / "samples" / f"{evaluation}.parquet").to_pylist()
    return rows


def contents(directory: Path) -> dict[str, bytes]:
    """Every file that must not depend on how the work was cut or interrupted."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for folder in ("samples", "images")
        for path in sorted((directory / folder).iterdir())
    }
