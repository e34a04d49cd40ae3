"""The trial of a network that isn't ours: what it bears, whether its answers are its images' own, before it counts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from robustbench_aig.errors import InputError, first_line, lacks_memory
from robustbench_aig.models.foreign.answers import ruled_out
from robustbench_aig.models.foreign.copying import own_copy, unwrapped, weights_digest
from robustbench_aig.models.foreign.torch_settings import Defaults, neutral
from robustbench_aig.models.foreign.wrapper import ForeignNetwork
from robustbench_aig.norms import unit
from robustbench_aig.randomness import seeded

_FEW = 8
"""Images of the trial."""
_AGAIN = 5
"""Passes over the same images: dice that show in one of ten are missed in three of five trials."""
_SAME = 1e-5
"""Distance of logits, each over its length, up to which passes over batches of one size are taken for equal."""
_ALIKE = 1e-2
"""The same for batches of other sizes, which go through other kernels, and through bfloat16 as coarsely as this."""


def enter(
    given: object,
    name: str,
    images: Tensor,
    *,
    chunk: int,
    device: torch.device,
    defaults: Defaults | None = None,
) -> ForeignNetwork:
    """A frozen copy of a network, wrapped, as it bears such images; the network itself stays as it is.

    Args:
        given: from images in [0, 1] to logits; as it was built, or as `load_own` gives it.
        name: what errors call it.
        images: (N, C, H, W) float32 in [0, 1], those that it will be attacked on.
        chunk: how many at once.
        device: where.
        defaults: of the program that it comes from; without any those that `load_own` noted, or that are set now.

    Raises:
        InputError: no such network, it can't be copied, it fails on such images, its logits are none, or an image's
            depend on the images beside it; one line that names the cause. Nothing was measured.
    """
    if not isinstance(given, nn.Module):
        kind = f"the class {given.__name__}: call it" if isinstance(given, type) else f"a {type(given).__name__}"
        raise InputError(f"{name} is no torch.nn.Module, but {kind}")
    outer = given if isinstance(given, ForeignNetwork) else ForeignNetwork(given, name, defaults)
    with neutral():
        copied = _moved(own_copy(unwrapped(outer.network), name), name, device)
        entered = ForeignNetwork(copied, name, outer.defaults).eval()
        entered.hub, entered.digest = outer.hub, _digest(copied, name)
        few = images[:_FEW].to(device)
        few = few if len(few) > 1 else torch.cat([few, 1 - few])
        logits = _shaped(entered, few)
        if not ruled_out(logits).isfinite().all():
            raise InputError(f"{name} returns NaN or infinite logits on clean images: check its weights")
        entered.classes = logits.shape[1]
        entered.restless = _restless(entered, few, logits)
        _try_sizes(entered, images, few, logits, chunk)
        if not entered.restless:
            _refuse_company(entered, few, logits)
        entered.unattackable = _unattackable(entered, few)
    return entered


def _moved(network: nn.Module, name: str, device: torch.device) -> nn.Module:
    try:
        return network.to(device)
    except Exception as error:  # noqa: BLE001 - foreign code may fail in any way
        raise InputError(f"{name} can't be moved to {device}: {type(error).__name__}: {first_line(error)}") from None


def _digest(network: nn.Module, name: str) -> str:
    try:
        return weights_digest(network)
    except Exception as error:  # noqa: BLE001 - as above
        said = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{name} has weights that can't be read, so no report could name them: {said}") from None


def _shaped(entered: ForeignNetwork, few: Tensor) -> Tensor:
    """Logits (B, classes) of a few images, in the first way of handing them over that the network bears."""
    failed: InputError | None = None
    for dtype, channels_last in _ways(entered):
        entered.dtype, entered.channels_last = dtype, channels_last
        try:
            entered.network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
            logits = _answer(entered, few)
        except InputError as error:
            failed = error
            continue
        if logits.dim() != 2 or logits.shape[0] != len(few) or logits.shape[1] < 2:
            raise InputError(
                f"{entered.name} must return logits ({len(few)}, classes) for {len(few)} images: "
                f"got {tuple(logits.shape)}"
            )
        return logits
    assert failed is not None
    raise failed


def _ways(entered: ForeignNetwork) -> Iterator[tuple[torch.dtype, bool]]:
    """Types and layouts of images, the fastest first: channels last, where nothing inside takes a view of them."""
    tensors = (*entered.network.parameters(), *entered.network.buffers())
    own = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    for dtype in dict.fromkeys((torch.float32, own)):
        yield dtype, True
        yield dtype, False


def _answer(entered: ForeignNetwork, images: Tensor, seed: int = 0) -> Tensor:
    """The logits of one pass with every dice of the process seeded, and -inf where a class is ruled out."""
    with torch.no_grad(), seeded(seed, images.device):
        return entered.answer(images)


def _restless(entered: ForeignNetwork, few: Tensor, first: Tensor) -> bool:
    """Whether it answers twice differently, by the process's own dice; InputError where by others."""
    if not any(_apart(first, _answer(entered, few, seed), _SAME) for seed in range(1, _AGAIN)):
        return False
    if _apart(first, _answer(entered, few), _SAME):
        raise InputError(
            f"{entered.name} answers the same images differently every time, even from the same seed: let it draw from "
            "torch's global generator, and keep nothing from one call to the next"
        )
    return True


