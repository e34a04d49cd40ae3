"""Networks as an evaluation takes them: loaded, described, and under each of their gate policies a subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor, nn

from robustbench_aig.defence_names import defended_name, parse_defence
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation.applicability import NOT_SOFT
from robustbench_aig.evaluation.judge import Subject
from robustbench_aig.gating import Argmax, Expected, Random
from robustbench_aig.medians import median_with_interval
from robustbench_aig.models import ForeignNetwork, MacProfile, UnknownMacs, defended, profile_macs
from robustbench_aig.models.adapter_trial import try_adapter
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.models.foreign import neutral
from robustbench_aig.policy_traits import PLAIN, STATIC, STOCHASTIC, USUAL, traits
from robustbench_aig.precision import float32
from robustbench_aig.records import (
    AdversarialRecord,
    ForeignRecord,
    GateRecord,
    InitialWeights,
    ModelRecord,
    TrainedOn,
    TrainingRecord,
    TrainingSpeed,
)
from robustbench_aig.runs import EpochRecord, RunRecord
from robustbench_aig.threat import Threat

_TRIED, _COUNTED = 16, 8
"""Images that an adapter is tried on, and that what a network computes is counted on."""

_FEWEST_EPOCHS = 6
"""Behind the first, that a median with an interval takes."""


@dataclass(frozen=True)
class Network:
    """A loaded network and all that is known of it.

    Attributes:
        record: its description.
        model: images in [0, 1] to logits, in eval mode and channels-last layout.
        profile: what its parts cost.
        usual: gate policies that a gated network is judged under where none is asked for.
        copy: a faster copy of the network, for our own attacks.
        exact: one in float32, for other providers' attacks.
    """

    record: ModelRecord
    model: nn.Module
    profile: MacProfile
    usual: tuple[str, ...] = USUAL
    copy: nn.Module | None = None
    exact: nn.Module | None = None

    def subject(self, policy: str) -> Subject:
        """The network under a gate policy; InputError where the policy needs rates that nobody measured."""
        if policy == Random.name and self.record.rates is None:
            raise InputError(
                f"{self.record.name}: the policy 'random' needs the execution rates that a training measured, and "
                f"this network has none; choose another --policy"
            )
        if policy in STATIC and policy not in self.record.patterns:
            raise InputError(
                f"{self.record.name}: the policy '{policy}' needs a path that aigrob attack finds on the validation "
                "images of a gated run; choose another --policy"
            )
        opened = self.record.patterns[policy].opened if policy in STATIC else None
        rates = tuple(map(float, self.record.rates or () if opened is None else opened))
        return Subject(
            self.record.name,
            self.model,
            self.profile,
            policy,
            rates,
            self.copy,
            self.exact,
            restless=self.record.restless,
        )

    def policies(self, wanted: Sequence[str]) -> list[str]:
        """Which of the wanted policies suit the network, or its usual ones; a plain one has none."""
        if self.record.gateless:
            return [PLAIN]
        for policy in wanted:
            if traits(policy).smooth and not self.record.soft:
                raise InputError(f"{self.record.name} can't be judged under the policy '{policy}': {NOT_SOFT}")
        if self.record.family == "stochastic":
            return [policy for policy in wanted if traits(policy).suits_blind_gates] or [Expected.name]
        return list(wanted or self.usual)


@float32()
def network_of_run(record: RunRecord, model: nn.Module, history: Sequence[EpochRecord] = ()) -> Network:
    """The network of a finished run.

    Args:
        record: of the run.
        model: loaded; it is put into eval mode and channels-last layout, in place.
        history: of the run, for the speed of its training.
    """
    profile = profile_macs(model, record.data.shape)
    model.eval().to(memory_format=torch.channels_last)
    described = ModelRecord(
        name=record.name,
        recipe=record.recipe_name,
        twin=record.recipe.twin,
        family=record.family,
        parameters=record.parameters,
        total_macs=profile.total,
        gates=_gates(record, model, profile.blocks),
        rates=_rates(record),
        weights_digest=record.weights_digest or "",
        training=_training(record, history),
        imported=record.command if record.recipe.training is None else None,
        budgets=[Threat.parse(eps) for eps in record.fall.budgets] if record.fall else None,
    )
    return Network(described, model, profile)


def network_of_module(name: str, model: ForeignNetwork, images: Tensor, classes: int) -> Network:
    """A network that isn't ours; an adapter of it is tried on some of the images before it's believed.

    Args:
        name: what reports call it.
        model: as `enter` has tried it on images like those it will be attacked on.
        images: (N, C, H, W) that it will be attacked on.
        classes: of the data.

    Raises:
        InputError: it returns logits for another number of classes, its adapter is wrong, or it can't be counted.
    """
    if model.classes != classes:
        raise InputError(
            f"{model.name} must return logits (2, {classes}) for two images, as many as the data have classes: "
            f"got (2, {model.classes})"
        )
    with neutral():
        some = _spread(images, _TRIED).to(_device_of(model, images))
        profile = _profile(model, some)
        tried = try_adapter(model, some)
    gates = tried.decisions if tried else len(profile.blocks)
    described = ModelRecord(
        name=name,
        recipe=model.name,
        family="gated" if gates else "dynamic" if profile.unknown else "plain",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        total_macs=None if profile.unknown else profile.total,
        macs_unknown=profile.unknown,
        gates=[
            GateRecord(name=str(position), macs=None if profile.unknown else macs)
            for position, macs in enumerate(profile.blocks, 1)
        ],
        soft=tried is None or tried.soft,
        foreign=ForeignRecord(
            dtype=str(model.dtype).removeprefix("torch."),
            in_place=model.in_place,
            paired=model.paired,
            restless=model.restless,
            still=[gate + 1 for gate in tried.still] if tried else [],
            unattackable=model.unattackable,
            hub=model.hub,
        ),
        weights_digest=model.digest,
    )
    # Such networks run a block where its score passes a threshold; that they drew would be our idea, not theirs.
    return Network(described, model, profile, usual=(Argmax.name,))


def _spread(images: Tensor, count: int) -> Tensor:
    """So many of the images, or all, at equal distances: a folder's may be sorted by class."""
    chosen = torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()
    return images[chosen]


