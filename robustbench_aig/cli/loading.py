"""From chosen networks to loaded ones, and to the images that they are attacked on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch

from robustbench_aig.cli.choosing import Choice, Request
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Images, behind, network_of_module, network_of_run
from robustbench_aig.ladder import RUNGS, Key, Role, Run, training_differs
from robustbench_aig.models import load_own
from robustbench_aig.records import DataRecord, Rung
from robustbench_aig.runs import RunRecord, history_of
from robustbench_aig.study import Chosen
from robustbench_aig.training import load_model


@dataclass(frozen=True)
class Loaded:
    """Networks, each with the gate policies it is judged under; the rungs of a ladder; notes for the user."""

    networks: Chosen
    rungs: Sequence[Rung] = ()
    notes: Sequence[str] = ()


def load_networks(request: Request, choice: Choice, images: Images, data: DataRecord, device: torch.device) -> Loaded:
    """Load all that was chosen, every network behind every defence that was asked for."""
    return _ladder(choice.ladder, device) if choice.ladder else _chosen(request, choice, images, data, device)


def _chosen(request: Request, choice: Choice, images: Images, data: DataRecord, device: torch.device) -> Loaded:
    """Runs and networks of the user's own, under the policies that were asked for."""
    policies = list(dict.fromkeys(request.policies))
    networks = [network_of_run(record, load_model(path, device), history_of(path)) for path, record in choice.runs]
    few = images.chunk(0, 2, device)
    for factory, weights in choice.own:
        model = load_own(factory, weights).to(device)
        name = re.sub(r"[^\w.-]+", "-", factory.rpartition(".")[2])
        networks.append(network_of_module(name, factory, model, few.pixels, len(data.classes)))
    if len({network.record.name for network in networks}) < len(networks):
        raise InputError("two of the networks have the same name: rename the directory of a run, or a factory")
    defended = [behind(network, defence) for network, defence in product(networks, dict.fromkeys(request.defences))]
    return Loaded([(network, network.policies(policies)) for network in defended])


def _ladder(runs: dict[Role, Run | None], device: torch.device) -> Loaded:
    """The networks of a ladder under the policies of its rungs."""
    loaded = {
        role: network_of_run(run[1], load_model(run[0], device), history_of(run[0]))
        for role, run in runs.items()
        if run
    }
    gated, start = loaded["gated"], runs["gated"]
    assert start is not None
    if "stochastic" in loaded:
        # What it isolates is the missing look at the image, so it drops as many blocks as the gates do.
        blind = loaded["stochastic"]
        record = blind.record.model_copy(update={"rates": gated.record.rates})
        loaded["stochastic"] = replace(blind, record=record)
    rungs = [_rung(key, runs, start[1]) for key in RUNGS]
    policies = {role: [RUNGS[key][1] for key in RUNGS if RUNGS[key][0] == role] for role in loaded}
    notes = [f"{rung.key} is missing: {rung.note}" for rung in rungs if rung.model is None]
    return Loaded([(network, policies[role]) for role, network in loaded.items()], rungs, notes)


def _rung(key: Key, runs: dict[Role, Run | None], gated: RunRecord) -> Rung:
    role, policy, title = RUNGS[key]
    run = runs.get(role)
    note = None
    if role not in runs:
        note = "no shallower plain network is nearer to its mean compute"
    elif run is None:
        note = f"train it with aigrob train --ladder {gated.name}"
    elif training_differs(run[1], gated):
        note = "trained by another recipe than the gated network"
    elif run[1].seed != gated.seed:
        note = f"trained with seed {run[1].seed}, the gated network with {gated.seed}"
    return Rung(key=key, title=title, model=run[1].name if run else None, policy=policy, note=note)
