"""Whether the named blocks are what the decisions skip: all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, Frozen, Open, gating
from robustbench_aig.models import counting
from robustbench_aig.models.adapter_trial.passes import Passes, mostly, tensors
from robustbench_aig.models.adapter_trial.write_trial import without

_DRAWS = 12
"""Of noise in place of what might be a gate."""

Groups = Sequence[tuple[nn.Module, ...]]


def try_blocks(passes: Passes, groups: Groups) -> None:
    """InputError where noise in place of a closed block's output is noticed, or a gate lies inside a block."""
    _refuse_inside(passes, groups)
    for gate, group in enumerate(groups):
        # Decisions that share a module with it have to be closed, too.
        closed = without(len(groups), *(other for other, those in enumerate(groups) if set(those) & set(group)))
        if group and not _silent(passes, closed, group):
            raise InputError(_why_not(passes, groups, gate))


def _refuse_inside(passes: Passes, groups: Groups) -> None:
    running: list[int] = []
    with ExitStack() as stack:
        for number, group in enumerate(groups):
            for module in group:
                stack.enter_context(_noting(module, number, running))
        asked = stack.enter_context(gating(passes.model, _Inside(running)))
        with torch.no_grad():
            passes.model(passes.images)
        inside = asked.policy.found if isinstance(asked.policy, _Inside) else {}
    for gate, block in inside.items():
        raise InputError(
            f"the gate of decision {gate} lies inside block {block}, and so would be skipped with it: name the modules "
            "beside the gate"
        )


class _Inside(Argmax):
    """Notes which decisions are made while a block runs."""

    def __init__(self, running: Sequence[int]) -> None:
        self._running = running
        self.found: dict[int, int] = {}

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        if self._running:
            self.found[gate] = self._running[-1]
        return super().decide(logits, gate, draw)


@contextmanager
def _noting(module: nn.Module, number: int, running: list[int]) -> Iterator[None]:
    def before(*_: object) -> None:
        running.append(number)

    def after(*_: object) -> None:
        running.pop()

    with module.register_forward_pre_hook(before), module.register_forward_hook(after):
        yield


def _silent(passes: Passes, z: Tensor, noisy: Iterable[nn.Module]) -> bool:
    """Whether a pass with decisions (G,) is the same with noise from some modules."""
    plain, noise = passes.frozen(z, passes.images), passes.frozen(z, passes.images, noisy)
    heard = passes.same(plain.differences, noise.differences)
    return bool((passes.same(plain.logits, noise.logits) & heard).all())


def _why_not(passes: Passes, groups: Groups, gate: int) -> str:
    """A sentence that names the mistake, once noise from a closed block was noticed."""
    name, group = passes.name, groups[gate]
    called = " and ".join(passes.called(module) for module in group)
    if _silent(passes, without(len(groups)), group):
        agrees = mostly(passes.agree(passes.own(passes.images), passes.under(Argmax(), passes.images).logits))
        also = "read and write have the opposite sign" if agrees else "write has the opposite sign"
        return f"{also}: {name} runs block {gate}, {called}, where its decision is 0, and skips it where it is 1"
    for other, instead in enumerate(groups):
        if instead and not set(instead) & set(group) and _silent(passes, without(len(groups), gate), instead):
            return (
                f"blocks have another order than the decisions: decision {gate} skips block {other}, "
                f"{' and '.join(passes.called(module) for module in instead)}, and not {called}"
            )
    return (
        f"{called} can't be skipped by decision {gate}: with it closed, what {name} returns or its other gates say "
        "still depends on that output; name the modules whose output a closed gate leaves unused, without shortcuts"
    )


def try_the_rest(passes: Passes, groups: Groups, x: Tensor) -> None:
    """InputError where what lies outside the blocks isn't needed for every image, all decisions being the same.

    Args:
        passes: on the network.
        groups: for each decision the modules that it skips.
        x: (B, C, H, W), images the more different the better.
    """
    inside = {inner for group in groups for module in group for inner in module.modules()}
    outside = [module for module in _costly(passes) if module not in inside]
    opened = without(len(groups))
    _refuse_deciders(passes, outside, opened)
    needed = _needed(passes, outside, opened, x)
    usual = passes.under(Argmax(), passes.images).decisions.mean(0).round().cpu()
    for found in (needed, _needed(passes, outside, usual, x) if (usual == 0).any() else {}):
        for module, mask in found.items():
            if 0 < mask.sum() < len(mask):
                raise InputError(
                    f"{passes.name} makes a decision that no gate is named for: what {passes.called(module)} returns "
                    f"matters for {int(mask.sum())} of {len(mask)} images only, the named gates deciding alike for "
                    "all; name its gate and its block"
                )
    always = [module for module, mask in needed.items() if mask.all()]
    for gate, group in enumerate(groups):
        if not group:
            continue
        for module, mask in _needed(passes, always, without(len(groups), gate), passes.images, gates=True).items():
            if not mask.any():
                raise InputError(
                    f"block {gate} is more than was named: {passes.called(module)} isn't needed either where decision "
                    f"{gate} is closed; name it beside {' and '.join(passes.called(one) for one in group)}"
                )


