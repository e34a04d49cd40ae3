"""JPEG in front of a network: the pixels of other libraries, the gradient of nothing at all."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.io import decode_jpeg, encode_jpeg

from robustbench_aig.defence_names import JpegDefence, parse_defence
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.models.defended import Jpeg, defended
from tests.networks import gated, images


def photo(size: tuple[int, int] = (32, 32), channels: int = 3) -> Tensor:
    """(1, C, H, W): soft slopes and edges, some texture; multiples of 1/255."""
    y, x = (torch.linspace(0, 1, n) for n in size)
    plane = 0.5 + 0.3 * torch.sin(7 * x)[None, :] * torch.cos(5 * y)[:, None] + 0.15 * (x[None, :] > y[:, None])
    shades = torch.stack([plane * (1 - 0.2 * c) for c in range(channels)])
    noise = 0.03 * torch.randn(shades.shape, generator=torch.Generator().manual_seed(0))
    return ((shades + noise).clamp(0, 1) * 255).round()[None] / 255


def by_pillow(x: Tensor, quality: int) -> Tensor:
    """One image (1, C, H, W) through a whole JPEG file of Pillow's, header and all."""
    pixels = (x[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file)).reshape(pixels.shape)
    return torch.from_numpy(decoded).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("quality", [1, 10, 75, 95, 100])
@pytest.mark.parametrize(("channels", "size"), [(3, (32, 32)), (1, (8, 8)), (3, (13, 29)), (1, (33, 7)), (3, (1, 1))])
def test_pixels_are_those_of_a_jpeg_file(quality: int, channels: int, size: tuple[int, int]) -> None:
    """Exactly Pillow's, since both use one libjpeg."""
    x = photo(size, channels)
    assert torch.equal(Jpeg(quality)(x), by_pillow(x, quality))


@pytest.mark.filterwarnings("ignore:.*torchcodec:DeprecationWarning", "ignore:.*TorchCodec:DeprecationWarning")
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_torchvisions(channels: int) -> None:
    """An independent provider with a libjpeg of its own: within one step of 255, for its rounding may differ."""
    x = photo((37, 24), channels)
    theirs = decode_jpeg(encode_jpeg((x[0] * 255).round().to(torch.uint8), quality=75))[None].float() / 255
    assert (Jpeg(75)(x) - theirs).abs().max() <= 1.01 / 255


def test_the_gradient_is_exactly_the_identity() -> None:
    x = photo().requires_grad_()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((Jpeg(30)(x) * weights).sum(), x)
    assert torch.equal(gradient, weights)


def test_the_gradient_of_a_network_is_taken_at_the_compressed_image() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.LazyLinear(5)).eval()
    x = photo().requires_grad_()
    network(x)
    compressed = by_pillow(x.detach(), 40).requires_grad_()
    (ours,) = torch.autograd.grad(defended(network, "jpeg:40")(x)[:, 2].sum(), x)
    (expected,) = torch.autograd.grad(network(compressed)[:, 2].sum(), compressed)
    assert torch.equal(ours, expected)


def test_less_quality_changes_more() -> None:
    x = photo((64, 64))
    errors = [(Jpeg(quality)(x) - x).square().mean().item() for quality in (5, 20, 50, 75, 90, 100)]
    assert errors == sorted(errors, reverse=True)
    # Not more, because half of the chroma's resolution is lost at any quality.
    assert errors[0] > 4 * errors[-1] > 0


def test_each_image_of_a_batch_as_if_alone_and_again_the_same() -> None:
    x = torch.cat([photo(), photo().flip(3), images(1, 32)[0]])
    jpeg = Jpeg(75)
    together = jpeg(x)
    assert torch.equal(together, torch.cat([jpeg(image[None]) for image in x]))
    assert torch.equal(together, jpeg(x))
    assert jpeg(x[:0]).shape == (0, 3, 32, 32)


def test_pixels_stay_within_the_box_and_are_eight_bit() -> None:
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    out = Jpeg(10)(x)
    assert out.min() >= 0
    assert out.max() <= 1
    torch.testing.assert_close(out * 255, (out * 255).round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_type_and_layout_stay_and_the_input_is_not_written_to(dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = torch.cat([photo(), photo().flip(2)]).to(dtype).contiguous(memory_format=layout)
    before = x.clone()
    out = Jpeg(75)(x)
    assert out.dtype == dtype
    assert out.stride() == x.stride()
    assert torch.equal(x, before)


def test_two_channels_are_no_jpeg() -> None:
    with pytest.raises(InputError, match="1 or 3 channels, not of 2"):
        Jpeg(75)(torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_impossible_quality_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 100"):
        Jpeg(quality)


def test_a_defended_network_keeps_gates_costs_and_modes() -> None:
    model = gated()
    behind = defended(model, "jpeg:75")
    x = images(5)[0]
    with torch.no_grad(), gating(model, Argmax()) as alone:
        expected = model(torch.cat([by_pillow(image[None], 75) for image in x]))
    with torch.no_grad(), gating(behind, Argmax()) as trace:
        torch.testing.assert_close(behind(x), expected)
    assert torch.equal(trace.decisions, alone.decisions)
    assert profile_macs(behind, (3, 12, 12)) == profile_macs(model, (3, 12, 12))
    assert not any(module.training for module in behind.modules())
    assert defended(model.train(), "jpeg:75").training


def test_no_defence_is_the_network_itself() -> None:
    model = gated()
    assert defended(model, "none") is model


def test_spellings() -> None:
    assert parse_defence("none") is None
    assert parse_defence("jpeg:75") == JpegDefence(quality=75)
    assert [str(parse_defence(text)) for text in ("jpeg:1", " jpeg:100 ")] == ["jpeg:1", "jpeg:100"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jpeg", "needs a quality from 1 to 100, like jpeg:75"),
        ("jpeg:", "needs a quality"),
        ("jpeg:0", "needs a quality"),
        ("jpeg:101", "needs a quality"),
        ("jpeg:-5", "needs a quality"),
        ("jpeg:7.5", "needs a quality"),
        ("jpeg:075", "needs a quality"),
        ("jpeg:7_5", "needs a quality"),
        ("jpeg:²", "needs a quality"),
        ("jpeg:75:50", "needs a quality"),
        ("jpg:75", "did you mean 'jpeg'.*jpeg:75 or none"),
        ("JPEG:75", "jpeg:75 or none"),
        ("blur:3", "known: jpeg, none"),
        ("", "known: jpeg, none"),
        ("none:1", "has no settings"),
    ],
)
def test_bad_spellings_are_refused_with_the_way_out(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse_defence(text)
    assert "\n" not in str(caught.value)
