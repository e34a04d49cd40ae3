"""From a network to its fused copy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from robustbench_aig.gating import Gate, OpenGate, PooledGate
from robustbench_aig.models.adapt import only_logits
from robustbench_aig.models.foreign.wrapper import ForeignNetwork
from robustbench_aig.models.fused.chain import Chain
from robustbench_aig.models.fused.convolution import Convolution
from robustbench_aig.models.fused.fused_blocks import GatedBlock as FusedGatedBlock
from robustbench_aig.models.fused.fused_blocks import PlainBlock, PooledLogits, PreActivationBlock
from robustbench_aig.models.fused.fused_network import FusedResNet
from robustbench_aig.models.gated_resnet import GatedBlock, GatedResNet
from robustbench_aig.models.preact_resnet import PreActBlock, PreActResNet
from robustbench_aig.models.resnet import Block, Projection, ResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.models.torchvision import resnet_class
from robustbench_aig.precision import float32

_OWN = (ResNet, GatedResNet, StochasticDepthResNet, PreActResNet)
M = TypeVar("M", bound=nn.Module)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@float32()
def fused(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy that computes the same function faster, for inference and for gradients with respect to the images.

    Batch-norm is folded into convolutions and gates, channels come last, additions and ReLUs are computed within
    convolutions where torch can, and of a sparse block nothing but the open images is touched. The copy shares nothing
    with `model`, is in eval mode and frozen: its weights get no gradient, and a gradient with respect to images can't
    be differentiated again. Gates and their policies, traces and executions work as before.

    Known are our own networks and torchvision's ResNets, also inside an `nn.Sequential`, such as behind a defence. Any
    other network, one of ours with a layer replaced or subclassed, and one on which hooks are registered (what `adapt`
    does) is copied as it is, channels last and in float32 whatever `dtype`: of foreign code nobody knows which types
    it bears.

    Args:
        model: images in [0, 1] to logits, float32.
        dtype: of weights and features; images, gates and logits are float32 in any case.

    Raises:
        RuntimeError: `model` is inside a `gating` context of its own.
    """
    traces = {id(module.trace): None for module in model.modules() if isinstance(module, Gate) and module.trace}
    if traces and vars(model)["_forward_pre_hooks"]:
        raise RuntimeError("fused() inside gating(model, …): make the copy first, then enter gating(copy, …)")
    # Where `model` is part of a network inside a context, its gates' trace isn't the copy's.
    copied = copy.deepcopy(model, traces).eval().requires_grad_(False)
    if not any(isinstance(module, ForeignNetwork) for module in copied.modules()):  # those lie as they bear it
        copied = copied.to(memory_format=torch.channels_last)
    return _converted(copied, dtype).eval()


class _UnknownError(Exception):
    """A part of a network isn't what its place in the network says."""


