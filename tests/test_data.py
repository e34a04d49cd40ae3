"""Data sets: splits, shapes, folders of odd images, and what is refused."""

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from robustbench_aig.data import DataSet, cache, decoding, digest_of, load_data
from robustbench_aig.data.images import Progress
from robustbench_aig.errors import DataError
from tests.tiny import write_images


def everything(data: DataSet) -> torch.Tensor:
    return torch.cat([data.train.ids, data.validation.ids]).sort().values


def test_digits_are_exact_and_the_test_split_is_fixed() -> None:
    one, two = load_data("digits", seed=0), load_data("digits", seed=1)
    original = torch.from_numpy(load_digits().images).float()
    assert one.shape == (1, 8, 8)
    sixteenths = torch.cat([one.train.images, one.validation.images]) * 16
    assert set(sixteenths.flatten().tolist()) == set(range(17))
    assert one.test.images.sum() + one.train.images.sum() + one.validation.images.sum() == original.sum() / 16
    assert torch.equal(one.test.images, two.test.images)
    assert len(one.test) == 364
    assert one.test.labels.bincount().min() >= 34


def test_validation_is_disjoint_seeded_and_stratified() -> None:
    one, same, other = (load_data("digits", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(everything(one), torch.arange(1433))
    assert len(one.validation) == 143
    assert torch.equal(one.validation.ids, same.validation.ids)
    assert not torch.equal(one.validation.ids, other.validation.ids)
    counts = one.validation.labels.bincount()
    assert counts.max() - counts.min() <= 1


def test_an_id_means_the_same_image_under_every_seed() -> None:
    one, other = load_data("digits", seed=0), load_data("digits", seed=1)
    where = {int(i): row for row, i in enumerate(other.train.ids)}
    shared = [(row, where[int(i)]) for row, i in enumerate(one.train.ids) if int(i) in where]
    rows, others = zip(*shared, strict=True)
    assert torch.equal(one.train.images[list(rows)], other.train.images[list(others)])


def test_mean_and_std_are_those_of_the_training_images(tmp_path: Path) -> None:
    data = load_data(str(write_images(tmp_path)), seed=0)
    pixels = data.train.batch(slice(None)).double()
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-7)
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-7)


def test_a_constant_channel_does_not_divide_by_zero(tmp_path: Path) -> None:
    write_images(tmp_path)
    for path in tmp_path.rglob("*.png"):
        Image.new("RGB", (8, 8), (7, 0, 255)).save(path)
    assert load_data(str(tmp_path), seed=0).std == [1.0, 1.0, 1.0]


def test_limit_takes_the_first_of_a_seeded_order() -> None:
    test = load_data("digits", seed=0).test
    few, more, other = test.limit(10, 0), test.limit(50, 0), test.limit(10, 1)
    assert torch.equal(few.ids, more.ids[:10])
    assert not torch.equal(few.ids, other.ids)
    assert torch.equal(few.images, test.images[few.ids])
    assert torch.equal(few.labels, test.labels[few.ids])
    assert len(test.limit(10**6, 0)) == len(test) == len(test.limit(None, 0))


def test_a_folder_decodes_only_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(str(write_images(tmp_path, test=20)), seed=0)
    asked: list[str] = []
    real = decoding.decode

    def noting(files: Sequence[str], shape: tuple[int, int, int], progress: Progress | None) -> torch.Tensor:
        asked.extend(files)
        return real(files, shape, progress)

    monkeypatch.setattr("robustbench_aig.data.folder.decode", noting)
    few = data.test.limit(3, 0)
    assert few.images.shape == (3, 3, 8, 8)
    assert len(asked) == 3


@pytest.mark.parametrize("size", [(7, 13), (30, 9), (1, 1)])
def test_images_of_one_size_stay_as_they_are(tmp_path: Path, size: tuple[int, int]) -> None:
    data = load_data(str(write_images(tmp_path, size=size)), seed=0)
    assert data.shape == (3, *size)
    assert not data.notes
    first = np.asarray(Image.open(min((tmp_path / "test" / "cat").iterdir())))
    assert np.array_equal(data.test.images[0].permute(1, 2, 0).numpy(), first)
    assert data.classes == ("cat", "dog")
    assert data.name == tmp_path.name


def test_mixed_sizes_are_scaled_and_cropped_and_it_is_said(tmp_path: Path) -> None:
    write_images(tmp_path, size=(20, 30))
    for number in range(2):
        Image.new("RGB", (12, 40)).save(tmp_path / "train" / "cat" / f"narrow{number}.png")
    data = load_data(str(tmp_path), seed=0)
    assert data.shape == (3, 12, 12)
    assert "2 sizes" in data.notes[0]
    assert load_data(str(tmp_path), seed=0, image_size=16).shape == (3, 16, 16)
    assert load_data(str(tmp_path), seed=0, shape=(3, 12, 12)).test.images.shape == (6, 3, 12, 12)


def test_large_mixed_images_become_64_pixels(tmp_path: Path) -> None:
    write_images(tmp_path, size=(70, 90))
    Image.new("RGB", (200, 100)).save(tmp_path / "train" / "cat" / "other.png")
    assert load_data(str(tmp_path), seed=0).shape == (3, 64, 64)


def test_only_an_all_grey_folder_has_one_channel(tmp_path: Path) -> None:
    write_images(tmp_path, mode="L")
    assert load_data(str(tmp_path), seed=0).shape == (1, 8, 8)
    Image.new("RGB", (8, 8)).save(tmp_path / "test" / "cat" / "colour.png")
    assert load_data(str(tmp_path), seed=0).shape == (3, 8, 8)


