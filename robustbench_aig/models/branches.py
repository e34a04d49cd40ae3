"""The residual branches of a network, found and named in the same way in every kind of residual network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from robustbench_aig.models.preact_resnet import PreActBlock
from robustbench_aig.models.resnet import Block
from robustbench_aig.models.torchvision import resnet_class
from robustbench_aig.recipes.model_recipes import Place


@dataclass(frozen=True)
class Branch:
    """What a residual block adds to its shortcut.

    Attributes:
        place: of the block.
        output: the module whose output is added to the shortcut; without it only the shortcut is left.
        transition: whether the block changes the resolution or width, so that its shortcut isn't the identity.
    """

    place: Place
    output: nn.Module
    transition: bool

    @property
    def name(self) -> str:
        """Of the block, and of its gate where it has one."""
        return str(self.place)


def residual_branches(model: nn.Module) -> list[Branch]:
    """The branches of all residual blocks, in the order of the layers; wherever in the model the network is."""
    each = ([_branch(child) for child in parent.children()] for parent in model.modules())
    stages = (blocks for blocks in ([one for one in found if one] for found in each) if blocks)
    return [
        Branch(Place(stage, position), output, transition)
        for stage, blocks in enumerate(stages, 1)
        for position, (output, transition) in enumerate(blocks, 1)
    ]


def _branch(module: Any) -> tuple[nn.Module, bool] | None:  # noqa: ANN401 - torchvision says nothing of its types
    """The last module of a block's residual branch, and whether its shortcut isn't the identity."""
    match module:
        case Block():
            return module.residual, not isinstance(module.shortcut, nn.Identity)
        case PreActBlock():
            return module.residual, module.shortcut is not None
    torchvisions = {resnet_class(kind) for kind in type(module).__mro__}
    if "BasicBlock" in torchvisions:
        return module.bn2, module.downsample is not None
    if "Bottleneck" in torchvisions:
        return module.bn3, module.downsample is not None
    return None
