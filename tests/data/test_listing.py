"""Folders of images as they are: what is found in them, how it is read, and that all problems are told at once."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torchvision.datasets import ImageFolder

from robustbench_aig.data import load_data
from robustbench_aig.data.decoding import decode, measure
from robustbench_aig.data.listing import list_folder
from robustbench_aig.errors import DataError
from tests.tiny import write_images


def seen(root: Path) -> list[tuple[str, int]]:
    return [
        (name, label) for split in list_folder(root)[:2] for name, label in zip(split.names, split.labels, strict=True)
    ]


def test_files_labels_and_their_order_are_those_of_torchvision(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "train" / "cat" / "more" / "still more").mkdir(parents=True)
    for name in ("more/b.png", "more/still more/a.PNG", "more.png", "10.jpeg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / "cat" / name, format="PNG")
    for split, listed in zip(("train", "test"), list_folder(tmp_path)[:2], strict=True):
        known = ImageFolder(str(tmp_path / split))
        assert list(zip(listed.files, listed.labels, strict=True)) == known.samples
        assert list(listed.classes) == known.classes


def test_what_is_hidden_no_file_or_a_loop_adds_nothing(tmp_path: Path) -> None:
    write_images(tmp_path)
    before = seen(tmp_path)
    cats = tmp_path / "train" / "cat"
    for hidden in (cats / ".thumbnails", tmp_path / "train" / ".cache", tmp_path / ".git"):
        hidden.mkdir()
        shutil.copy(cats / "0.png", hidden / "0.png")
    shutil.copy(cats / "0.png", cats / "._0.png")
    for number, target in enumerate((".", "..", "../..", str(tmp_path), "../cat")):
        (cats / f"loop{number}").symlink_to(target)
    (cats / "itself.png").symlink_to("itself.png")
    (cats / "itself").symlink_to("itself")
    os.mkfifo(cats / "pipe.png")
    (cats / "pipe2.png").symlink_to("pipe.png")
    (cats / "folder.png").mkdir()
    assert seen(tmp_path) == before
    assert load_data(str(tmp_path), seed=0).train.images.shape[0] == 22


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    write_images(tmp_path / "in")
    write_images(tmp_path / "elsewhere")
    (tmp_path / "in" / "train" / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "train" / "cat")
    (tmp_path / "in" / "test" / "dog" / "linked.png").symlink_to(tmp_path / "elsewhere" / "test" / "dog" / "0.png")
    train, test, _ = list_folder(tmp_path / "in")
    assert (len(train.files), len(test.files)) == (36, 7)
    assert "cat/more/0.png" in train.names


def test_other_files_are_left_out_and_said(tmp_path: Path) -> None:
    write_images(tmp_path)
    for name in ("notes.txt", "more.txt", "README", "film.mp4"):
        (tmp_path / "train" / "cat" / name).write_text("hello")
    data = load_data(str(tmp_path), seed=0)
    assert "files that are no images are left out: 1 with .mp4, 2 with .txt, 1 with no ending" in data.notes


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_images_stand_for_test_images(name: str, tmp_path: Path) -> None:
    write_images(tmp_path)
    wanted = load_data(str(tmp_path), seed=0).test
    pixels = wanted.images
    (tmp_path / "test").rename(tmp_path / name)
    data = load_data(str(tmp_path), seed=0)
    assert f"{name}/ is taken for the test split" in data.notes
    assert torch.equal(data.test.images, pixels)
    assert torch.equal(data.test.labels, wanted.labels)


def test_beside_test_images_validation_images_are_not_used(tmp_path: Path) -> None:
    write_images(tmp_path)
    shutil.copytree(tmp_path / "test", tmp_path / "val")
    data = load_data(str(tmp_path), seed=0)
    assert "val/ isn't used: validation images are cut from train/" in data.notes
    assert len(data.test) == 6


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Class folders alone, of 12 images each."""
    write_images(tmp_path / "made")
    return (tmp_path / "made" / "train").rename(tmp_path / "pets")


