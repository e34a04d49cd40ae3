"""The evaluation itself: chunk by chunk, guard, judge, rows to disk. A generator; progress is the caller's concern."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustbench_aig.attacks import Attack, Attacked, run_attack
from robustbench_aig.evaluation.judge import Judgement, Subject, judge
from robustbench_aig.evaluation.rows import make_rows
from robustbench_aig.evaluation.store import Store
from robustbench_aig.randomness import Stream, seed_of
from robustbench_aig.records import EvaluationPlan, Plan
from robustbench_aig.threat import Threat

KEPT = 64
"""Images per evaluation whose attacked version is stored, unless all are wanted."""


@dataclass(frozen=True)
class Images:
    """The images under evaluation, in the fixed seeded order that chunks are cut from.

    Attributes:
        pixels: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64.
        ids: (N,) int64, position in the test split.
    """

    pixels: Tensor
    labels: Tensor
    ids: Tensor

    def chunk(self, number: int, size: int, device: torch.device) -> Images:
        """One unit of work on a device."""
        part = slice(number * size, (number + 1) * size)
        pixels = self.pixels[part].to(device).contiguous(memory_format=torch.channels_last)
        return Images(pixels, self.labels[part].to(device), self.ids[part].to(device))


@dataclass(frozen=True)
class ChunkDone:
    """A chunk is on disk: images so far and in all, and whether it was there before.

    Attributes:
        evaluation: which measurement.
        done: images finished over the whole plan.
        total: images of the whole plan.
        reason: why images of the chunk ended as errors; None where none did.
        resumed: whether an earlier run had finished the chunk.
    """

    evaluation: EvaluationPlan
    done: int
    total: int
    reason: str | None = None
    resumed: bool = False


@dataclass
class Evaluator:
    """Carries out a plan.

    Attributes:
        plan: what to measure.
        subjects: (model, policy) to the network under that policy.
        attacks: attack name to the configured attack.
        images: in their fixed order.
        store: where finished chunks go.
        device: where the networks are.
        keep: attacked images stored per evaluation, from the front of the order.
    """

    plan: Plan
    subjects: Mapping[tuple[str, str], Subject]
    attacks: Mapping[str, Attack]
    images: Images
    store: Store
    device: torch.device
    keep: int = KEPT
    _clean: dict[tuple[str, str, int], Judgement] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ChunkDone]:
        """Work through the plan, skipping what is on disk already."""
        size, n = self.plan.chunk, len(self.images.ids)
        chunks = -(-n // size)
        total, done = n * len(self.plan.evaluations), 0
        for evaluation in self.plan.evaluations:
            if self.store.finished(evaluation.id):
                done += n
                yield ChunkDone(evaluation, done, total, resumed=True)
                continue
            for number in range(chunks):
                done += min(size, n - number * size)
                if self.store.has(evaluation.id, number):
                    yield ChunkDone(evaluation, done, total, resumed=True)
                    continue
                yield ChunkDone(evaluation, done, total, self._work(evaluation, number))
            self.store.merge(evaluation.id, chunks)
        self.store.close()

    def _work(self, evaluation: EvaluationPlan, number: int) -> str | None:
        """Attack, judge and store one chunk; the reason of a failure, if there was one."""
        start = time.perf_counter()
        subject = self.subjects[evaluation.model, evaluation.policy]
        chunk = self.images.chunk(number, self.plan.chunk, self.device)
        clean = self._judge_clean(subject, chunk, number)
        attacked, images, judged = None, chunk.pixels, clean
        if evaluation.threat is not None:
            attacked = self._attack(evaluation, subject, chunk, number)
            images = attacked.images
            judged = self._judge(subject, images, chunk)
        rows = make_rows(
            evaluation,
            chunk=number,
            ids=chunk.ids,
            labels=chunk.labels,
            images=images,
            clean=clean,
            judged=judged,
            attacked=attacked,
            clean_images=chunk.pixels,
        )
        kept = max(0, min(len(chunk.ids), self.keep - number * self.plan.chunk))
        pictures = {"ids": chunk.ids[:kept].cpu(), "images": images[:kept].cpu().contiguous()}
        self.store.write(evaluation.id, number, rows, pictures)
        self.store.add_time(evaluation.id, time.perf_counter() - start)
        if attacked is not None and attacked.reason:
            return attacked.reason
        return None if bool(judged.finite.all()) else "the model returned NaN or infinite logits"

    def _attack(self, evaluation: EvaluationPlan, subject: Subject, chunk: Images, number: int) -> Attacked:
        assert evaluation.threat is not None
        threat = Threat.parse(evaluation.threat.eps, evaluation.threat.norm)
        attack = self.attacks[evaluation.attack]
        what = (self.plan.seed, evaluation.attack, threat.key)
        noise = Stream.of(chunk.ids, "gates", *what) if attack.own_noise else None
        return run_attack(
            attack,
            subject.model,
            subject.deployed(noise),
            chunk.pixels,
            chunk.labels,
            threat,
            stream=Stream.of(chunk.ids, "attack", *what),
            seed=seed_of("foreign", *what, number),
        )

    def _judge(self, subject: Subject, images: Tensor, chunk: Images) -> Judgement:
        return judge(subject, images, chunk.labels, ids=chunk.ids, seed=self.plan.seed, draws=self.plan.draws)

    def _judge_clean(self, subject: Subject, chunk: Images, number: int) -> Judgement:
        key = (subject.name, subject.policy, number)
        if key not in self._clean:
            self._clean[key] = self._judge(subject, chunk.pixels, chunk)
        return self._clean[key]
