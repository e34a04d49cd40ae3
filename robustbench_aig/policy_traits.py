"""The gate policies that a network can be deployed under, and what each does. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_aig.errors import InputError, unknown

DETERMINISTIC, STOCHASTIC = USUAL = "argmax", "sampled"
"""The likelier decision of every gate, and one drawn by its probability: networks are judged under both by default."""

PLAIN = "none"
"""What stands for a policy where a network has no gates."""


MOST_GATES = 12
"""So many gates that draw have few enough patterns, 4096, to go through all of them."""

NOT_DRAWN = "patterns of gates have probabilities where the gates, and they alone, draw"
NOT_OURS = "patterns of gates are gone through in networks of this package alone"
TOO_MANY = f"patterns of gates are gone through where at most {MOST_GATES} of them draw"
"""Why not."""


@dataclass(frozen=True)
class Traits:
    """What a gate policy does.

    Attributes:
        looks: it decides by the gate's logits, and so, where these depend on the image, by the image.
        draws: two passes over one image may decide differently.
        skips: every decision is 0 or 1, and may be 0, so that closed blocks can be left out.
        smooth: decisions are a differentiable function of the logits; elsewhere a gradient is an estimate, or zero.
        leaks: its noise is the same in every pass, and the attacker knows it.
        given: it needs rates, or a path, that were measured before.
    """

    looks: bool = False
    draws: bool = False
    skips: bool = False
    smooth: bool = False
    leaks: bool = False
    given: bool = False

    @property
    def chooses(self) -> bool:
        """Whether it leaves blocks out by what it sees in the image."""
        return self.looks and self.skips

    @property
    def suits_blind_gates(self) -> bool:
        """Whether it gives the blocks of gates that don't look at the image their mean share.

        The likelier side of such a gate would be the same for every image: a fixed, shallower network.
        """
        return self.smooth or (self.draws and not self.looks)


POLICIES: dict[str, Traits] = {
    DETERMINISTIC: Traits(looks=True, skips=True),
    STOCHASTIC: Traits(looks=True, draws=True, skips=True),
    "expected": Traits(looks=True, smooth=True),
    "open": Traits(),
    "random": Traits(draws=True, skips=True, given=True),
    "known": Traits(looks=True, skips=True, leaks=True),
    "majority": Traits(skips=True, given=True),
    "static": Traits(skips=True, given=True),
}

STATIC = ("majority", "static")
"""Policies under which every image takes one path: each gate's majority, and the best path of no more compute."""


def traits(policy: str) -> Traits:
    """Those of a deployed policy by its name; none of them for a plain network."""
    return Traits() if policy == PLAIN else POLICIES[policy]


def refuse_unknown(name: str) -> None:
    """InputError for a gate policy that no network can be deployed under."""
    if name not in POLICIES:
        raise InputError(unknown("gate policy", name, POLICIES))
