"""Common corruptions: against closed forms and other implementations, in any batch, and from files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.corruptions.names import NAMES, SEVERITIES, Corruption
from robustbench_aig.corruptions.pixels import corrupt
from robustbench_aig.errors import DataError, InputError
from robustbench_aig.randomness import Stream


def pictures(count: int = 8, size: int = 32, channels: int = 3) -> Tensor:
    """Smooth random images, unlike noise changed little by a little blur."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)


def streams(count: int = 8) -> Stream:
    return Stream.of(torch.arange(count), 0, "corruption")


def under(name: str, severity: int, x: Tensor) -> Tensor:
    return corrupt(x, Corruption(name, severity), streams(len(x)))


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_severity_is_further_from_the_image(name: str) -> None:
    x = pictures()
    distances = torch.stack([(under(name, k, x) - x).flatten(1).norm(dim=1).mean() for k in SEVERITIES])
    assert distances[0] > 0
    assert (distances.diff() > 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 32, 70])
def test_images_stay_images_whatever_their_batch(name: str, size: int) -> None:
    x = pictures(size=size)
    whole = under(name, 3, x)
    assert whole.shape == x.shape
    assert whole.dtype == x.dtype
    assert ((whole >= 0) & (whole <= 1)).all()
    alone = corrupt(x[5:6], Corruption(name, 3), streams()[torch.tensor([5])])
    torch.testing.assert_close(alone, whole[5:6], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["gaussian-noise", "shot-noise", "impulse-noise", "motion-blur"])
def test_equal_images_are_corrupted_each_in_its_own_way(name: str) -> None:
    first, second = under(name, 3, pictures(1).expand(2, -1, -1, -1))
    assert not torch.allclose(first, second)


def test_noise_has_the_variance_that_it_says() -> None:
    grey = torch.full((40, 3, 32, 32), 0.4)
    assert (under("gaussian-noise", 2, grey) - grey).std().item() == pytest.approx(0.05, rel=0.02)
    assert (under("shot-noise", 3, grey) - grey).std().item() == pytest.approx((0.4 / 120) ** 0.5, rel=0.02)
    impulses = under("impulse-noise", 5, grey)
    assert (impulses == 0).float().mean().item() == pytest.approx(0.05, rel=0.05)
    assert (impulses == 1).float().mean().item() == pytest.approx(0.05, rel=0.05)
    assert ((impulses == 0) | (impulses == 1) | (impulses == grey)).all()


def test_gaussian_blur_is_that_of_scipy() -> None:
    x = pictures(2)
    expected = [[ndimage.gaussian_filter(c.numpy(), 1.1, mode="nearest", radius=4) for c in image] for image in x]
    np.testing.assert_allclose(under("gaussian-blur", 4, x), expected, atol=1e-5)


def test_motion_blur_draws_a_line_of_its_length() -> None:
    """A point becomes a line: of sum 1, symmetric, with the variance of a uniform distribution of that length along
    it, and a pixel's own across it."""
    points = torch.zeros(6, 1, 33, 33)
    points[:, :, 16, 16] = 1
    place = torch.arange(33) - 16.0
    for line in under("motion-blur", 5, points)[:, 0].double():
        assert line.sum().item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(line, line.flip(0, 1), atol=1e-6, rtol=0)
        y, x = line.sum(1), line.sum(0)
        cross = (line * place[:, None] * place).sum()
        covariance = torch.stack([(y * place**2).sum(), cross, cross, (x * place**2).sum()]).view(2, 2)
        across, along = torch.linalg.eigvalsh(covariance).tolist()
        assert along == pytest.approx((8 * 33 / 32) ** 2 / 12, rel=0.12)
        assert across < 0.3


