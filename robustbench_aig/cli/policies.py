"""The gate policy of commands that look at one network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_aig.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from robustbench_aig.evaluation import Network

DEFAULT = "argmax"


def policy_of(network: Network, asked: str | None) -> str:
    """The policy asked for, or the family's own; InputError where it is unknown or doesn't suit the family."""
    from robustbench_aig.gating import DEPLOYABLE  # noqa: PLC0415 - imports torch

    if asked is not None and asked not in DEPLOYABLE:
        raise InputError(f"unknown gate policy '{asked}': {did_you_mean(asked, DEPLOYABLE)}")
    (policy,) = network.policies([asked or DEFAULT])
    if asked is None or policy == asked:
        return policy
    name = network.record.name
    if network.record.family == "plain":
        raise InputError(f"{name} is a plain network, which has no gates: leave out --policy {asked}")
    raise InputError(f"{name} drops blocks without looking at the image: choose --policy {policy} or random")
