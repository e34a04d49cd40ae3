"""Sets as positions in a store: nothing is copied that isn't asked for, and streams equal plain indexing."""

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from robustbench_aig.data import ImageSet, cache
from robustbench_aig.data.images import cut_validation, resident
from robustbench_aig.data.stored import Stored, mapping

CPU, META = torch.device("cpu"), torch.device("meta")
FILE = Path("as if mapped from it")
COUNT = 40
PIXELS = torch.arange(COUNT * 2 * 3 * 5, dtype=torch.int32).remainder(251).to(torch.uint8).view(COUNT, 2, 3, 5)
LABELS = torch.arange(COUNT) % 4


def mapped() -> ImageSet:
    """As if it came from a file."""
    return ImageSet(torch.arange(COUNT), LABELS, Stored(PIXELS, torch.arange(COUNT), FILE))


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("images")]


positions = st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=COUNT).map(torch.tensor)


@given(positions, st.data())
def test_any_selections_equal_plain_indexing(first: Tensor, data: st.DataObject) -> None:
    inside = st.lists(st.integers(-len(first), len(first) - 1), min_size=1, max_size=9).map(torch.tensor)
    second, index = data.draw(inside), data.draw(inside.map(lambda found: found.remainder(5)))
    for images in (mapped(), resident(PIXELS, LABELS)):
        chosen = images.select(first).select(second)
        plain = PIXELS[first][second]
        assert torch.equal(chosen.ids, torch.arange(COUNT)[first][second])
        assert torch.equal(chosen.labels, LABELS[first][second])
        assert torch.equal(chosen.raw(index.remainder(len(second))), plain[index.remainder(len(second))])
        assert torch.equal(chosen.raw(slice(1, 4)), plain[1:4])
        assert torch.equal(chosen.images, plain)
        assert chosen.images.stride() == plain.stride()


@given(st.lists(st.lists(st.integers(-COUNT, COUNT - 1), max_size=6).map(lambda found: torch.tensor(found).long())))
def test_a_stream_gives_what_raw_gives(indices: list[Tensor]) -> None:
    plain = [PIXELS[index] for index in indices]
    for images in (mapped(), resident(PIXELS, LABELS)):
        streamed = list(images.stream(iter(indices)))
        assert len(streamed) == len(plain)
        assert all(map(torch.equal, streamed, plain))
    assert not helpers()


def test_floats_are_streamed_as_they_are() -> None:
    pixels = PIXELS / 255
    images = ImageSet(torch.arange(COUNT), LABELS, Stored(pixels, file=FILE))
    assert torch.equal(torch.cat(list(images.stream(torch.split(torch.arange(COUNT), 7)))), pixels)


def test_a_set_larger_than_memory(tmp_path: Path) -> None:
    """64 GiB of which the file system knows that they are zeros; whoever reads them all runs out of memory or time."""
    path, shape = tmp_path / "images.npy", (2**16, 1, 2**10, 2**10)
    cache.keep_pixels(path, (1, 1, 1, 1), [np.zeros((1, 1, 1, 1), np.uint8)])
    with path.open("r+b") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        stream.truncate(stream.tell())
        stream.truncate(stream.tell() + 2**36)
        stream.seek(-(2**20), 2)
        stream.write(b"\7" * 2**20)
        sums = np.full(shape[0], zlib.crc32(bytes(2**20)), "<u4")
        sums[-1] = zlib.crc32(b"\7" * 2**20)
        stream.write(sums.tobytes())
    kept = cache.load_pixels(path, shape)
    assert kept is not None
    count = len(kept.pixels)
    stored = mapping(kept.pixels, torch.arange(count), path, kept.sums)
    images = ImageSet(torch.arange(count), torch.arange(count) % 2, stored)
    train, validation = cut_validation(images.to(CPU), seed=0)
    for part in (train, validation, train.limit(None, 0)):
        here = part.to(CPU)
        last = here.ids.argmax().view(1)
        batches = list(here.stream([last, torch.tensor([0, 1])]))
        assert batches[0].eq(7).all() == (here.ids.max() == count - 1)
        assert not batches[1][0].any()
    few = images.limit(3, 0)
    assert few.images.shape == (3, 1, 2**10, 2**10)


def test_a_mapped_set_stays_mapped_on_the_host() -> None:
    train, validation = cut_validation(mapped(), seed=0)
    for images in (train, validation, train.limit(5, 0), train.to(CPU), train.to(CPU, budget=0)):
        assert images.stored.store.data_ptr() == PIXELS.data_ptr()
        assert not images.resident


