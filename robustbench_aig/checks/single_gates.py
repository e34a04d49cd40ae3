"""Gates one by one: does a gradient lead from the image to a gate's logits, and from its decision to the margin?"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_aig.attacks.attack_problem import look
from robustbench_aig.checks.case import Case
from robustbench_aig.checks.whole_passes import margin_loss
from robustbench_aig.evaluation import Images
from robustbench_aig.gating import Policy
from robustbench_aig.network_modes import frozen_in_eval_mode
from robustbench_aig.threat import Threat

_MOVED = 1e-5
"""Share of a gate's logits, and of 1, above which a change of them is more than rounding."""

_FORETOLD = 1e-3
"""Share of such a change below which what the gradient foretells is nothing."""

_SATURATED = 15.0
"""Where sigmoid is 0 or 1 in float32, or nearly, so that a decision has no gradient whatever the code says."""


class Listening(Policy):
    """Decides as another policy does, and keeps what the gates asked.

    Args:
        policy: that one.
    """

    def __init__(self, policy: Policy) -> None:
        self.name, self.traits = policy.name, policy.traits
        self._policy = policy
        self.logits: list[Tensor] = []

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The other's."""
        self.logits.append(logits)
        return self._policy.decide(logits, gate, draw)


def masked_gates(case: Case, images: Images) -> Tensor:
    """(N, G) bool: whether a gate's logits move with the image, and no gradient says so.

    They move where they are others at a random corner of the ball. A gate that doesn't look, or whose logits are the
    same all over the ball, hides nothing.

    Args:
        case: with gates that look at the image.
        images: in one batch.
    """
    x, threat, model = images.pixels, case.threat, case.subject.model
    corner = threat.corner(x, case.stream(images, "corner").uniform(*x.shape[1:]))
    there, here = (Listening(case.policy(images, "gradient")) for _ in range(2))
    with frozen_in_eval_mode(model), torch.no_grad():
        look(model, model, corner, there, "dense")
    leaf = x.detach().requires_grad_()
    with frozen_in_eval_mode(model), torch.enable_grad():
        value = margin_loss(look(model, model, leaf, here, "dense").logits, images.labels).sum()
        onward = _gradients(value, here.logits)
        masked = [
            _moves(logits, elsewhere) & (_unforetold(logits, elsewhere, leaf, threat) | _dead(logits, after))
            for logits, elsewhere, after in zip(here.logits, there.logits, onward, strict=True)
        ]
    return torch.stack(masked, 1)


def _gradients(value: Tensor, of: list[Tensor]) -> list[Tensor]:
    """Those of a number with respect to tensors; zeros where it doesn't depend on one."""
    live = [tensor for tensor in of if tensor.requires_grad]
    if not (value.requires_grad and live):
        return [torch.zeros_like(tensor) for tensor in of]
    found = iter(torch.autograd.grad(value, live, retain_graph=True, allow_unused=True, materialize_grads=True))
    return [next(found) if tensor.requires_grad else torch.zeros_like(tensor) for tensor in of]


def _unforetold(logits: Tensor, elsewhere: Tensor, leaf: Tensor, threat: Threat) -> Tensor:
    """(B,) bool: whether a gate's logits move far more than its gradient allows anywhere in the ball; NaN does."""
    slope = _gradients(_difference(logits).sum(), [leaf])[0].flatten(1)
    farthest = threat.value * threat.ball.dual(slope)
    unforetold: Tensor = ~(farthest > _FORETOLD * _change(logits, elsewhere))
    return unforetold


def _moves(logits: Tensor, elsewhere: Tensor) -> Tensor:
    return _change(logits, elsewhere) > _MOVED * (1 + _difference(logits.detach()).abs())


def _change(logits: Tensor, elsewhere: Tensor) -> Tensor:
    return (_difference(elsewhere) - _difference(logits.detach())).abs()


def _dead(logits: Tensor, after: Tensor) -> Tensor:
    """(B,) bool: whether no decision of this gate sends a gradient back, though some aren't saturated."""
    tells = (after.abs().amax(1) > 0).any()
    unsaturated = (_difference(logits.detach()).abs() < _SATURATED).any()
    return (~tells & unsaturated).expand(len(logits))


def _difference(logits: Tensor) -> Tensor:
    return logits[:, 1] - logits[:, 0]
