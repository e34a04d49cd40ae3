"""The inspection: which blocks a network executes for which clean images, and what each block is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from torch import Tensor

from robustbench_aig.data import ImageSet
from robustbench_aig.environment import environment
from robustbench_aig.evaluation.judge import Judgement, Subject, judge
from robustbench_aig.evaluation.lesions import accuracy_of, lesion_of, removed
from robustbench_aig.evaluation.subjects import Network
from robustbench_aig.gateshift import dependence_of_network
from robustbench_aig.inspection_record import ClassUse, Factor, GateUse, History, ImageUse, Inspection
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.policy_traits import PLAIN, STOCHASTIC, traits
from robustbench_aig.records import DataRecord, Dependence, ModelRecord
from robustbench_aig.runs import EpochRecord

SHOWN = 3
"""Images per class that are told by name as those that use the fewest, and the most, blocks."""

# As the judge's.
_BATCH = 100
# The middle 90 %: single images at the ends would set a range of minimum and maximum.
_MIDDLE = torch.tensor([0.05, 0.95], dtype=torch.float64)

Progress = Callable[[int, int], None]
"""Told how many images of how many are judged, over all passes."""


def inspect_network(
    network: Network,
    policy: str,
    images: ImageSet,
    *,
    data: DataRecord,
    history: Sequence[EpochRecord],
    seed: int,
    device: torch.device,
    command: str,
    progress: Progress | None = None,
) -> Inspection:
    """Judge the images once with the intact network and once without each of its residual blocks.

    A random policy draws once per image. The draw depends on (seed, image) alone, so that every lesion meets the
    noise that the intact network met.

    Args:
        network: on the device; its weights and hooks are as before afterwards.
        policy: how its gates decide; "none" for a plain network.
        images: at least one.
        data: describes them.
        history: of the training; empty where there is none.
        seed: of the gates' noise.
        device: where to compute.
        command: that was given, for the record.
        progress: told after every batch.
    """
    trained = _history(history, policy) if network.record.family == "gated" else None
    branches = residual_branches(network.model)
    passes = _Passes(network.subject(policy), images, seed, device, 1 + len(branches), progress)
    intact = passes.judge()
    lesions = []
    for branch in branches:
        with removed(branch):
            without = passes.judge()
        lesions.append(lesion_of(branch, intact.right.numpy(), without.right.numpy()))
    return Inspection(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=seed,
        environment=environment(device),
        data=data,
        model=network.record,
        policy=policy,
        accuracy=accuracy_of(intact.right.numpy()),
        lesions=lesions,
        gates=_gates(intact, images, data.classes, trained, scaled=policy == PLAIN or traits(policy).smooth).model_copy(
            update={"dependence": _dependence(intact, network.record, policy)}
        )
        if network.record.gates
        else None,
    )


@dataclass(frozen=True)
class _Verdicts:
    """What N images met, on the CPU: predicted class (N,), right or not (N,), gates (N, G).

    Open probabilities are of the draw that is told and, `again`, of another one; the same where nothing is random.
    """

    predictions: Tensor
    right: Tensor
    executed: Tensor
    probabilities: Tensor
    again: Tensor


@dataclass
class _Passes:
    """Judges the same images again and again, and counts."""

    subject: Subject
    images: ImageSet
    seed: int
    device: torch.device
    planned: int
    progress: Progress | None
    done: int = 0

    def judge(self) -> _Verdicts:
        """What the network does as it is now."""
        parts = [self._batch(index) for index in torch.split(torch.arange(len(self.images)), _BATCH)]
        fields = (
            [part.predictions, part.correct > 0, part.decisions, part.probabilities, part.choice_probabilities]
            for part in parts
        )
        return _Verdicts(*(torch.cat(field).cpu() for field in zip(*fields, strict=True)))

    def _batch(self, index: Tensor) -> Judgement:
        x = self.images.batch(index).to(self.device).contiguous(memory_format=torch.channels_last)
        y, ids = self.images.labels[index].to(self.device), self.images.ids[index].to(self.device)
        verdict = judge(self.subject, x, y, ids=ids, seed=self.seed, draws=1)
        self.done += len(index)
        if self.progress is not None:
            self.progress(self.done, self.planned * len(self.images))
        return verdict


def _gates(
    verdicts: _Verdicts, images: ImageSet, classes: Sequence[str], history: History | None, *, scaled: bool
) -> GateUse:
    per_class = []
    for label, name in enumerate(classes):
        members = (images.labels == label).nonzero()[:, 0]
        if len(members) == 0:
            continue
        order = _by_use(verdicts, images.ids, members)
        shown = min(SHOWN, max(1, len(order) // 2))
        used = [_image(verdicts, images.ids, classes, member) for member in order[:shown] + order[-shown:]]
        executed = verdicts.executed[members]
        per_class.append(
            ClassUse(
                label=name,
                n=len(members),
                rates=_rates(executed),
                factors=_rates(verdicts.probabilities[members]) if scaled else None,
                histogram=_histogram(executed),
                fewest=used[:shown],
                most=used[: -shown - 1 : -1],
            )
        )
    executed = verdicts.executed
    return GateUse(
        rates=_rates(executed),
        factors=_factors(verdicts.probabilities) if scaled else None,
        histogram=_histogram(executed),
        per_class=per_class,
        history=history,
    )


def _dependence(verdicts: _Verdicts, model: ModelRecord, policy: str) -> Dependence | None:
    """Whether the gates that aren't forced open decide by the image; None where the policy doesn't choose by it."""
    p, again = (each.double().numpy() for each in (verdicts.probabilities, verdicts.again))
    return dependence_of_network(model, policy, verdicts.executed.numpy(), p, again)


def _rates(executed: Tensor) -> list[float]:
    """Mean over images (n, G) by gate: of decisions, the share for which its block is executed."""
    rates: list[float] = executed.double().mean(0).tolist()
    return rates


def _factors(z: Tensor) -> list[Factor]:
    """By gate, of what it multiplied its block by for each image (n, G)."""
    ranges = z.double().quantile(_MIDDLE, 0).T.tolist()
    return [Factor(mean=mean, low=low, high=high) for mean, (low, high) in zip(_rates(z), ranges, strict=True)]


def _histogram(executed: Tensor) -> list[int]:
    """Images (n, G) by number of executed blocks, 0 … G."""
    counts: list[int] = executed.sum(1).bincount(minlength=executed.shape[1] + 1).tolist()
    return counts


def _by_use(verdicts: _Verdicts, ids: Tensor, members: Tensor) -> list[int]:
    """Positions from the image with the fewest executed blocks to that with the most.

    Ties are broken by the sum of open probabilities, then by the image's id.
    """
    blocks, probability = verdicts.executed.sum(1), verdicts.probabilities.sum(1)
    known: list[int] = members.tolist()
    return sorted(known, key=lambda i: (int(blocks[i]), float(probability[i]), int(ids[i])))


def _image(verdicts: _Verdicts, ids: Tensor, classes: Sequence[str], position: int) -> ImageUse:
    executed = verdicts.executed[position]
    return ImageUse(
        image=int(ids[position]),
        blocks=int(executed.sum()),
        open_probability=float(verdicts.probabilities[position].sum()),
        executed=executed.tolist(),
        prediction=classes[int(verdicts.predictions[position])],
        correct=bool(verdicts.right[position]),
    )


def _history(epochs: Sequence[EpochRecord], policy: str) -> History | None:
    """Validation rates under the policy, or under sampled gates where the training didn't score it."""
    scored = [p for p in (policy, STOCHASTIC) if epochs and all(p in epoch.validation for epoch in epochs)]
    if not scored:
        return None
    rates = [epoch.validation[scored[0]].rates for epoch in epochs]
    return History(policy=scored[0], epochs=[epoch.epoch for epoch in epochs], rates=rates)
