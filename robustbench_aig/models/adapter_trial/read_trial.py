"""Whether `read` says what the network's own gates decide, of every image alone and with a gradient."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from robustbench_aig.errors import InputError, first_line
from robustbench_aig.gating import Argmax, Policy, Sampled
from robustbench_aig.models.adapter_trial.passes import By, Look, Other, Passes, coarse, mostly, noise_into

_STEPS, _STEP, _HALVINGS = 20, 0.1, 14
"""Of the search for images on the other side of a gate, and of that for the threshold between two."""

_DRAWS, _FAR = 40, 5
"""Of a network whose own gates draw; and how many times as far as by chance its mean may be from ours."""

_SCALES = (1, 3, 10, 30, 100, 300, 1000)
"""Of noise in place of what gates are given."""

_TRIED = 12
"""Thresholds on either side of 0, for the sentence on an offset."""

_SEVERAL = 4
"""Images near a threshold that tell a rounded difference from one that happens to be 0."""

_FEW = 0.25
"""Share of the images for which rounding may decide."""


def try_reading(passes: Passes, look: Look) -> None:
    """InputError where the differences aren't numbers that a gate's decision can rest on.

    Args:
        passes: on the network.
        look: under argmax, at the images of `passes`.
    """
    d = look.differences
    for gate in range(d.shape[1]):
        if not d[:, gate].isfinite().all():
            raise InputError(
                f"read returns NaN or infinity for decision {gate}: give it logits, or limit a probability, as in "
                "p.logit(1e-6)"
            )
    for gate, answer in enumerate(passes.answers()):
        half = d.dtype in (torch.float16, torch.bfloat16)
        if answer.fine and (half or (_varies(d[:, gate]) and coarse(d[:, gate]))):
            raise InputError(
                f"read rounds decision {gate} to half precision or whole numbers, unlike the network: return what it "
                "computed, in float32"
            )
    _refuse_company(passes, d)


def _refuse_company(passes: Passes, d: Tensor) -> None:
    """InputError where what is read of an image depends on the images beside it."""
    x = passes.images
    half = len(x) // 2
    if not half:
        return
    others = torch.cat([x[:half], 1 - x[half:].flip(0)])
    beside = passes.under(Argmax(), others).differences
    away = (d - beside)[:half].abs() > 1e-4 * (1 + d[:half].abs())
    if away.any():
        gate = int(away.any(0).nonzero()[0])
        raise InputError(
            f"decision {gate} of an image depends on the other images of its batch: a gate, and read, must look at "
            "each image alone"
        )


def try_gradients(passes: Passes) -> tuple[int, ...]:
    """InputError where a difference that isn't the same for all images has no gradient by them, or one that is NaN.

    Returns:
        The decisions whose difference is the same for all images, and has none: of a gate that doesn't look, or whose
        probability is saturated throughout.
    """
    leaf = passes.images.detach().requires_grad_()
    d = passes.attached(Argmax(), leaf).differences
    still: list[int] = []
    for gate in range(d.shape[1]):
        gradient = torch.zeros_like(leaf)
        if d.requires_grad:
            try:
                (gradient,) = torch.autograd.grad(d[:, gate].sum(), leaf, retain_graph=True, materialize_grads=True)
            except RuntimeError as error:
                raise InputError(
                    f"what read returns for decision {gate} has no gradient: {first_line(error)}"
                ) from None
        if gradient.isnan().any():
            raise InputError(
                f"the gradient of what read returns for decision {gate} is NaN: give it logits instead of probabilities"
            )
        if gradient.any():
            continue
        still.append(gate)
        if _varies(d[:, gate]):
            raise InputError(
                f"the gradient of what read returns for decision {gate} is zero for all {len(leaf)} images, so that no "
                "attack can move that gate: give it logits, neither detached nor saturated nor rounded"
            )
    return tuple(still)


def _varies(column: Tensor) -> bool:
    return bool((column != column[0]).any())


def try_decisions(passes: Passes, look: Look) -> None:
    """InputError where under argmax the network isn't the one that its own code makes of it.

    First on the images; then with noise of any size in place of what the gates are given, which opens and closes those
    that images don't; then on the way from the images to the other side of each gate, and there on ever shorter
    stretches across the threshold.

    Args:
        passes: on the network.
        look: under argmax, at the images of `passes`.
    """
    x = passes.images
    size = look.differences.abs().median(0).values.clamp_min(1e-12)
    _agree(passes, x, look, size)
    for beside in (1 - x, torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)):
        _agree(passes, beside, passes.under(Argmax(), beside), size)
    for number, scale in enumerate(_SCALES):
        with noise_into(passes.gates, number, scale):
            look = passes.under(Argmax(), x)
        with noise_into(passes.gates, number, scale):
            _agree(passes, x, look, look.differences.abs().median(0).values)
    gates = look.differences.shape[1]
    for start in range(0, gates, len(x)):
        gate = (start + torch.arange(len(x), device=x.device)) % gates
        _cross(passes, gate, size)


def _agree(passes: Passes, x: Tensor, look: Look, size: Tensor) -> Tensor:
    """(B,) bool, where the network's own logits are those under argmax; InputError where they have to be.

    Args:
        passes: on the network.
        x: images (B, C, H, W).
        look: at them, under argmax.
        size: (G,) of the differences; below a share of it rounding may decide.
    """
    own = passes.own(x)
    equal = passes.agree(own, look.logits)
    excused = (look.differences.abs() < passes.near * size).any(1)
    if not (equal | excused).all() or (~equal).float().mean() > _FEW:
        raise InputError(_why_not(passes, x, own, look))
    return equal


def _why_not(passes: Passes, x: Tensor, own: Tensor, look: Look) -> str:
    """A sentence that names the mistake, once the network under argmax is not itself."""
    name, wrong = passes.name, ~passes.agree(own, look.logits)
    start = f"with gates read as deployed {name} doesn't return its own logits on {int(wrong.sum())} of {len(x)} images"

    def explains(policy: Policy) -> bool:
        agrees = passes.agree(own, passes.under(policy, x).logits)
        return mostly(agrees) and mostly(agrees[wrong])

    if explains(By(lambda d: d <= 0)):
        return f"{start}: read has the wrong sign, D > 0 must be where the network runs the block"
    for threshold in (0.5, *_thresholds(look.differences)):
        if explains(By(partial(torch.gt, other=threshold))):
            share = threshold == 0.5 and bool(((look.differences >= 0) & (look.differences <= 1)).all())
            what = "a probability instead of a logit, as p.logit(1e-6) would be" if share else "an offset"
            return f"{start}: read returns {what}; the network's threshold lies near D = {threshold:.3g} instead of 0"
    row = int(wrong.nonzero()[0])
    for gate in range(look.differences.shape[1]):
        if passes.agree(own, passes.under(Other(gate), x).logits)[row]:
            said = look.differences[row, gate].item()
            does = "runs" if said <= 0 else "skips"
            return (
                f"{start}: decision {gate} was read as {said:.3g}, and the network {does} the block there; D > 0 must "
                "be where it runs the block"
            )
    return f"{start}: read doesn't say what its gates decide, or write doesn't return what they do"


def _thresholds(d: Tensor) -> list[float]:
    """Between the differences that are nearest to 0, on either side."""
    values = d.flatten().double().sort().values
    below, above = values[values <= 0][-_TRIED:], values[values > 0][:_TRIED]
    near = torch.cat([below, above])
    between: list[float] = ((near[1:] + near[:-1]) / 2).tolist()
    return sorted(between, key=abs)


def _cross(passes: Passes, gate: Tensor, size: Tensor) -> None:
    """Move each image over one gate's threshold, gate (B,), and compare on the way."""
    rows = torch.arange(len(gate), device=gate.device)
    near, far = passes.images, passes.images
    side = passes.under(Argmax(), near).differences[rows, gate].sign()
    crossed = torch.zeros(len(gate), dtype=torch.bool, device=gate.device)
    for _ in range(_STEPS):
        leaf = far.detach().requires_grad_()
        d = passes.attached(Argmax(), leaf).differences[rows, gate]
        if not d.requires_grad:
            return
        try:
            (gradient,) = torch.autograd.grad((side * d).sum(), leaf, materialize_grads=True)
        except RuntimeError:  # `try_gradients` tells
            return
        stepped = (far - _STEP * gradient.nan_to_num().sign()).clamp(0, 1)
        still = ~crossed
        near, far = _where(still, far, near), _where(still, stepped, far)
        look = passes.under(Argmax(), far)
        _agree(passes, far, look, size)
        crossed |= look.differences[rows, gate].sign() != side
        if crossed.all():
            break
    if not crossed.any():
        return
    flat = torch.zeros_like(crossed)
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        look = passes.under(Argmax(), middle)
        _agree(passes, middle, look, size)
        d = look.differences[rows, gate]
        flat |= d == 0
        before = d.sign() == side
        near, far = _where(before, middle, near), _where(before, far, middle)
    fine = all(answer.fine for answer in passes.answers())
    if fine and int(crossed.sum()) >= _SEVERAL and flat[crossed].float().mean() > 0.5:
        raise InputError(
            f"close to its threshold what read returns is exactly 0 for {int(flat[crossed].sum())} of "
            f"{int(crossed.sum())} images: it is rounded, and what {passes.name} decides there isn't"
        )


def try_draws(passes: Passes) -> None:
    """The same where the network's own gates draw: on average its logits are those of gates sampled as they are read.

    InputError where they are further apart than chance explains, on the images, or with noise in place of what the
    gates are given.
    """
    for scale in (None, 3, 30):
        noise = nullcontext if scale is None else partial(noise_into, passes.gates, 0, scale)
        own, ours = [], []
        for seed in range(_DRAWS):
            with noise():
                own.append(passes.own(passes.images, seed))
            with noise():
                ours.append(passes.under(Sampled(), passes.images, _DRAWS + seed).logits)
        one, other = torch.stack(own), torch.stack(ours)
        apart = (one.mean(0) - other.mean(0)).square().sum(1).mean()
        chance = (one.var(0) + other.var(0)).sum(1).mean() / _DRAWS
        if apart > _FAR * chance:
            raise InputError(
                f"{passes.name} draws its decisions, and over {_DRAWS} draws its mean logits are far from those of "
                "gates drawn as read says: D must be the logit of the probability that the network runs the block, "
                "and write must return what the gate does"
            )


def _where(mask: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(mask.view(-1, 1, 1, 1), one, other)
