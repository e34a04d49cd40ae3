"""Operations that a network dispatches, counted the same on every device and by whatever kernel it would run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten

_FUSED = {
    aten._scaled_dot_product_flash_attention_for_cpu,  # noqa: SLF001 - torch's own names of its kernels
    aten._native_multi_head_attention,  # noqa: SLF001
    aten._transformer_encoder_layer_fwd,  # noqa: SLF001
    aten._cudnn_rnn,  # noqa: SLF001
    aten.miopen_rnn,
    aten.mkldnn_rnn_layer,
    aten._trilinear,  # noqa: SLF001 - nn.Bilinear
}
"""Kernels that multiply and accumulate, and that torch has no formula for."""

_TORCHS = {"aten", "prim", "prims", "profiler", "inductor"}
"""Namespaces of torch's own operations: whatever else of them has no formula is elementwise, a reduction or a view."""


def _product(matrix: Tensor, *_: object, **__: object) -> int:
    return 2 * matrix.shape[0] * matrix.shape[1]


def _added(_: object, matrix: Tensor, *__: object, **___: object) -> int:
    return _product(matrix)


def _dot(vector: Tensor, *_: object, **__: object) -> int:
    return 2 * len(vector)


_FORMULAS = {**flop_registry, aten.mv: _product, aten.addmv: _added, aten.dot: _dot}
"""torch's, with the products by a vector, which it leaves out; a multiply-accumulate counts as two operations."""


class Counter(TorchDispatchMode):
    """Counts what is dispatched while it's entered.

    torch's own FlopCounterMode follows modules as well, which takes most of its time.

    Attributes:
        uncounted: names of operations whose cost isn't known.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._flops = 0
        self.uncounted: set[str] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: to keep out of torch.compile torch imports its compiler, which takes more than a second."""
        return False

    @property
    def macs(self) -> int:
        """Multiply-accumulates so far."""
        return self._flops // 2

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        packet = getattr(func, "overloadpacket", func)  # an operator that takes functions has no overloads
        formula = _FORMULAS.get(packet)
        if formula is None and isinstance(func, OpOverload):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if formula is not None:
            self._flops += int(formula(*args, **kwargs, out_val=out))
        elif packet in _FUSED or func.namespace not in _TORCHS:
            self.uncounted.add(str(packet))
        return out


class _Uncompiled(Counter):  # type: ignore[no-untyped-call]
    """Kept out of torch.compile, which `torch.cond` calls."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    __torch_dispatch__ = Counter.__torch_dispatch__  # torch looks for it in the class itself


@contextmanager
def counting() -> Iterator[Counter]:
    """Count what runs inside, with attention and recurrent layers taken apart into products that can be counted.

    Fused kernels differ between devices, and torch knows the cost of some: of none for attention on a CPU.
    """
    # Where the compiler isn't imported yet, a pass through `torch.cond` fails and imports it; a second one works.
    counter = _Uncompiled() if "torch._dynamo" in sys.modules else Counter()
    with ExitStack() as stack:
        stack.enter_context(_taken_apart())
        stack.enter_context(torch.no_grad())
        stack.enter_context(counter)
        yield counter


@contextmanager
def _taken_apart() -> Iterator[None]:
    # Recurrent layers are one kernel of cuDNN and of oneDNN; convolutions are counted before a kernel is chosen.
    libraries: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.mkldnn)
    fast, enabled = torch.backends.mha.get_fastpath_enabled(), [library.enabled for library in libraries]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for library in libraries:
            library.enabled = False
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for library, was in zip(libraries, enabled, strict=True):
            library.enabled = was


@contextmanager
def metered(module: nn.Module, counter: Counter) -> Iterator[list[int]]:
    """What each call of a module costs inside the context, in multiply-accumulates."""
    calls: list[int] = []

    def before(*_: object) -> None:
        calls.append(-counter.macs)

    def after(*_: object) -> None:
        calls[-1] += counter.macs

    with module.register_forward_pre_hook(before), module.register_forward_hook(after):
        yield calls


def leads(output: object, images: int) -> bool:
    """Whether a network returned a row for each image, as one doesn't that loses a batch of one by `squeeze`."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return not isinstance(first, Tensor) or (first.dim() > 0 and len(first) == images)
