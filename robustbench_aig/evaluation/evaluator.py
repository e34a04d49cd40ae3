"""The evaluation itself: chunk by chunk, guard, judge, rows to disk. A generator; progress is the caller's concern."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from robustbench_aig.attacks import Attack
from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.errors import RunError
from robustbench_aig.evaluation.cascade import lost_before
from robustbench_aig.evaluation.chunk_files import Effort
from robustbench_aig.evaluation.chunk_worker import Worker
from robustbench_aig.evaluation.chunks import Images
from robustbench_aig.evaluation.judge import Subject
from robustbench_aig.evaluation.ledger import ChunkDone, Ledger
from robustbench_aig.evaluation.process_group import Together
from robustbench_aig.evaluation.store import Store
from robustbench_aig.precision import float32
from robustbench_aig.records import EvaluationPlan, Plan

KEPT = 64
"""Images per evaluation whose attacked version is stored, unless all are wanted; corrupted ones can be made again."""

_PATIENCE = 300
"""Seconds in which what other processes have written must become visible on a shared file system."""


@dataclass
class Evaluator:
    """Carries out a plan, alone or together with other processes.

    A chunk belongs to one process, in all evaluations of a (model, policy): that decides nothing of its numbers.

    Attributes:
        plan: what to measure.
        subjects: (model, policy) to the network under that policy.
        attacks: attack name to the configured attack.
        images: in their fixed order.
        store: where finished chunks go; opened.
        device: where the networks are.
        keep: attacked images stored per evaluation, from the front of the order.
        together: the processes that share the chunks.
        files: where corrupted images are read from; None to compute them.
    """

    plan: Plan
    subjects: Mapping[tuple[str, str], Subject]
    attacks: Mapping[str, Attack]
    images: Images
    store: Store
    device: torch.device
    keep: int = KEPT
    together: Together = field(default_factory=Together)
    files: CorruptedFiles | None = None

    def __post_init__(self) -> None:
        self._worker = Worker(self.plan, self.subjects, self.attacks, self.files)

    def __iter__(self) -> Iterator[ChunkDone]:
        """Work through this process's part of the plan, skipping what is on disk already.

        The leader is told of every chunk, whoever did it, and ends when all is merged; the others, which are told
        nothing, end when all are done.

        Raises:
            RunError: another process has ended, or writes where this one doesn't see it.
        """
        if not self.together.world.leads:
            for evaluation, number in self._mine():
                self._work(evaluation, number)
            self.together.wait()
            return
        ledger = Ledger(self.plan, self.store)
        yield from ledger.collect(resumed=True)
        for evaluation, number in self._mine():
            self._work(evaluation, number)
            yield from ledger.collect()
        yield from self._await_others(ledger)
        self.store.close()

    def _mine(self) -> Iterator[tuple[EvaluationPlan, int]]:
        """The chunks that this process has to do, evaluation by evaluation."""
        world, chunks = self.together.world, -(-len(self.images) // self.plan.chunk)
        places = {subject: place for place, subject in enumerate(self.subjects)}
        for evaluation in self.plan.evaluations:
            # Counted on from subject to subject, so that no process has more than one chunk more than another.
            first = (world.rank - chunks * places[evaluation.model, evaluation.policy]) % world.size
            for number in range(first, chunks, world.size):
                if not self.store.has(evaluation.id, number):
                    yield evaluation, number

    def _await_others(self, ledger: Ledger) -> Iterator[ChunkDone]:
        self.together.arrive()
        while not self.together.all_here():
            yield from ledger.collect()
        until = time.monotonic() + _PATIENCE
        yield from ledger.collect()
        while not ledger.complete:
            if time.monotonic() > until:
                raise RunError(
                    f"{self.store.directory} lacks what other processes have written: --out must name a folder that "
                    "all machines share"
                )
            time.sleep(1)
            yield from ledger.collect()

    @float32()
    def _work(self, evaluation: EvaluationPlan, number: int) -> None:
        """Attack, judge and store one chunk."""
        start = time.perf_counter()
        chunk = self.images.chunk(number, self.plan.chunk, self.device)
        lost = lost_before(evaluation, number, self.plan, self.store)
        worked = self._worker.work(evaluation, chunk, number, lost)
        front = self.images.ids[number * self.plan.chunk : 0 if evaluation.corruption else self.keep]
        kept = int(torch.isin(worked.ids.cpu(), front).sum())
        pictures = {"ids": worked.ids[:kept].cpu(), "images": worked.images[:kept].cpu().contiguous()}
        effort = Effort(time.perf_counter() - start, worked.short, worked.reason)
        self.store.write(evaluation.id, number, worked.rows, pictures, effort)