def test_class_folders_alone_are_split_whatever_the_seed(alone: Path) -> None:
    data, other = (load_data(str(alone), seed=seed) for seed in (0, 1))
    assert "6 of 24 images are for tests, a fifth of each class" in data.notes[0]
    assert data.test.labels.bincount().tolist() == [3, 3]
    assert data.test.file_names == other.test.file_names
    learned = {*data.train.file_names, *data.validation.file_names}
    assert len(learned) == 18
    assert not learned & set(data.test.file_names)
    assert data.classes == ("cat", "dog")


def test_more_images_hardly_change_which_are_for_tests(alone: Path) -> None:
    before = set(load_data(str(alone), seed=0).test.file_names)
    for number in range(20, 25):
        shutil.copy(alone / "cat" / "0.png", alone / "cat" / f"{number}.png")
    data = load_data(str(alone), seed=0)
    old = {name for name in data.test.file_names if int(name.split("/")[1].removesuffix(".png")) < 20}
    assert len(data.test) == 7
    assert len(before - old) <= 2


def test_one_image_can_t_be_split(alone: Path) -> None:
    (alone / "bird").mkdir()
    shutil.copy(alone / "cat" / "0.png", alone / "bird" / "0.png")
    with pytest.raises(DataError, match=r"one image alone in .*bird"):
        load_data(str(alone), seed=0)


UPRIGHT = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)
"""No two pixels alike."""


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_a_turned_photograph_is_read_upright(turn: int, ending: str, tmp_path: Path) -> None:
    """What is stored is turned by NumPy, as the standard's table says: row 0 is top, right, bottom, …"""
    across = UPRIGHT.transpose(1, 0, 2)
    stored = {
        1: UPRIGHT,
        2: UPRIGHT[:, ::-1],
        3: UPRIGHT[::-1, ::-1],
        4: UPRIGHT[::-1],
        5: across,
        6: across[::-1],
        7: across[::-1, ::-1],
        8: across[:, ::-1],
    }[turn]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    path = str(tmp_path / f"a.{ending}")
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, lossless=True)  # the others know no such word
    assert measure([path]).counts == [(6, 10, 1)]
    assert np.array_equal(decode([path], (3, 6, 10), None)[0].permute(1, 2, 0).numpy(), UPRIGHT)


def test_an_orientation_that_there_is_not_changes_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 77
    path = str(tmp_path / "a.png")
    Image.fromarray(UPRIGHT).save(path, exif=exif)
    assert np.array_equal(decode([path], (3, 6, 10), None)[0].permute(1, 2, 0).numpy(), UPRIGHT)


def test_of_a_film_the_first_picture_is_read(tmp_path: Path) -> None:
    write_images(tmp_path)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "test" / "dog" / "zz.gif", save_all=True, append_images=frames[1:])
    test = load_data(str(tmp_path), seed=0).test
    assert test.file_names[-1] == "dog/zz.gif"
    assert test.images[-1, :, 0, 0].tolist() == [255, 0, 0]


def test_a_thumbnail_does_not_shrink_all_the_others(tmp_path: Path) -> None:
    write_images(tmp_path, size=(20, 30))
    Image.new("RGB", (5, 3)).save(tmp_path / "train" / "cat" / "thumbnail.png")
    data = load_data(str(tmp_path), seed=0)
    assert data.shape == (3, 20, 20)
    assert "2 sizes" in data.notes[0]
    assert "--image-size" in data.notes[0]


def test_small_images_of_many_sizes_become_eight_pixels(tmp_path: Path) -> None:
    write_images(tmp_path, size=(5, 3))
    for path in (tmp_path / "train" / "cat").iterdir():
        Image.new("RGB", (4, 4)).save(path)
    assert load_data(str(tmp_path), seed=0).shape == (3, 8, 8)


