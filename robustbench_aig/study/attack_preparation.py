"""From the names of attacks to attacks that are ready for the chosen networks and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from robustbench_aig.attacks import Attack, build_attack
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import network_of_run
from robustbench_aig.evaluation.applicability import NOT_SOFT, UNKNOWN_COMPUTE, left_out, needs_gradient
from robustbench_aig.gating import Argmax, Policy, deployed_policy
from robustbench_aig.policy_traits import NOT_DRAWN, NOT_OURS, TOO_MANY
from robustbench_aig.recipes import NamedAttack
from robustbench_aig.recipes.attack_recipes import TransferRecipe
from robustbench_aig.records import DataRecord
from robustbench_aig.runs import find_run, read_run
from robustbench_aig.study.study_request import Chosen, Wanted
from robustbench_aig.threat import Norm
from robustbench_aig.training import load_model
from robustbench_aig.zoo import change_named, find_attack, find_suite


def named_attacks(wanted: Wanted, networks: Chosen) -> tuple[list[NamedAttack], bool]:
    """The attacks by their names, in order, and whether they are a cascade; none where corruptions alone are wanted.

    A transfer that names no source stands for one from every network under evaluation.
    """
    if not wanted.threats:
        return [], False
    if wanted.attacks:
        # By their recorded names, since one attack may be typed by either of two.
        named, cascade = list(dict(map(find_attack, wanted.attacks)).items()), False
    else:
        named, cascade = find_suite(wanted.suite)
    found: list[NamedAttack] = []
    for name, recipe in named:
        if isinstance(recipe.attack, TransferRecipe) and recipe.attack.source is None:
            if len(networks) > 1:
                found += [change_named(name, f"source={network.record.name}") for network, _ in networks]
        else:
            found.append((name, recipe))
    return found, cascade


def build(
    named: Sequence[NamedAttack], wanted: Wanted, networks: Chosen, data: DataRecord, device: torch.device
) -> tuple[dict[str, Attack], list[NamedAttack], list[str]]:
    """Configure the attacks; leave out what can't work on these images, or refuse it where it was named.

    Returns:
        The attacks by name; those of `named` that are in it; and a note for every kind that was left out.

    Raises:
        InputError: an attack that was named can't work, or none is left.
    """
    sources = _sources(wanted.runs, networks, device)
    built: dict[str, Attack] = {}
    refused: dict[str, list[str]] = {}
    for name, recipe in named:
        attack = build_attack(recipe.attack, sources)
        reason = _refused(attack, wanted.threats[0].norm, data)
        if reason is None:
            built[name] = attack
        else:
            refused.setdefault(reason, []).append(name)
    if refused and (wanted.attacks or not built):
        reason, names = next(iter(refused.items()))
        raise InputError(f"{', '.join(names)}: {reason}; choose another --attack, --suite or --norm")
    _refuse_without_gradient([name for name, recipe in named if needs_gradient(recipe.attack)], networks)
    notes = [f"left out, {reason}: {', '.join(names)}" for reason, names in refused.items()]
    able = [(name, recipe) for name, recipe in named if name in built]
    if wanted.attacks:
        _refuse_impossible(able, networks)
    return built, able, [*notes, *_left_out(able, networks)]


def _refuse_without_gradient(names: Sequence[str], networks: Chosen) -> None:
    """InputError for attacks by gradients on a network that has none: it would look robust."""
    for network, _ in networks:
        foreign = network.record.foreign
        if names and foreign is not None and foreign.unattackable is not None:
            raise InputError(
                f"{network.record.name} passes no gradient to the images ({foreign.unattackable}), so "
                f"{', '.join(names)} cannot work: fix that, or choose others, such as square-torchattacks"
            )


def _refused(attack: Attack, norm: Norm, data: DataRecord) -> str | None:
    """Why an attack can't work in this norm or on such images; None where it can."""
    try:
        attack.refuse_unfit(len(data.classes), data.shape, norm)
    except InputError as error:
        return str(error)
    return None


_IMPOSSIBLE = {NOT_SOFT, UNKNOWN_COMPUTE, NOT_DRAWN, NOT_OURS, TOO_MANY}


def _refuse_impossible(named: Sequence[NamedAttack], networks: Chosen) -> None:
    """InputError where an attack that was named can't work on any network, for what is known of them."""
    every = [left_out(named, network.record, policy) for network, policies in networks for policy in policies]
    for name, _ in named:
        reasons = [reasons.get(name) for reasons in every]
        if reasons and all(reason in _IMPOSSIBLE for reason in reasons):
            raise InputError(f"{name} can't work on {networks[0][0].record.name}: {reasons[0]}; choose another attack")


def _left_out(named: Sequence[NamedAttack], networks: Chosen) -> list[str]:
    """A note for every network and policy on what is left out there."""
    notes = []
    for network, policies in networks:
        for policy in policies:
            why: dict[str, list[str]] = {}
            for name, reason in left_out(named, network.record, policy).items():
                why.setdefault(reason, []).append(name)
            under = "" if policy == "none" else f" under {policy} gates"
            notes += [
                f"left out for {network.record.name}{under}, because {reason}: {', '.join(names)}"
                for reason, names in why.items()
            ]
    return notes


def _sources(runs: Path, networks: Chosen, device: torch.device) -> Callable[[str], tuple[nn.Module, Policy]]:
    """Networks for attacks that transfer: those under evaluation, and any other run by its name."""
    known = {network.record.name: network for network, _ in networks}

    def source(name: str) -> tuple[nn.Module, Policy]:
        if name not in known:
            path = find_run(name, runs)
            known[name] = network_of_run(read_run(path), load_model(path, device))
        network = known[name]
        usual = network.policies([])[0]
        return network.model, Argmax() if usual == "none" else deployed_policy(usual)

    return source