def _refuse_deciders(passes: Passes, modules: Iterable[nn.Module], z: Tensor) -> None:
    """InputError where whatever small thing a module returns, the network returns one of two things.

    So a gate is found even if it decides alike for all images.
    """
    for module in modules:
        if not _small(passes, module):
            continue
        seen = [
            passes.frozen(z, passes.images, [module], seed=draw, scale=(0.3, 1, 3)[draw % 3]).logits
            for draw in range(_DRAWS)
        ]
        unlike = torch.stack([~passes.agree(seen[0], each) for each in seen])
        second = torch.stack(seen)[unlike.int().argmax(0), torch.arange(len(seen[0]), device=seen[0].device)]
        third = torch.stack([~passes.agree(second, each) for each in seen]) & unlike
        if unlike.any(0).float().mean() > 0.5 and not third.any():
            raise InputError(
                f"{passes.name} makes a decision that no gate is named for: whatever {passes.called(module)} returns, "
                "the logits are one of two; name it among the gates, and its block"
            )


def _small(passes: Passes, module: nn.Module) -> bool:
    """Whether a module returns no more than two numbers for each image, as a gate does."""
    sizes: list[int] = []
    with module.register_forward_hook(lambda *call: sizes.extend(each.numel() for each in tensors(call[2]))):
        passes.under(Open(), passes.images)
    return bool(sizes) and max(sizes) <= 2 * len(passes.images)


def _costly(passes: Passes) -> list[nn.Module]:
    """The modules that multiply and accumulate themselves, not only by what is inside them; with all gates open."""
    own: dict[nn.Module, int] = {}
    stack: list[list[int]] = []  # of what runs: multiply-accumulates before it, and in modules inside it

    def before(*_: object) -> None:
        stack.append([counter.macs, 0])

    def after(module: nn.Module, *_: object) -> None:
        started, within = stack.pop()
        cost = counter.macs - started
        own[module] = own.get(module, 0) + cost - within
        if stack:
            stack[-1][1] += cost

    with counting.counting() as counter, ExitStack() as hooks:
        for module in passes.model.modules():
            if module is not passes.model:
                hooks.enter_context(module.register_forward_pre_hook(before))
                hooks.enter_context(module.register_forward_hook(after))
        hooks.enter_context(gating(passes.model, Open()))
        passes.model(passes.images[:2])
    return [module for module, cost in own.items() if cost > 0]


def _needed(
    passes: Passes, modules: Sequence[nn.Module], z: Tensor, x: Tensor, *, gates: bool = False
) -> dict[nn.Module, Tensor]:
    """For each module (B,) bool, for which images the logits depend on what it returns, decisions being given.

    Where their gradient by its output isn't zero, they do; elsewhere noise in its place tells.

    Args:
        passes: on the network.
        modules: in question.
        z: (G,) decisions.
        x: (B, C, H, W); no more at once than the network is tried on.
        gates: what is read of the gates counts, too.
    """
    parts = [_needed_at_once(passes, modules, z, part, gates=gates) for part in torch.split(x, len(passes.images))]
    return {module: torch.cat([part[module] for part in parts]) for module in modules}


def _needed_at_once(
    passes: Passes, modules: Sequence[nn.Module], z: Tensor, x: Tensor, *, gates: bool
) -> dict[nn.Module, Tensor]:
    def seen(noisy: Iterable[nn.Module] = ()) -> Tensor:
        look = passes.frozen(z, x, noisy)
        return torch.cat(look, 1) if gates else look.logits

    touched = _touched(passes, modules, z, x, gates=gates)
    plain = seen()
    unsure = [module for module in modules if not touched[module].all()]
    dead = [module for module in unsure if not touched[module].any()]
    if dead and passes.same(plain, seen(dead)).all():
        unsure = [module for module in unsure if module not in dead]
    for module in unsure:
        touched[module] |= ~passes.same(plain, seen([module]))
    return touched


def _touched(
    passes: Passes, modules: Sequence[nn.Module], z: Tensor, x: Tensor, *, gates: bool
) -> dict[nn.Module, Tensor]:
    """For each module (B,) bool, for which images a sum of the logits has a gradient by what it returns."""
    outputs: dict[nn.Module, list[Tensor]] = {module: [] for module in modules}

    def keep(module: nn.Module, _: object, output: object) -> None:
        outputs[module] += [each for each in tensors(output) if each.requires_grad]

    leaf = x.detach().requires_grad_()
    with ExitStack() as hooks:
        for module in modules:
            hooks.enter_context(module.register_forward_hook(keep, prepend=True))
        look = passes.attached(Frozen(z.expand(len(x), -1)), leaf)
    ends = torch.cat(look, 1) if gates else look.logits
    weights = torch.randn(ends.shape[1:], generator=torch.Generator().manual_seed(0)).to(ends)
    found = {module: torch.zeros(len(x), dtype=torch.bool, device=x.device) for module in modules}
    flat = [(module, each) for module, kept in outputs.items() for each in kept]
    if not flat or not ends.requires_grad:
        return found
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
        (ends * weights).sum(), [each for _, each in flat], allow_unused=True
    )
    for (module, _), gradient in zip(flat, gradients, strict=True):
        if gradient is not None and gradient.dim() and len(gradient) % len(x) == 0:
            found[module] |= (gradient.reshape(len(x), -1) != 0).any(1)
    return found