def test_colours_are_those_of_torchvision() -> None:
    x = pictures()
    torch.testing.assert_close(under("saturation", 2, x), vision.adjust_saturation(x, 0.5), atol=1e-3, rtol=0)
    assert (under("saturation", 5, x).std(1) < 1e-6).all()
    torch.testing.assert_close(under("brightness", 1, x), (x + 0.06).clamp(0, 1))
    mean = x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(under("contrast", 5, x), mean + 0.2 * (x - mean))


def test_pixels_become_means_of_blocks() -> None:
    """35 % of 40 pixels are 14; those in the corners lie in a single one of them."""
    x = pictures(2, size=40)
    blocks = torch.nn.functional.adaptive_avg_pool2d(x, 14)
    found = under("pixelate", 5, x)
    torch.testing.assert_close(found[:, :, 0, 0], blocks[:, :, 0, 0])
    torch.testing.assert_close(found[:, :, -1, -1], blocks[:, :, -1, -1])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "saturation"])
def test_grey_images(name: str) -> None:
    x = pictures(2, size=8, channels=1)
    assert under(name, 1, x).shape == x.shape


def test_saturation_of_grey_images_is_refused() -> None:
    with pytest.raises(InputError, match="in colour"):
        under("saturation", 1, pictures(2, channels=1))
    with pytest.raises(InputError, match="1 or 3 channels, not with 2"):
        under("jpeg", 1, pictures(2, channels=2))


def test_names_are_read() -> None:
    assert Corruption.parse("jpeg:2") == [Corruption("jpeg", 2)]
    assert [each.severity for each in Corruption.parse(" contrast ")] == list(SEVERITIES)
    assert Corruption.parse("all:4") == [Corruption(name, 4) for name in NAMES]
    assert len(Corruption.parse("all", ["fog", "snow"])) == 10
    assert str(Corruption("gaussian-noise", 3)) == "corruption gaussian-noise 3"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gausian-noise", "did you mean 'gaussian-noise'"),
        ("fog:3", "unknown corruption 'fog'"),
        ("jpeg:0", "1 to 5, like jpeg:3"),
        ("jpeg:6", "1 to 5"),
        ("jpeg:", "1 to 5"),
        ("jpeg:03", "1 to 5"),
    ],
)
def test_names_that_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Corruption.parse(text)


def write(folder: Path, count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Files in the layout of CIFAR-10-C."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5 * count, 4, 6, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, count)
    np.save(folder / "gaussian_noise.npy", images)
    np.save(folder / "labels.npy", np.tile(labels, 5))
    return images, labels


def test_images_of_files_are_those_of_the_severity(tmp_path: Path) -> None:
    stored, labels = write(tmp_path)
    files = CorruptedFiles(tmp_path)
    assert files.names == ("gaussian-noise",)
    ids = torch.tensor([6, 0, 3])
    files.check(torch.from_numpy(labels)[ids], ids, 7)
    for severity in SEVERITIES:
        found = files.images(Corruption("gaussian-noise", severity), ids)
        expected = [stored[7 * (severity - 1) + number].transpose(2, 0, 1) / 255 for number in ids.tolist()]
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_files_of_other_images_are_refused(tmp_path: Path) -> None:
    _, labels = write(tmp_path)
    files, ids = CorruptedFiles(tmp_path), torch.arange(7)
    with pytest.raises(DataError, match="five severities of the 8"):
        files.check(torch.from_numpy(labels), ids, 8)
    with pytest.raises(DataError, match="other images"):
        files.check(torch.from_numpy(labels).flip(0), ids, 7)


def test_files_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    files = CorruptedFiles(tmp_path)
    with pytest.raises(DataError, match="must hold"):
        _ = files.names
    with pytest.raises(DataError, match=r"fog\.npy cannot be read"):
        files.images(Corruption("fog", 1), torch.arange(2))
    np.save(tmp_path / "fog.npy", np.zeros((5, 4, 4, 3), dtype=np.float32))
    with pytest.raises(DataError, match="uint8"):
        files.images(Corruption("fog", 1), torch.arange(1))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        files.images(Corruption("objects", 1), torch.arange(1))
