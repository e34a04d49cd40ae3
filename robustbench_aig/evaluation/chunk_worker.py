"""One chunk of one evaluation: attack what is left of it, judge, and put it into rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import torch
from torch import Tensor

from robustbench_aig.attacks import Attack, run_attack
from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.corruptions.names import Corruption
from robustbench_aig.corruptions.pixels import corrupt
from robustbench_aig.evaluation.chunk_rows import make_rows, skipped_rows
from robustbench_aig.evaluation.chunks import Images
from robustbench_aig.evaluation.judge import Judgement, Subject, judge
from robustbench_aig.evaluation.oom_batches import Measured, in_batches, pick
from robustbench_aig.randomness import Stream, seed_of
from robustbench_aig.records import CorruptionRecord, EvaluationPlan, Plan

_NOT_FINITE = "the model returned NaN or infinite logits"


@dataclass(frozen=True)
class Worked:
    """What came of a chunk.

    Attributes:
        rows: one per image.
        ids: (M,) the images that were not skipped, in their order.
        images: (M, C, H, W) what became of them.
        short: how many of them fit into memory at once, where not all did; else None.
        reason: why images ended as errors; None where none did.
    """

    rows: pa.Table
    ids: Tensor
    images: Tensor
    short: int | None
    reason: str | None


@dataclass(frozen=True)
class Worker:
    """Attacks or corrupts chunks and judges them; what comes out depends on the plan, the chunk and nothing before it.

    Attributes:
        plan: what to measure.
        subjects: (model, policy) to the network under that policy.
        attacks: attack name to the configured attack.
        files: where corrupted images are read from; None to compute them.
    """

    plan: Plan
    subjects: Mapping[tuple[str, str], Subject]
    attacks: Mapping[str, Attack]
    files: CorruptedFiles | None = None
    _clean: dict[tuple[str, str, int], Measured] = field(default_factory=dict)

    def work(self, evaluation: EvaluationPlan, chunk: Images, number: int, lost: Mapping[int, str]) -> Worked:
        """Measure the images of a chunk that aren't lost.

        Args:
            evaluation: which measurement.
            chunk: on the device.
            number: of the chunk.
            lost: the images to skip, each with the attack that it was lost to.
        """
        subject = self.subjects[evaluation.model, evaluation.policy]
        known = chunk.ids.tolist()
        left, skipped = ([i for i, image in enumerate(known) if (image in lost) is gone] for gone in (False, True))
        rows = skipped_rows(
            evaluation,
            chunk=number,
            images=chunk.pick(torch.tensor(skipped, dtype=torch.int64, device=chunk.ids.device)),
            lost_to=[lost[known[i]] for i in skipped],
            draws=subject.scoring(self.plan.draws),
        )
        if not left:
            return Worked(rows, chunk.ids[:0], chunk.pixels[:0], None, None)
        index = torch.tensor(left, device=chunk.ids.device)
        images, clean = chunk.pick(index), self._judge_clean(subject, chunk, number)
        if evaluation.role == "clean":  # which skips none, so that these are the whole chunk
            measured = replace(clean, images=images.pixels)
        else:
            measured = self._measure(evaluation, subject, images, number)
        made = make_rows(evaluation, chunk=number, images=images, clean=pick(clean.judged, index), measured=measured)
        at_once = int(measured.batch.max())
        return Worked(
            rows=pa.concat_tables([made, rows]),
            ids=images.ids,
            images=measured.images,
            short=at_once if at_once < len(images) else None,
            reason=measured.reason or (None if bool(measured.judged.finite.all()) else _NOT_FINITE),
        )

    def _measure(self, evaluation: EvaluationPlan, subject: Subject, images: Images, number: int) -> Measured:
        corruption = evaluation.corruption
        return in_batches(
            len(images),
            lambda part: (
                self._attack(evaluation, subject, images.pick(part), (number, part.start))
                if corruption is None
                else self._corrupt(corruption, subject, images.pick(part))
            ),
            lambda part, reason: self._lacking_memory(subject, images.pick(part), reason),
        )

    def _corrupt(self, corruption: CorruptionRecord, subject: Subject, batch: Images) -> Measured:
        """Judge the corrupted versions of images; what is random in them is the same at all severities."""
        what = Corruption(corruption.name, corruption.severity)
        if self.files is None:
            images = corrupt(batch.pixels, what, Stream.of(batch.ids, self.plan.seed, "corruption", corruption.name))
        else:
            images = self.files.images(what, batch.ids)
        return Measured.of(images, self._judge(subject, images, batch))

    def _attack(
        self, evaluation: EvaluationPlan, subject: Subject, batch: Images, place: tuple[int, int]
    ) -> Measured | str:
        """Attack and judge images at once; what was said about the memory where it didn't suffice.

        Args:
            evaluation: which measurement.
            subject: the network under its policy.
            batch: the images.
            place: their chunk, and the position in it of the first one.
        """
        threat = evaluation.threat
        assert threat is not None
        attack = self.attacks[evaluation.attack]
        what = (self.plan.seed, evaluation.attack, threat.key)
        noise = Stream.of(batch.ids, "gates", *what) if attack.own_noise else None
        attacked = run_attack(
            attack,
            subject.model,
            subject.deployed(noise),
            batch.pixels,
            batch.labels,
            threat,
            stream=Stream.of(batch.ids, "attack", *what),
            # Foreign attacks draw per batch: one of its own for every part of a chunk that was too large.
            seed=seed_of("foreign", *what, *(place if place[1] else place[:1])),
            copy=subject.copy if attack.provider == "aigrob" and not attack.exact else subject.exact,
            exact=subject.exact,
            routes=subject.routes,
            costs=None if subject.profile.unknown else subject.profile.costs(batch.pixels.device),
        )
        if attacked.lacked_memory:
            assert attacked.reason is not None
            return attacked.reason
        return Measured.of(
            attacked.images,
            self._judge(subject, attacked.images, batch),
            failed=attacked.failed,
            passes=(attacked.forwards, attacked.backwards),
            reason=attacked.reason,
        )

    def _judge_clean(self, subject: Subject, chunk: Images, number: int) -> Measured:
        """The clean images of a whole chunk, judged once for all evaluations of the subject; without their pixels."""
        key = (subject.name, subject.policy, number)
        if key not in self._clean:
            measured = in_batches(
                len(chunk),
                lambda part: Measured.of(
                    chunk.pixels[part], self._judge(subject, chunk.pixels[part], chunk.pick(part))
                ),
                lambda part, reason: self._lacking_memory(subject, chunk.pick(part), reason),
            )
            # All chunks' would take as much of the device as the whole set of images.
            self._clean[key] = replace(measured, images=measured.images[:0].clone())
        return self._clean[key]

    def _judge(self, subject: Subject, images: Tensor, of: Images) -> Judgement:
        return judge(subject, images, of.labels, ids=of.ids, seed=self.plan.seed, draws=self.plan.draws)

    def _lacking_memory(self, subject: Subject, images: Images, reason: str) -> Measured:
        return Measured.lacking_memory(images.pixels, subject, self.plan.draws, reason)