def _converted(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """What takes the place of a frozen copy's module: itself where it's unknown."""
    if _hooked(module):
        return module
    if type(module) is ForeignNetwork:
        known = _converted(module.network, dtype)
        return known if isinstance(known, FusedResNet) else module
    if type(module) is nn.Sequential:
        for name, child in module.named_children():
            module.add_module(name, _converted(child, dtype))
        return module
    try:
        if type(module) in _OWN:
            return _Folding(dtype).own(module)  # type: ignore[arg-type]
        if resnet_class(type(module)) == "ResNet":
            return _Folding(dtype).torchvision(module)
    except _UnknownError:
        pass
    return module


def _hooked(module: nn.Module) -> bool:
    """Whether a call does more than the code says; a hook that picks the logits of several results may go."""
    parts = list(module.modules())
    hooks = [hook for part in parts for kind in _HOOKS for hook in vars(part).get(kind, {}).values()]
    return any(hook is not only_logits for hook in hooks) or any("forward" in vars(part) for part in parts)


@dataclass(frozen=True)
class _Folding:
    """Makes fused parts of a frozen copy's parts, or raises `_UnknownError`."""

    dtype: torch.dtype

    def own(self, model: ResNet) -> FusedResNet:
        layers = [layer for stage in model.stages for layer in _members(stage)]
        pre_activated = type(model) is PreActResNet
        after: nn.Module = nn.Identity()
        if pre_activated:
            after = self.normalised(layers[-2:])
            layers = layers[:-2]
        conv, *rest = _members(model.stem)
        if len(rest) not in ((0,) if pre_activated else (2, 3)):
            raise _UnknownError
        return FusedResNet(
            self.dtype,
            before=model.normalise,
            stem=self.chain([(conv, rest[0] if rest else None)], activations=rest[1:2]),
            pool=_only(nn.MaxPool2d, rest[2]) if rest[2:] else nn.Identity(),
            blocks=[self.block(layer) for layer in layers],
            after=after,
            head=_only(nn.Linear, model.head),
        )

    def torchvision(self, model: Any) -> FusedResNet:  # noqa: ANN401 - torchvision says nothing of its types
        stages = [model.layer1, model.layer2, model.layer3, model.layer4]
        if _only(nn.AdaptiveAvgPool2d, model.avgpool).output_size not in (1, (1, 1)):
            raise _UnknownError
        return FusedResNet(
            self.dtype,
            before=nn.Identity(),
            stem=self.chain([(model.conv1, model.bn1)], activations=[model.relu]),
            pool=_only(nn.MaxPool2d, model.maxpool),
            blocks=[self.block(layer) for stage in stages for layer in _members(stage)],
            after=nn.Identity(),
            head=_only(nn.Linear, model.fc),
        )

    def block(self, block: nn.Module) -> nn.Module:
        match block:
            case Block() if type(block) in (Block, GatedBlock):
                shortcut, branch = self.shortcut(block.shortcut), self.residual(block.residual)
                if type(block) is Block:
                    return PlainBlock(shortcut, branch)
                return FusedGatedBlock(shortcut, branch, _gate(block))
            case PreActBlock() if type(block) is PreActBlock:
                return self.pre_activated(block)
            case _:
                return self.torchvisions_block(block)

    def torchvisions_block(self, block: Any) -> PlainBlock:  # noqa: ANN401 - torchvision says nothing of its types
        match resnet_class(type(block)):
            case "BasicBlock":
                pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
            case "Bottleneck":
                pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3)]
            case _:
                raise _UnknownError
        shortcut = None if block.downsample is None else self.chain([tuple(_members(block.downsample))])
        return PlainBlock(shortcut, self.chain(pairs, activations=[block.relu]))

    def residual(self, branch: nn.Module) -> Chain:
        """A `conv_pair` or a `bottleneck`, and the ReLU behind the addition."""
        layers = _members(branch)
        if len(layers) not in (5, 8):
            raise _UnknownError
        return self.chain(list(zip(layers[::3], layers[1::3], strict=True)), activations=layers[2::3])

    def shortcut(self, shortcut: nn.Module) -> Chain | None:
        if type(shortcut) is nn.Identity:
            return None
        found = _only(Projection, shortcut)
        return Chain([self.convolution(found.conv, found.bn, (found.stride, found.stride))], relu=False)

    def pre_activated(self, block: PreActBlock) -> PreActivationBlock:
        conv1, bn, relu, conv2 = _members(block.residual, 4)
        _only(nn.ReLU, relu)
        branch = self.chain([(conv1, bn), (conv2, None)])
        shortcut = None
        if block.shortcut is not None:
            shortcut = Chain([self.convolution(block.shortcut, None, (block.stride, block.stride))], relu=False)
        return PreActivationBlock(self.normalised(_members(block.before, 2)), shortcut, branch)

    def normalised(self, layers: Sequence[nn.Module]) -> nn.Module:
        """Batch-norm and ReLU where no convolution goes before."""
        norm, relu = layers
        _only(nn.ReLU, relu)
        return nn.Sequential(_norm(nn.BatchNorm2d, norm), nn.ReLU(inplace=True))

    def chain(self, pairs: Sequence[Sequence[nn.Module | None]], activations: Sequence[nn.Module] = ()) -> Chain:
        """Convolutions, each with its batch-norm or None, and a ReLU at the end where there are activations."""
        for activation in activations:
            _only(nn.ReLU, activation)
        return Chain([self.convolution(conv, norm) for conv, norm in pairs], relu=bool(activations))

    def convolution(
        self, conv: nn.Module | None, norm: nn.Module | None, stride: tuple[int, int] | None = None
    ) -> Convolution:
        found = _only(nn.Conv2d, conv)
        if found.padding_mode != "zeros" or isinstance(found.padding, str):
            raise _UnknownError
        folded = found if norm is None else fuse_conv_bn_eval(found, _norm(nn.BatchNorm2d, norm))
        if not all(bool(parameter.isfinite().all()) for parameter in folded.parameters()):
            raise _UnknownError  # oneDNN's ReLU makes zeros of NaN
        return Convolution(folded, self.dtype, stride)


def _gate(block: Block) -> Gate:
    """A gate that decides as the block's, from means where it pools; that itself where it takes features."""
    gate = block.gate
    if not isinstance(gate, Gate):
        raise _UnknownError
    if type(gate) is PooledGate:
        plain = type(gate.norm) is nn.Identity
        fc1 = gate.fc1 if plain else fuse_linear_bn_eval(gate.fc1, _norm(nn.BatchNorm1d, gate.norm))
        return PooledLogits(_only(nn.Linear, fc1), _only(nn.Linear, gate.fc2))
    if type(gate) is OpenGate or type(gate).forward is Gate.forward:
        return gate
    raise _UnknownError


def _only(kind: type[M], module: nn.Module | None) -> M:
    """The module if it's of a kind and no subclass, which might compute something else."""
    if type(module) is not kind:
        raise _UnknownError
    return module


def _norm(kind: type[M], module: nn.Module | None) -> M:
    """A batch-norm that has statistics of its own."""
    norm = _only(kind, module)
    if getattr(norm, "running_mean", None) is None or getattr(norm, "running_var", None) is None:
        raise _UnknownError
    return norm


def _members(module: nn.Module, count: int | None = None) -> list[nn.Module]:
    """The layers of a sequence."""
    members = list(_only(nn.Sequential, module))
    if count is not None and len(members) != count:
        raise _UnknownError
    return members