def _try_sizes(entered: ForeignNetwork, images: Tensor, few: Tensor, logits: Tensor, chunk: int) -> None:
    """One image, two, a full chunk and the last: the answers to the first are as before, or the network is refused."""
    first = min(chunk, len(images))
    for size in sorted({1, 2, first, len(images) % first or first} - {len(few)}):
        batch = images[:size].to(few.device) if size > len(few) else few[:size]
        found = _of_size(entered, batch, entered.classes)
        if found is None or entered.restless:
            continue
        shared = min(size, len(few))
        if _apart(found[:shared], logits[:shared], _ALIKE):
            raise InputError(_of_company(entered, f"{size} at once and {len(few)} at once"))


def _of_size(entered: ForeignNetwork, batch: Tensor, classes: int) -> Tensor | None:
    """The logits of a batch; None where there is no memory for it, since then halves are measured."""
    try:
        found = _answer(entered, batch)
        if found.shape == (len(batch), classes):
            return found
        problem = InputError(
            f"{entered.name} returns {tuple(found.shape)} for {len(batch)} images, where logits (B, classes) are wanted"
        )
    except InputError as error:
        problem = error
    except Exception as error:
        if not lacks_memory(error):
            raise
        return None
    if len(batch) > 1 or entered.paired:
        raise problem
    # Many networks lose the batch of one image by a squeeze.
    entered.paired = True
    try:
        return _of_size(entered, batch, classes)
    except InputError:
        raise problem from None


def _refuse_company(entered: ForeignNetwork, few: Tensor, logits: Tensor) -> None:
    """InputError where an image's logits depend on the images beside it, in a batch of the same size."""
    half = len(few) // 2
    for kept, changed in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        other = few.clone()
        other[changed] = 1 - few[changed]
        if _apart(_answer(entered, other)[kept], logits[kept], _SAME):
            raise InputError(_of_company(entered, "beside other images"))


def _of_company(entered: ForeignNetwork, where: str) -> str:
    return (
        f"{entered.name} answers an image differently {where}: its logits must not depend on the batch that the image "
        "is in; in eval mode a batch-norm needs statistics of its own (track_running_stats)"
    )


def _apart(logits: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether logits (B, classes) of two passes, each over its length, are further apart for any image; NaN is."""
    if not torch.equal(logits.isneginf(), other.isneginf()):
        return True
    first, second = (unit(each.masked_fill(each.isneginf(), 0.0)) for each in (logits, other))
    return not bool(((first - second).norm(dim=1) <= tolerance).all())


def _unattackable(entered: ForeignNetwork, few: Tensor) -> str | None:
    """Why no gradient reaches the images; None where one does."""
    point = few[:2].clone().requires_grad_()
    try:
        with seeded(0, few.device):
            logits = entered(point)
            if not logits.requires_grad:
                return "its logits have no history: it works under no_grad, detaches, or leaves torch"
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(logits.sum(), point, allow_unused=True)
    except Exception as error:  # noqa: BLE001 - foreign code may fail in any way
        if lacks_memory(error):
            return None
        return f"{type(error).__name__}: {first_line(error)}"
    return "its logits don't depend on the images" if gradients[0] is None else None
