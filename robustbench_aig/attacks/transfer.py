"""Images that fool another network, given to this one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from robustbench_aig.attacks.attack_interface import Attack, OwnAttack, View
from robustbench_aig.gating import Policy, gating
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.randomness import Stream
from robustbench_aig.threat import Norm, Shape, Threat


@dataclass(frozen=True)
class Transfer(OwnAttack):
    """A white-box attack on another network (Papernot et al., arXiv 1605.07277).

    What it breaks and no white-box attack on the network itself does is a sign that those lack a gradient.

    Attributes:
        attack: carried out on the other network.
        source: the other network, on the images' device.
        policy: how its gates decide.
    """

    attack: Attack
    source: nn.Module
    policy: Policy

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:
        """Whatever the attack on the other network does."""
        self.attack.refuse_unfit(classes, shape, norm)

    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """What the attack makes; asks nothing of `model`, and its passes are those over the other network."""
        other = View(self.source, self.policy)
        with frozen_in_eval_mode(other), gating(self.source, self.policy):
            adv = self.attack(other, x, y, threat, stream)
        model.forwards += other.forwards
        model.backwards += other.backwards
        return adv
