"""The gate policy of commands that look at one network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_aig.errors import InputError
from robustbench_aig.policy_traits import DETERMINISTIC, refuse_unknown, traits

if TYPE_CHECKING:
    from robustbench_aig.evaluation import Network


def policy_of(network: Network, asked: str | None) -> str:
    """The policy asked for, or the family's own; InputError where it is unknown or doesn't suit the family."""
    if asked is not None:
        refuse_unknown(asked)
        if traits(asked).leaks:
            raise InputError(f"--policy {asked} belongs to the ablation: see aigrob attack --ladder")
    (policy,) = network.policies([asked or DETERMINISTIC])
    if asked is None or policy == asked:
        return policy
    name = network.record.name
    if network.record.gateless:
        raise InputError(f"{name} is a {network.record.family} network, which has no gates: leave out --policy {asked}")
    raise InputError(f"{name} drops blocks without looking at the image: choose --policy {policy} or random")
