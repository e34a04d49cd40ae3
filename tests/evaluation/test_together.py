"""Processes wait for the one that is late, and not for one that has ended."""

import multiprocessing
import os
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from robustbench_aig.distributed import World
from robustbench_aig.errors import RunError
from robustbench_aig.evaluation import Together
from tests.evaluation.conftest import evaluator, make

LATE = 1.0


def meet(rank: int, folder: Path) -> None:
    """Rank 1 is late for the first meeting and dead before the second; rank 0 leaves what it saw."""
    dist.init_process_group(
        "gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    together = Together(World(rank, 2))
    together.wait()
    start = time.monotonic()
    if rank == 1:
        time.sleep(LATE)
    together.wait()
    if rank == 1:
        time.sleep(LATE)
        os._exit(0)
    waited = time.monotonic() - start
    try:
        together.wait()
    except RunError as error:
        (folder / "seen").write_text(f"{waited}\n{error}")
    os._exit(0)


def test_two_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=meet, args=(rank, tmp_path), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    until = time.monotonic() + 120
    for process in processes:
        process.join(until - time.monotonic())
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0, 0]
    waited, message = (tmp_path / "seen").read_text().splitlines()
    assert float(waited) > 0.9 * LATE
    assert "another process of this evaluation has ended" in message


def test_one_process_waits_for_nobody() -> None:
    together = Together()
    together.wait()
    assert together.all_here()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(("chunk", "chunks"), [(25, 1), (10, 3), (4, 7)])
def test_every_chunk_is_somebodys_and_a_cascade_finds_its_rows(
    size: int, chunk: int, chunks: int, tmp_path: Path
) -> None:
    """A chunk of a (model, policy) is the same process's in all its evaluations, and no process has much more."""
    plan = make(chunk=chunk)
    owners: dict[tuple[str, str, int], set[int]] = {}
    done = Counter[tuple[str, int]]()
    loads = []
    for rank in range(size):
        one = evaluator(tmp_path, plan)
        one.together.world = World(rank, size)
        mine = list(one._mine())
        loads.append(len(mine))
        for evaluation, number in mine:
            owners.setdefault((evaluation.model, evaluation.policy, number), set()).add(rank)
            done[evaluation.id, number] += 1
    assert set(done.values()) == {1}
    assert len(done) == chunks * len(plan.evaluations)
    assert {len(ranks) for ranks in owners.values()} == {1}
    assert max(loads) - min(loads) <= len(plan.evaluations) // 3
