"""CIFAR-10, CIFAR-100 and SVHN from files, and what is refused; tiny files in their authors' form."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from robustbench_aig.data import KNOWN, load_data
from robustbench_aig.data.published import PUBLISHED
from robustbench_aig.errors import DataError
from tests.command import aigrob_here, refused
from tests.data.published import write_cifar, write_svhn


def test_all_that_are_read_can_be_named() -> None:
    assert {*KNOWN} == {*PUBLISHED, "digits"}


@pytest.mark.parametrize(("name", "kind", "classes"), [("cifar10", CIFAR10, 10), ("cifar100", CIFAR100, 100)])
def test_cifar_is_read_as_it_was_written(
    name: str, kind: type[CIFAR10], classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_cifar(tmp_path, kind, monkeypatch)
    data = load_data(name, seed=0, root=tmp_path)
    assert (data.name, data.shape, data.classes) == (name, (3, 32, 32), tuple(f"class{n}" for n in range(classes)))
    pixels, labels, names = written["test"]
    assert torch.equal(data.test.images, torch.from_numpy(pixels))
    assert data.test.labels.tolist() == labels
    assert data.test.names == tuple(f"class{label}/{file}" for label, file in zip(labels, names, strict=True))
    pixels, labels, _ = written["train"]
    for split in (data.train, data.validation):
        assert torch.equal(split.images, torch.from_numpy(pixels)[split.ids])
        assert torch.equal(split.labels, torch.tensor(labels)[split.ids])
    # The same as torchvision reads, which unpickles whatever is in the file.
    theirs = kind(tmp_path, train=False)
    assert torch.equal(data.test.images, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
    assert data.test.labels.tolist() == theirs.targets
    assert list(data.classes) == theirs.classes


def test_svhn_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels, _ = write_svhn(tmp_path, monkeypatch)["test"]
    data = load_data("svhn", seed=0, root=tmp_path)
    assert torch.equal(data.test.images, torch.from_numpy(pixels))
    assert data.test.labels.tolist() == labels
    assert data.classes == tuple("0123456789")
    assert data.test.names == ()
    assert data.test.images.is_contiguous()


class Evil:
    """What a pickle may make its reader do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even with the sum that is expected."""
    write_cifar(tmp_path, CIFAR10, monkeypatch)
    content = pickle.dumps(Evil(), protocol=2)
    (tmp_path / CIFAR10.base_folder / "test_batch").write_bytes(content)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", hashlib.md5(content).hexdigest()]])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"test_batch cannot be read \(it asks for posix.system\)"):
        load_data("cifar10", seed=0, root=tmp_path)
    assert not Path("evil").exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_what_is_not_there_or_damaged_names_the_flag(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIGROB_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"in {tmp_path}.*--download"):
        load_data(name, seed=0)
    write_cifar(tmp_path, CIFAR10, monkeypatch)
    write_cifar(tmp_path, CIFAR100, monkeypatch)
    write_svhn(tmp_path, monkeypatch)
    load_data(name, seed=0)
    places = {"cifar10": "cifar-10-batches-py/data_batch_3", "cifar100": "cifar-100-python/meta"}
    path = tmp_path / places.get(name, "train_32x32.mat")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"in {tmp_path}.*--download"):
        load_data(name, seed=0)


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        sys.stdout.write("Downloading")
        raise OSError("no network here")

    monkeypatch.setattr("robustbench_aig.data.published.download_and_extract_archive", fails)
    result = aigrob_here(tmp_path, "train", "--data", "cifar100", "--download", "--quiet")
    assert result.stdout == ""
    assert "aigrob: CIFAR-100 cannot be downloaded" in result.stderr
    assert "no network here" in result.stderr


def test_a_folder_of_that_name_is_told_from_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_data("digits", seed=0).notes == ()
    Path("digits").mkdir()
    assert "./digits" in load_data("digits", seed=0).notes[0]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["cifar100/aig20"], ["no CIFAR-100", "--download"]),
        (["cifar100/aig20", "resnet20"], ["no CIFAR-100"]),
        (["svhn/resnet20"], ["no SVHN"]),
        (["resnet56"], ["no CIFAR-10 "]),
        (["aig20"], ["cifar10 or cifar100 or svhn", "--data"]),
        (["cifar10/aig20", "svhn/aig20"], ["different data sets", "--data"]),
        (["imagenet/aig50"], ["for imagenet", "--data DIR"]),
        (["imagefolder/aig18"], ["for imagefolder", "--data DIR"]),
        (["mine.toml"], ["no SVHN"]),
        (["nothing"], ["unknown model 'nothing'"]),
    ],
)
def test_a_recipe_of_a_data_set_never_trains_on_another_in_silence(
    models: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIGROB_DATA", str(tmp_path / "empty"))
    (tmp_path / "mine.toml").write_text('base = "svhn/aig20"\nsummary = "mine"\n')
    refused(aigrob_here(tmp_path, "train", *models, "--epochs", "1"), *words)
    assert not (tmp_path / "runs").exists()


def test_cifar100_is_trained_by_its_own_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, CIFAR100, monkeypatch)
    monkeypatch.setenv("AIGROB_DATA", str(tmp_path))
    result = aigrob_here(tmp_path, "train", "cifar100/resnet20", "--epochs", "1", "--preset", "short", "--quiet")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "runs" / "cifar100-resnet20-short-s0").is_dir()