def test_a_budget_decides_what_is_copied() -> None:
    few = mapped().limit(10, 0)
    assert few.stored.nbytes == 10 * 2 * 3 * 5
    copied, left = few.to(CPU, budget=300), few.to(CPU, budget=299)
    assert copied.resident
    assert not left.resident
    assert torch.equal(copied.images, few.images)
    assert torch.equal(left.images, few.images)
    assert len(copied.stored.store) == 10


def test_what_is_in_memory_is_copied_by_nobody() -> None:
    images = resident(PIXELS, LABELS)
    train, _ = cut_validation(images, seed=0)
    for part in (images.to(CPU), images.to(CPU, budget=0), train, train.to(CPU), train.limit(3, 0)):
        assert part.resident
        assert part.stored.store.data_ptr() == PIXELS.data_ptr()


def test_pixels_without_room_on_a_device_are_sent_batch_by_batch() -> None:
    for images in (mapped(), resident(PIXELS, LABELS)):
        there = images.to(META, budget=0)
        assert there.labels.device == META
        assert there.stored.store.data_ptr() == PIXELS.data_ptr()
        assert not there.resident
        batches = [there.raw(slice(0, 4)), *there.stream([torch.arange(4)])]
        assert [(batch.device, batch.shape) for batch in batches] == [(META, (4, 2, 3, 5))] * 2
        assert images.to(META).resident


def test_a_stream_is_two_batches_ahead_and_no_more() -> None:
    asked: list[int] = []

    def indices() -> Iterator[Tensor]:
        for number in range(6):
            asked.append(number)
            yield torch.tensor([number])

    stream = mapped().stream(indices())
    assert not asked
    assert not helpers()
    seen: list[int] = []
    for batch in stream:
        assert torch.equal(batch, PIXELS[len(seen)].unsqueeze(0))
        seen.append(len(asked))
    assert seen == [3, 4, 5, 6, 6, 6]


def test_the_batches_are_gathered_by_one_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    who: set[str] = set()
    real = Stored.gather

    def noting(self: Stored, index: Tensor | slice, *, pinned: bool) -> Tensor:
        who.add(threading.current_thread().name)
        return real(self, index, pinned=pinned)

    monkeypatch.setattr(Stored, "gather", noting)
    list(mapped().stream(torch.split(torch.arange(COUNT), 4)))
    assert len(who) == 1
    assert who != {threading.current_thread().name}


@pytest.mark.parametrize("images", [mapped(), resident(PIXELS, LABELS)])
def test_a_failure_is_raised_in_its_turn(images: ImageSet) -> None:
    stream = images.stream([torch.tensor([1]), torch.tensor([COUNT]), torch.tensor([2])])
    assert torch.equal(next(stream), PIXELS[1:2])
    with pytest.raises(IndexError):
        next(stream)
    assert not helpers()


def test_a_failure_of_the_order_is_raised() -> None:
    def indices() -> Iterator[Tensor]:
        yield torch.tensor([1])
        raise KeyError("order")

    with pytest.raises(KeyError):
        list(mapped().stream(indices()))
    assert not helpers()


def test_closing_a_stream_ends_its_thread() -> None:
    stream = mapped().stream(torch.split(torch.arange(COUNT), 1))
    next(stream)
    assert len(helpers()) == 1
    stream.close()
    assert not helpers()


def test_forgetting_a_stream_ends_its_thread() -> None:
    for _ in mapped().stream(torch.split(torch.arange(COUNT), 1)):
        assert len(helpers()) == 1
        break
    assert not helpers()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gets_the_same_pixels_either_way() -> None:
    device, order = torch.device("cuda"), torch.split(torch.randperm(COUNT), 7)
    for images in (mapped(), resident(PIXELS, LABELS), mapped().limit(30, 0).select(torch.arange(COUNT) % 30)):
        plain = [images.raw(index) for index in order]
        there, streamed = images.to(device), images.to(device, budget=0)
        assert there.resident
        assert not streamed.resident
        for found in ([there.raw(index) for index in order], [*there.stream(order)], [*streamed.stream(order)]):
            assert all(batch.is_cuda for batch in found)
            assert all(torch.equal(batch.cpu(), wanted) for batch, wanted in zip(found, plain, strict=True))
        assert torch.equal(streamed.raw(order[0].to(device)).cpu(), plain[0])