def test_a_folder_that_the_system_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for root, whom nothing is forbidden."""
    write_images(tmp_path)
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "dog":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"2 problems .*train/dog: permission denied.*test/dog: permission denied"):
        load_data(str(tmp_path), seed=0)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "train" / "bird").mkdir()
    (tmp_path / "test" / "fish").mkdir()
    (tmp_path / "train" / "\udcff").mkdir()
    shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "train" / "cat" / "a\x1b[31m.png")
    with pytest.raises(DataError) as told:
        load_data(str(tmp_path), seed=0)
    for words in ("4 problems", "bird: add some", "class 'fish'", r"'\udcff'", r"'a\x1b[31m.png'", "control character"):
        assert words in str(told.value)
    assert str(told.value).isprintable()


def test_all_damaged_images_are_told_at_once(tmp_path: Path) -> None:
    write_images(tmp_path)
    damaged = [tmp_path / place for place in ("train/cat/1.png", "train/dog/2.png", "test/cat/0.png")]
    for path in damaged:
        path.write_text("no image")
    for shape in (None, (3, 8, 8)):
        with pytest.raises(DataError) as told:
            _ = load_data(str(tmp_path), seed=0, shape=shape).train.images
        assert all(str(path) in str(told.value) for path in damaged if shape is None or "train" in path.parts)


def test_of_many_problems_the_first_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, train=40)
    for path in (tmp_path / "train" / "cat").iterdir():
        path.write_text("no image")
    with pytest.raises(DataError, match=r"40 problems .*; and 20 more"):
        load_data(str(tmp_path), seed=0)


def test_a_folder_whose_own_name_is_no_text_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    odd = str((tmp_path / "pets").rename(tmp_path / "\udcff"))
    with pytest.raises(DataError, match=r"udcff' isn't UTF-8"):
        load_data(odd, seed=0)


def test_a_folder_with_all_of_it_at_once_is_read_pixel_by_pixel(tmp_path: Path) -> None:
    """Hidden, linked, turned, moving, tiny, grey, with a palette, and with val/ for test/; of 16 bits it is refused."""
    write_images(tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    cats = tmp_path / "train" / "cat"
    known = {f"cat/{path.name}": np.asarray(Image.open(path).convert("RGB")) for path in cats.iterdir()}
    known |= {f"dog/{p.name}": np.asarray(Image.open(p).convert("RGB")) for p in (tmp_path / "train" / "dog").iterdir()}
    pixels = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    grey = pixels[..., 0]
    (cats / ".hidden").mkdir()
    shutil.copy(cats / "0.png", cats / ".hidden" / "a.png")
    (cats / "loop").symlink_to("..")
    os.mkfifo(cats / "pipe.png")
    (cats / "notes.txt").write_text("no image")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 3
    Image.fromarray(np.ascontiguousarray(pixels[::-1, ::-1])).save(cats / "turned.png", exif=turned)
    first = Image.fromarray(pixels).quantize(64)
    first.save(cats / "film.gif", save_all=True, append_images=[Image.new("P", (8, 8))])
    first.save(cats / "palette.png")
    Image.fromarray(grey).save(cats / "grey.png")
    Image.new("RGB", (3, 2), "red").save(cats / "tiny.png")
    known |= {"cat/turned.png": pixels, "cat/film.gif": np.asarray(first.convert("RGB"))}
    known |= {"cat/palette.png": np.asarray(first.convert("RGB")), "cat/tiny.png": np.full((8, 8, 3), [255, 0, 0])}
    known["cat/grey.png"] = np.repeat(grey[..., None], 3, 2)
    data = load_data(str(tmp_path), seed=0)
    read = {
        name: image.permute(1, 2, 0).numpy()
        for images in (data.train, data.validation)
        for name, image in zip(images.file_names, images.images, strict=True)
    }
    assert data.shape == (3, 8, 8)
    assert read.keys() == known.keys()
    assert [name for name in known if not np.array_equal(read[name], known[name])] == []
    assert len(data.test) == 6
    Image.fromarray(grey.astype(np.uint16) * 257).save(cats / "sixteen.png")
    with pytest.raises(DataError, match=r"sixteen\.png: I;16 pixels are not 8-bit"):
        _ = load_data(str(tmp_path), seed=0).train.images
