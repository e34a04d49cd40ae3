"""Where and how a training is computed: what may change its speed and its rounding, never its recipe."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from robustbench_aig.distributed import World


@dataclass(frozen=True)
class Hardware:
    """Where and how a training is computed.

    Attributes:
        device: of this process.
        world: the processes that share every batch.
        amp: compute in bfloat16 where torch's autocast finds it safe.
        compiled: let torch.compile fuse the residual branches.
        sync_bn: take batch statistics over all processes; otherwise each process takes those of its own part.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    world: World = field(default_factory=World)
    amp: bool = False
    compiled: bool = False
    sync_bn: bool = False


def precision(device: torch.device, *, amp: bool) -> AbstractContextManager[object]:
    """A context that lets torch compute in bfloat16, or one that does nothing.

    To enter autocast just to switch it off would fail on a device that doesn't know it, like meta.
    """
    return torch.autocast(device.type, torch.bfloat16) if amp else nullcontext()


def computes_bf16(device: torch.device) -> bool:
    """Whether the hardware itself computes in bfloat16, so that it's faster than single precision."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch can't tell
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