def test_palettes_transparency_and_hidden_files(tmp_path: Path) -> None:
    write_images(tmp_path)
    Image.new("P", (8, 8)).save(tmp_path / "train" / "cat" / "palette.png", transparency=b"\x00\x01")
    Image.new("RGBA", (8, 8), (255, 0, 0, 10)).save(tmp_path / "train" / "cat" / "zz.png")
    (tmp_path / "train" / "cat" / "._0.png").write_bytes(b"not an image")
    (tmp_path / "train" / ".cache").mkdir()
    data = load_data(str(tmp_path), seed=0)
    assert len(data.train) + len(data.validation) == 26
    assert data.train.images.shape[1:] == (3, 8, 8)


def test_digits_can_be_scaled() -> None:
    data = load_data("digits", seed=0, image_size=16)
    assert data.shape == (1, 16, 16)
    assert 0 <= data.train.images.min() <= data.train.images.max() <= 1
    assert data.test.images.shape == (364, 1, 16, 16)


def test_digest_sees_pixels_labels_and_order() -> None:
    test = load_data("digits", seed=0).test
    same = digest_of(test.images.clone(), test.labels.to(torch.int32))
    assert digest_of(test.images, test.labels) == same
    assert digest_of(test.images.flip(0), test.labels) != same
    assert digest_of(test.images, test.labels.flip(0)) != same


def missing_class(root: Path) -> None:
    (root / "test" / "bird").mkdir()
    Image.new("RGB", (8, 8)).save(root / "test" / "bird" / "0.png")
    (root / "train" / "bird").mkdir()


def corrupt(root: Path) -> None:
    path = root / "train" / "dog" / "5.png"
    path.write_bytes(path.read_bytes()[:60])


def foreign_class(root: Path) -> None:
    (root / "test" / "bird").mkdir()


def one_class(root: Path) -> None:
    for split in ("train", "test"):
        for path in (root / split / "dog").iterdir():
            path.unlink()
        (root / split / "dog").rmdir()


def no_images(root: Path) -> None:
    for path in (root / "test").rglob("*.png"):
        path.rename(path.with_suffix(".txt"))


def text(root: Path) -> None:
    (root / "train" / "cat" / "3.png").write_text("I am no image")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "train").rename(root / "training"), "no folder train/"),
        (lambda root: (root / "test").rename(root / "testing"), "no folder test/"),
        (corrupt, "train/dog/5.png"),
        (text, "3.png: not an image"),
        (one_class, "only one class, 'cat'"),
        (no_images, "no images in"),
        (missing_class, "no images in"),
        (foreign_class, "class 'bird'"),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(write_images(tmp_path))
    with pytest.raises(DataError, match=words):
        _ = load_data(str(tmp_path), seed=0).train.images


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 100 * 257, np.uint16)).save(path.with_suffix(".png"))


def thirty_two_bits(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 100, np.int32)).save(path.with_suffix(".tif"))


def floats(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(path.with_suffix(".tif"))


def lab(path: Path) -> None:
    Image.new("LAB", (8, 8)).save(path.with_suffix(".tif"))


def animated(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(
        path.with_suffix(".png"), save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
    )


def pages(path: Path) -> None:
    Image.new("L", (8, 8)).save(path.with_suffix(".tif"), save_all=True, append_images=[Image.new("L", (8, 8), 9)])


@pytest.mark.parametrize("shape", [None, (1, 8, 8), (3, 8, 8)])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    ("write", "words"),
    [
        (sixteen_bits, "8-bit"),
        (thirty_two_bits, "8-bit"),
        (floats, "8-bit"),
        (lab, "LAB"),
        (animated, "2 pictures"),
        (pages, "2 pictures"),
    ],
)
def test_what_an_image_file_must_not_be_is_refused_however_it_is_read(
    write: Callable[[Path], None],
    words: str,
    shape: tuple[int, int, int] | None,
    kept: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIGROB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "WORTHWHILE", 1 if kept else 2000)
    root = write_images(tmp_path / "pets")
    write(root / "test" / "cat" / "odd")
    with pytest.raises(DataError, match=f"odd.*{words}"):
        _ = load_data(str(root), seed=0, shape=shape).test.images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_8_bit_mode_is_read_as_what_one_sees(mode: str, channels: int, tmp_path: Path) -> None:
    suffix = ".jpg" if mode in {"CMYK", "YCbCr"} else ".png"
    Image.new("RGB", (8, 8), "white").convert(mode).save(tmp_path / f"white{suffix}")
    Image.new("RGB", (8, 8), "black").convert(mode).save(tmp_path / f"black{suffix}")
    paths = [str(tmp_path / f"{name}{suffix}") for name in ("white", "black")]
    white, black = decoding.decode(paths, (channels, 8, 8), None)
    assert white.min() >= 254
    assert black.max() <= 1


def test_sixteen_bit_colour_keeps_its_upper_eight(tmp_path: Path) -> None:
    # Pillow writes none, so the file is put together by hand: signature, header, one row of two pixels, end.
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + struct.pack(">6H", 200 * 257, 100 * 257, 0, 65535, 256, 255)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    read = decoding.decode([str(tmp_path / "deep.png")], (3, 1, 2), None)
    assert read[0, :, 0].T.tolist() == [[200, 100, 0], [255, 1, 0]]


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few"):
        load_data(str(write_images(tmp_path, train=2)), seed=0)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("digit", "did you mean 'digits'"),
        ("cifar", "did you mean 'cifar10'"),
        ("./nowhere", "no folder ./nowhere"),
        (__file__, "is a file"),
    ],
)
def test_unknown_sources_are_refused(source: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_data(source, seed=0)
