"""The forecast of an evaluation: attacks that cost differently are weighed, resumed work is not, gaps are told."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from robustbench_aig.cli.forecast import Forecast
from robustbench_aig.cli.progress import count_images
from robustbench_aig.evaluation import ChunkDone, Together
from robustbench_aig.records import EvaluationPlan, Plan
from tests.evaluation.conftest import COUNT, make

COST = {"clean": 0.01, "fgsm": 0.1, "pgd-torchattacks": 4.0, "corners": 0.02}
"""Seconds per image of the plain network; the gated one costs twice as much."""


def cost(e: EvaluationPlan) -> float:
    return COST[e.attack] * (1 if e.model == "plain" else 2)


def events(plan: Plan, resumed: int = 0) -> list[ChunkDone]:
    """One per evaluation; so many were there before."""
    total = COUNT * len(plan.evaluations)
    return [
        ChunkDone(e, COUNT, COUNT * (i + 1), total, 0.0 if i < resumed else COUNT * cost(e), resumed=i < resumed)
        for i, e in enumerate(plan.evaluations)
    ]


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("resumed", [0, 5])
def test_time_left_is_that_of_the_attacks_that_are_left(processes: int, resumed: int) -> None:
    plan = make()
    forecast = Forecast(plan.evaluations, COUNT, processes)
    assert forecast.left() == (0, True)
    for index, event in enumerate(events(plan, resumed)):
        forecast.add(event)
        after = plan.evaluations[index + 1 :]
        known = [e for e in plan.evaluations[resumed : index + 1] if e.model == plan.evaluations[-1].model]
        if {(e.attack, e.policy) for e in known} >= {(e.attack, e.policy) for e in after}:
            assert forecast.left().seconds == pytest.approx(COUNT * sum(map(cost, after)) / processes)
            assert not forecast.left().at_least
    assert forecast.left() == (0, False)


def test_what_was_never_measured_makes_it_a_lower_bound() -> None:
    plan = make()
    forecast = Forecast(plan.evaluations, COUNT)
    clean, fgsm = events(plan)[:2]
    forecast.add(clean)
    forecast.add(fgsm)
    fgsms, cleans = ([e for e in plan.evaluations if e.attack == name] for name in ("fgsm", "clean"))
    least = COUNT * (COST["fgsm"] * (len(fgsms) - 1) + COST["clean"] * (len(cleans) - 1))
    assert forecast.left().seconds == pytest.approx(least)
    assert forecast.left().at_least


@dataclass
class Played:
    """An evaluator whose chunks are finished as written."""

    plan: Plan
    chunks: list[ChunkDone]
    together: Together = field(default_factory=Together)

    def __iter__(self) -> Iterator[ChunkDone]:
        return iter(self.chunks)


def test_lines_where_there_is_no_terminal() -> None:
    plan, out = make(), io.StringIO()
    chunks = events(plan, resumed=4)
    chunks[5] = ChunkDone(chunks[5].evaluation, COUNT, chunks[5].done, chunks[5].total, 1.0, short=3, reason="it broke")
    reasons = count_images(Played(plan, chunks), Console(file=out, width=200))  # type: ignore[arg-type]
    lines = out.getvalue().splitlines()
    name = chunks[5].evaluation.id
    assert reasons == [f"{name}: it broke"]
    assert lines[0] == f"{4 * COUNT}/{chunks[0].total} images were done before"
    assert lines[1].startswith(f"{5 * COUNT}/{chunks[0].total}  {chunks[4].evaluation.id}  ")
    assert f"error in {name}: it broke" in lines
    assert sum("at most 3 images" in line for line in lines) == 1
    assert lines[-1].endswith("0:00:00 left")
    assert len(lines) == 1 + len(plan.evaluations) - 4 + 2
