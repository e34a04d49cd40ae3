"""Soft gates: they scale instead of choosing, so that every block runs for every image."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from robustbench_aig.gating.gate import Gate, pooled


class SoftGate(Gate):
    """Base of gates that ask no policy: whatever it is, they do the same, and are traced as p = z in (0, 1).

    A subclass overrides `forward` and notes the factors it multiplies by, one number or many per image.
    """

    def note(self, z: Tensor) -> None:
        """Record the mean (B,) of the factors (B, …)."""
        if self.trace is None:
            return
        mean = z.flatten(1).mean(1)
        mean = mean if self.trace.draws is None else self.trace.draws.each(mean)
        self.trace.record(mean, mean)


class Excitation(SoftGate):
    """`skip` + s · residual(x), s = σ(FC(relu(FC(pooled(residual(x)))))), one factor per channel.

    Squeeze-and-excitation (Hu et al., arXiv 1709.01507, section 3). Unlike all other gates it looks at what the block
    has computed. Its trace is the mean over the channels.

    Args:
        channels: C' of the block's output.
        reduction: r; the hidden layer has C' / r units, and at least one.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, skip: Tensor, residual: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, C', H', W')."""
        features = residual(x)
        z = self.fc2(self.fc1(pooled(features)).relu()).sigmoid()
        self.note(z)
        out: Tensor = skip + z[:, :, None, None] * features
        return out


class TransformGate(SoftGate):
    """(1 - z) · `skip` + z · residual(x), z = σ(1×1 convolution of x), one factor per channel and pixel.

    The transform gate of highway networks (Srivastava et al., arXiv 1505.00387, equation 3), in a residual network as
    He et al. have it (arXiv 1603.05027, section 3.1, exclusive gating). Its trace is the mean over channels and pixels.

    Args:
        channels: C of the block's input.
        width: C' of its output.
        stride: of the block.
        bias: of the convolution at the beginning; the more negative, the more of the input is carried through.
    """

    def __init__(self, channels: int, width: int, stride: int, *, bias: float) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, width, 1)
        nn.init.constant_(self.conv.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, skip: Tensor, residual: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, C', H', W')."""
        # A convolution with a stride of its own is avoided for the reason given in `models.resnet.Projection`.
        z = self.conv(x[:, :, :: self.stride, :: self.stride]).sigmoid()
        self.note(z)
        out: Tensor = (1 - z) * skip + z * residual(x)
        return out
