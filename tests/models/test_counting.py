"""What a network costs doesn't depend on where it's counted, nor on the kernels that would run there."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from robustbench_aig.errors import InputError
from robustbench_aig.models import UnknownMacs, profile_macs

SHAPE = (3, 8, 8)
TOKENS, WIDTH, HIDDEN, CLASSES = 16, 6, 10, 5
PATCHES, HEAD = TOKENS * 3 * 2 * 2 * WIDTH, WIDTH * CLASSES
PROJECTIONS, PRODUCTS = TOKENS * 4 * WIDTH * WIDTH, 2 * TOKENS * TOKENS * WIDTH
FEED_FORWARD = TOKENS * 2 * WIDTH * HIDDEN


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Multihead(nn.Module):
    def __init__(self, *, weights: bool) -> None:
        super().__init__()
        self.weights, self.attention = weights, nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=self.weights)[0]
        return out


class First(nn.Module):
    """The sequence that a recurrent layer returns."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)[0]
        return out


class Tokens(nn.Module):
    """Patches through a layer to the mean token's logits."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.patches, self.layer, self.head = nn.Conv2d(3, WIDTH, 2, 2), layer, nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layer(self.patches(x).flatten(2).transpose(1, 2)).mean(1))
        return logits


LAYERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "scaled_dot_product": (Attention, PROJECTIONS + PRODUCTS),
    "multihead": (lambda: Multihead(weights=False), PROJECTIONS + PRODUCTS),
    "multihead with weights": (lambda: Multihead(weights=True), PROJECTIONS + PRODUCTS),
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, batch_first=True),
        PROJECTIONS + PRODUCTS + FEED_FORWARD,
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, HIDDEN, batch_first=True), 2),
        2 * (PROJECTIONS + PRODUCTS + FEED_FORWARD),
    ),
    "lstm": (lambda: First(nn.LSTM(WIDTH, WIDTH, batch_first=True)), TOKENS * 4 * 2 * WIDTH * WIDTH),
    "gru": (lambda: First(nn.GRU(WIDTH, WIDTH, batch_first=True)), TOKENS * 3 * 2 * WIDTH * WIDTH),
    "rnn": (lambda: First(nn.RNN(WIDTH, WIDTH, batch_first=True)), TOKENS * 2 * WIDTH * WIDTH),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_and_recurrence_by_hand(name: str, device: str) -> None:
    make, cost = LAYERS[name]
    net = Tokens(make()).to(device).eval()
    assert profile_macs(net, SHAPE).total == PATCHES + cost + HEAD


def test_the_process_is_left_as_it_was() -> None:
    before = _enabled()
    profile_macs(Tokens(Attention()), SHAPE)
    assert _enabled() == before


def _enabled() -> tuple[bool, ...]:
    fast = torch.backends.mha.get_fastpath_enabled()
    return fast, torch._C._get_mkldnn_enabled(), torch._C._get_cudnn_enabled(), torch._C._get_flash_sdp_enabled()


class Squeezed(nn.Module):
    """Loses the dimension of a batch of one, as the SkipNets' authors' `squeeze` does."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.conv, self.head, self.fails = nn.Conv2d(3, WIDTH, 3), nn.Linear(WIDTH, CLASSES), fails

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x).mean((2, 3)).squeeze()
        if self.fails:
            features = features - features.mean(1, keepdim=True)
        logits: Tensor = self.head(features)
        return logits


@pytest.mark.parametrize("fails", [True, False])
def test_two_images_are_taken_where_one_fails_or_is_lost(fails: bool) -> None:
    total = profile_macs(Squeezed(fails=fails), SHAPE).total
    assert total == 9 * 3 * WIDTH * 6 * 6 + HEAD


def test_what_fails_on_one_image_and_on_two_is_told() -> None:
    with pytest.raises(InputError, match=r"Conv2d can't be counted, it fails on one image and on two: .*channels"):
        profile_macs(nn.Conv2d(2, 4, 3), SHAPE)


def test_a_product_by_a_vector_counts() -> None:
    class ByVector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vector = nn.Parameter(torch.rand(192))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1) @ self.vector, x.flatten(1).sum(1)], 1)

    assert profile_macs(ByVector(), SHAPE).total == 192


class Choosy(nn.Module):
    """Runs a second convolution for bright images, by a decision of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        bright = (x.mean((1, 2, 3)) > 0.5).nonzero()[:, 0]
        x = self.first(x)
        if len(bright):
            x = x.index_add(0, bright, self.second(x[bright]))
        return x.mean((2, 3))


def test_images_that_cost_unlike_make_it_unknown() -> None:
    first, second = 9 * 3 * 4 * 64, 9 * 4 * 4 * 64
    images = torch.stack([torch.full(SHAPE, value) for value in (0.2, 0.9)])
    with pytest.raises(UnknownMacs, match=f"between {first:,} and {first + second:,} multiply-accumulates") as told:
        profile_macs(Choosy(), SHAPE, images)
    assert told.value.cause == "differs"
    assert profile_macs(Choosy(), SHAPE, images[1:]).total == first + second


def test_what_is_drawn_instead_of_read_off_the_image_is_noticed() -> None:

    class Drawn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 4, 3), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return sum((self.conv(x) for _ in range(1 + self.calls % 2)), torch.tensor(0.0)).mean((2, 3))

    with pytest.raises(UnknownMacs, match="for different images"):
        profile_macs(Drawn(), SHAPE, torch.rand(2, *SHAPE))


def test_an_operation_of_unknown_cost_is_named() -> None:
    class Deformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offsets, self.deformed = nn.Conv2d(3, 18, 3, padding=1), DeformConv2d(3, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.deformed(x, self.offsets(x)).mean((2, 3))
            return out

    with pytest.raises(UnknownMacs, match=r"runs torchvision\.deform_conv2d, whose cost isn't known") as told:
        profile_macs(Deformed(), SHAPE)
    assert told.value.cause == "uncounted"


class Branching(nn.Module):
    """Decides by an operator that takes functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CLASSES, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.cond(x.sum() > 0, self.conv, lambda x: 2 * self.conv(x), (x,)).mean((2, 3))
        return out


def test_what_an_operator_runs_of_functions_is_not_known() -> None:
    with pytest.raises(UnknownMacs, match=r"runs cond, whose cost isn't known"):
        profile_macs(Branching(), SHAPE)