def _device_of(model: nn.Module, images: Tensor) -> torch.device:
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), images.device)


def _profile(model: ForeignNetwork, images: Tensor) -> MacProfile:
    """What its parts cost, on several images; with the reason in it where nobody knows."""
    channels, height, width = images.shape[1:]
    try:
        return profile_macs(model, (channels, height, width), images[:_COUNTED])
    except UnknownMacs as error:
        return MacProfile.nobody_knows(error.cause, error.decisions)


def behind(network: Network, defence: str) -> Network:
    """A network with an input defence in front of it; the network itself for "none"."""
    parsed = parse_defence(defence)
    if parsed is None:
        return network
    name = defended_name(network.record.name, defence)
    record = network.record.model_copy(update={"name": name, "defence": parsed})
    return replace(network, record=record, model=defended(network.model, defence))


def _rates(record: RunRecord) -> list[float] | None:
    """Execution rates measured on validation images, under sampled gates where there are such."""
    if record.metrics is None or record.family == "plain":
        return None
    scores = record.metrics.validation
    return record.recipe.model.targets if record.family == "stochastic" else scores[STOCHASTIC].rates


def _training(record: RunRecord, history: Sequence[EpochRecord]) -> TrainingRecord | None:
    """What a report says of the training; the run itself knows the rest. None where it was trained elsewhere."""
    if record.metrics is None or record.recipe.training is None:
        return None
    scores, attacked = record.metrics, record.recipe.training.adversarial
    return TrainingRecord(
        data=record.data.name,
        preset=record.recipe.preset,
        epochs=record.recipe.training.epochs,
        adversarial=AdversarialRecord(method=attacked.method, threat=attacked.threat, best_epoch=record.best_epoch)
        if attacked
        else None,
        initial=InitialWeights(
            run=record.init.run,
            recipe=record.init.recipe_name,
            recipe_digest=record.init.recipe_digest,
            seed=record.init.seed,
            weights_digest=record.init.weights_digest,
        )
        if record.init
        else None,
        seed=record.seed,
        validation_accuracy={policy: score.accuracy for policy, score in scores.validation.items()},
        test_accuracy={policy: score.accuracy for policy, score in scores.test.items()},
        test_rates={policy: score.mean_rate for policy, score in scores.test.items() if score.mean_rate is not None},
        speed=_speed(record, history),
    )


def _speed(record: RunRecord, history: Sequence[EpochRecord]) -> TrainingSpeed | None:
    """Images per second over epochs but the first, which warms up, with the median's interval; and on what."""
    if len(history) <= _FEWEST_EPOCHS:
        return None
    found = median_with_interval([epoch.images_per_second for epoch in history[1:]])
    on = TrainedOn(
        device=record.environment.get("device"),
        threads=record.environment.get("threads"),
        processes=record.processes,
        precision=record.precision,
        compiled=record.compiled,
    )
    return TrainingSpeed(**found._asdict(), on=on)


def _gates(record: RunRecord, model: nn.Module, macs: Sequence[int]) -> list[GateRecord]:
    targets = record.recipe.model.targets
    if not targets:
        return []
    return [
        GateRecord(name=branch.name, stage=branch.place.stage, macs=cost, target=target, transition=branch.transition)
        for branch, cost, target in zip(residual_branches(model), macs, targets, strict=True)
    ]
