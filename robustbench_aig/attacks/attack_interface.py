"""What an attack is, and what it sees of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, Gate, Policy
from robustbench_aig.norms import BALLS, Norm
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes.section import Section
from robustbench_aig.threat import Shape, Threat


class View(nn.Module):
    """A network as an attack sees it: images to logits, how its gates decide, and a count of what was asked of it.

    Args:
        model: what the attack works on; the network itself, or a faster copy in lower precision.
        policy: how the gates decide when deployed.
        reference: what confirms what `model` says, where that is a copy in lower precision: the network itself, or a
            copy in float32.
        routes: (classes, G) mean open probabilities of the images of each class, for an attack that asks for them.
        costs: (G,) multiply-accumulates of the gated blocks; without them every block counts as much.

    Attributes:
        gated: whether there are gates.
        forwards: images that went forward.
        backwards: images whose gradient came back.
    """

    def __init__(
        self,
        model: nn.Module,
        policy: Policy | None = None,
        *,
        reference: nn.Module | None = None,
        routes: Tensor | None = None,
        costs: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.policy = policy or Argmax()
        self.reference = reference
        self.gated = any(isinstance(module, Gate) for module in model.modules())
        self.routes = routes
        self.costs = costs
        self.forwards = 0
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        self.forwards += len(x)
        if x.requires_grad:
            x = x.view_as(x)  # a node of this pass alone
            x.register_hook(self._count)  # type: ignore[no-untyped-call]
        logits: Tensor = self.model(x)
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


class Attack(ABC):
    """A configured algorithm: construction holds the strategy, the call holds the problem.

    Attributes:
        provider: whose code runs.
        own_noise: whether all its randomness comes from the images' streams. If not, it draws from torch's global
            generator, which the guard seeds once per chunk.
        norms: the balls it can search.
        recipe: its settings; None where it has none.
    """

    provider: ClassVar[str]
    own_noise: ClassVar[bool]
    norms: ClassVar[tuple[Norm, ...]] = tuple(BALLS)
    recipe: Section | None = None

    @property
    def exact(self) -> bool:
        """Whether it wants a copy of the network in float32 where a faster one is coarser."""
        return getattr(self.recipe, "exact", False)

    def refuse_unfit(self, classes: int, shape: Shape, norm: Norm) -> None:
        """InputError where it can't search balls of that norm, or as `refuse` says."""
        if norm not in self.norms:
            raise InputError(f"cannot search an {norm} ball")
        self.refuse(classes, shape, norm)

    def refuse(self, classes: int, shape: Shape, norm: Norm) -> None:  # noqa: B027 - most refuse nothing
        """Say why this attack can't work on a network of so many classes, on images (C, H, W), in a norm.

        Raises:
            InputError: in one line; nothing was run. The default refuses nothing.
        """

    @abstractmethod
    def __call__(self, model: View, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        """Attacked images (B, C, H, W) inside the threat's ball around `x`.

        Args:
            model: images in [0, 1] to logits (B, classes), in eval mode with frozen parameters.
            x: (B, C, H, W) float32 in [0, 1].
            y: (B,) int64 labels.
            threat: norm and epsilon.
            stream: (B,) random streams of the images.
        """


@dataclass(frozen=True)
class OwnAttack(Attack):
    """One of ours, with the images' own noise."""

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True
