"""The pre-activation residual network (He et al., arXiv 1603.05027, figure 4e)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from robustbench_aig.models.resnet import ResNet


class PreActBlock(nn.Module):
    """shortcut(a) + residual(a) with a = relu(norm(x)); the identity shortcut takes x itself."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.before = nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(channels), relu=nn.ReLU()))
        self.stride = stride
        changes = channels != width or stride > 1
        self.shortcut = nn.Conv2d(channels, width, 1, bias=False) if changes else None
        self.residual = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
                bn=nn.BatchNorm2d(width),
                relu=nn.ReLU(),
                conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride)."""
        a = self.before(x)
        # Pixels are dropped before the 1×1 convolution for the reason given in `Projection`.
        skip: Tensor = x if self.shortcut is None else self.shortcut(a[:, :, :: self.stride, :: self.stride])
        out: Tensor = skip + self.residual(a)
        return out


class PreActResNet(ResNet):
    """A `ResNet` of pre-activation blocks, with one more batch-norm and ReLU before the pooling.

    With a stem of 16 channels and widths 16k, 32k and 64k it is the wide residual network of Zagoruyko and Komodakis
    (arXiv 1605.07146), whose depth is counted with the three shortcuts that have weights: WRN-40-4 has depth 38 here.

    Args:
        depth: 6n + 2.
        classes: number of logits.
        mean: per channel, as for `ResNet`.
        std: the same.
        widths: channels of the three stages.
        stem_width: as for `ResNet`.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        widths: Sequence[int] = (16, 32, 64),
        stem_width: int | None = None,
    ) -> None:
        super().__init__(depth, classes, mean=mean, std=std, widths=widths, stem_width=stem_width)
        # The stem's batch-norm and ReLU are the first block's business here.
        del self.stem.bn, self.stem.relu
        self.stages.append(nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(widths[-1]), relu=nn.ReLU())))

    def make_block(self, position: int, channels: int, width: int, stride: int) -> nn.Module:
        """A pre-activation block."""
        return PreActBlock(channels, width, stride)
