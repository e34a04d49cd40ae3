"""From chosen networks to loaded ones, and to the images that they are attacked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import click
import torch

from robustbench_aig.cli.attack_request import AttackRequest
from robustbench_aig.cli.run_selection import Choice, Naming, called
from robustbench_aig.cli.worker_processes import leads
from robustbench_aig.commands import aigrob
from robustbench_aig.data import ImageSet
from robustbench_aig.evaluation import Images, Network, behind, network_of_module, network_of_run
from robustbench_aig.evaluation.static_path_search import with_patterns
from robustbench_aig.ladder import RUNGS, Key, Role, Run, training_differs
from robustbench_aig.models import load_own
from robustbench_aig.models.foreign import enter
from robustbench_aig.policy_traits import STATIC
from robustbench_aig.records import DataRecord, Named, Rung
from robustbench_aig.reporting.remarks import remarks
from robustbench_aig.runs import history_of, spelled_run
from robustbench_aig.study import Chosen
from robustbench_aig.training import load_model


@dataclass(frozen=True)
class Known:
    """What the data set of runs has beside the images under attack.

    Attributes:
        validation: what choices may look at; None where the networks are no runs.
        progress: told how many of them are looked at.
    """

    validation: ImageSet | None
    progress: Callable[[int, int], None] | None = None

    def with_patterns(self, network: Network, policies: Sequence[str], seed: int) -> Network:
        """The network with the paths of static policies, where one of these is asked for."""
        ours = network.record.training is not None and network.record.family == "gated"
        if self.validation is None or not ours or not set(policies) & set(STATIC):
            return network
        return with_patterns(network, self.validation, seed, self.progress)


@dataclass(frozen=True)
class Loaded:
    """Networks, each with the gate policies it is judged under; what the user calls them; a ladder's rungs; notes."""

    networks: Chosen
    named: dict[str, Named]
    rungs: Sequence[Rung] = ()
    notes: Sequence[str] = ()


def load_networks(
    request: AttackRequest, choice: Choice, images: Images, data: DataRecord, device: torch.device, known: Known
) -> Loaded:
    """Load all that was chosen, every network behind every defence that was asked for."""
    if choice.ladder:
        return _ladder(choice.ladder, request, device, known)
    return _chosen(request, choice, images, data, device, known)


def load_one(naming: Naming, choice: Choice, images: Images, data: DataRecord, device: torch.device) -> Network:
    """The one network that was chosen, behind the one defence that was asked for."""
    (network,) = _undefended(choice, images, data, device, len(images))
    (defence,) = naming.defences
    return behind(network, defence)


def _chosen(
    request: AttackRequest, choice: Choice, images: Images, data: DataRecord, device: torch.device, known: Known
) -> Loaded:
    """Runs and networks of the user's own, under the policies that were asked for."""
    policies = list(dict.fromkeys(request.policies))
    networks = _undefended(choice, images, data, device, request.chunk)
    names = [Named(run=spelled_run(path, request.runs_root)) for path, _ in choice.runs]
    names += [Named(model=factory, weights=str(weights) if weights else None) for factory, weights in choice.own]
    chosen, named = [], {}
    for (network, name), defence in product(zip(networks, names, strict=True), dict.fromkeys(request.defences)):
        defended = known.with_patterns(behind(network, defence), policies, request.seed)
        chosen.append((defended, defended.policies(policies)))
        named[defended.record.name] = name.model_copy(update={"defence": None if defended is network else defence})
    return Loaded(chosen, named)


def _undefended(choice: Choice, images: Images, data: DataRecord, device: torch.device, chunk: int) -> list[Network]:
    """Runs, then networks of the user's own."""
    networks = [network_of_run(record, load_model(path, device), history_of(path)) for path, record in choice.runs]
    for factory, weights in choice.own:
        model = enter(load_own(factory, weights), factory, images.pixels, chunk=chunk, device=device)
        networks.append(network_of_module(called(factory), model, images.pixels, len(data.classes)))
        for remark in remarks(networks[-1].record) if leads() else ():
            click.echo(remark, err=True)
    return networks


def _ladder(runs: dict[Role, Run | None], request: AttackRequest, device: torch.device, known: Known) -> Loaded:
    """The networks of a ladder under the policies of its rungs."""
    root = request.runs_root
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
    loaded["gated"] = known.with_patterns(gated, STATIC, request.seed)
    rungs = [_rung(key, runs, start, root) for key in RUNGS]
    policies = {role: [RUNGS[key][1] for key in RUNGS if RUNGS[key][0] == role] for role in loaded}
    notes = [f"{rung.key} is missing: {rung.note}" for rung in rungs if rung.model is None]
    named = {run[1].name: Named(run=spelled_run(run[0], root)) for run in runs.values() if run}
    return Loaded([(network, policies[role]) for role, network in loaded.items()], named, rungs, notes)


def _rung(key: Key, runs: dict[Role, Run | None], start: Run, root: Path) -> Rung:
    path, gated = start
    role, policy, title = RUNGS[key]
    run = runs.get(role)
    note = None
    if role not in runs:
        note = "no shallower plain network is nearer to its mean compute"
    elif run is None:
        out = None if root == Path("runs") else root
        note = f"train it with {aigrob('train', ladder=spelled_run(path, root), out=out)}"
    elif training_differs(run[1], gated):
        note = "trained by another recipe than the gated network"
    elif run[1].seed != gated.seed:
        note = f"trained with seed {run[1].seed}, the gated network with {gated.seed}"
    return Rung(key=key, title=title, model=run[1].name if run else None, policy=policy, note=note, needed=role in runs)
