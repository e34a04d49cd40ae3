"""The benchmarks' harness and what they compare; how fast anything is, no test says."""

import itertools
import json
import multiprocessing
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import robustbench_aig
from benchmarks import pairs
from benchmarks.pairs import Way, in_turns, ratios
from benchmarks.train import floor, make_job, network, our_loop, random_images
from benchmarks.usual_loop import PilImages, usual_loop
from robustbench_aig.data.images import resident
from robustbench_aig.errors import InputError
from robustbench_aig.medians import coverage
from robustbench_aig.recipes import Adversarial, Augment
from robustbench_aig.training import Job
from robustbench_aig.zoo import find_model
from tests.command import aigrob_here, refused
from tests.tiny import recipe, write_images, write_recipe


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PAUSE", 0.0)


def test_everyone_has_a_turn_in_each_round_and_another_one_begins() -> None:
    seen: list[str] = []

    def steps(name: str) -> Iterator[None]:
        while True:
            seen.append(name)
            yield

    ways = {"a": Way(steps("a"), lead=0), "b": Way(steps("b"), lead=2), "c": Way(steps("c"), lead=0)}
    told: list[tuple[int, int]] = []
    seconds = in_turns(ways, rounds=4, steps=1, progress=lambda *done: told.append(done))
    assert "".join(seen) == "".join(turns.replace("b", "bbb") for turns in ("cab", "abc", "bca", "cab", "abc"))
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_clock_counts_steps_behind_the_lead_and_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of its own: a step takes a second, and half a second more passes until the device is done."""
    now = 0.0

    def steps() -> Iterator[None]:
        nonlocal now
        while True:
            now += 1
            yield

    def wait() -> None:
        nonlocal now
        now += 0.5

    monkeypatch.setattr("time.perf_counter", lambda: now)
    assert in_turns({"a": Way(steps(), lead=3)}, rounds=2, steps=5, wait=wait) == {"a": [1.1, 1.1]}
    # Left alone, a turn is as many steps as take it 1.5 seconds: 2 + 0.5 seconds for two, so one.
    assert in_turns({"a": Way(steps())}, rounds=1, wait=wait) == {"a": [1.5]}


def test_ratios_are_formed_inside_each_pair() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def small(*, gated: bool = True) -> Job:
    """64 images that can be told apart, one batch."""
    job = make_job("tiny", recipe(gated=gated), random_images((3, 8, 8), 2))
    labels = job.data.train.labels[:64]
    images = (job.data.train.images[:64] // 2) + (labels * 120).to(torch.uint8).view(-1, 1, 1, 1)
    return replace(job, data=replace(job.data, train=resident(images, labels)))


def moved(model: nn.Module, steps: Iterator[object]) -> set[str]:
    """Names of the parameters that a step changes."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    next(steps)
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("gated", [False, True])
def test_both_loops_train_the_same_parameters_and_the_floor_none(gated: bool) -> None:
    job = small(gated=gated)
    one, other, third = network(job), network(job, ours=False), network(job)
    everything = {name for name, _ in one.named_parameters()}
    assert gated == any("gate" in name for name in everything)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    with closing(usual_loop(other, job)) as usual:
        assert moved(one, our_loop(one, job)) == moved(other, usual) == everything
    assert moved(third, floor(third, job)) == set()
    assert all(parameter.grad is not None for parameter in third.parameters())


def test_the_usual_loop_learns_and_leaves_no_worker_behind() -> None:
    job = small()
    usual: Generator[float] = usual_loop(network(job, ours=False), job)
    with closing(usual):
        losses = list(itertools.islice(usual, 30))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert not multiprocessing.active_children()


def test_the_usual_images_are_ours_normalised() -> None:
    """Without crop and flip both networks see the same numbers, in colour, in grey, and of stored floats."""
    for channels, scale in ((3, 1), (1, 1), (1, 255)):
        data = random_images((channels, 8, 8), 2)
        if scale > 1:
            data = replace(data, train=resident(data.train.images / 255, data.train.labels))
        image, label = PilImages(data, Augment())[5]
        mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (data.mean, data.std))
        assert torch.allclose(image, (data.train.batch(slice(5, 6))[0] - mean) / std, atol=1e-5)
        assert label == data.train.labels[5]
    shifted = PilImages(data, Augment(crop=0.125, flip=True))
    assert len({tuple(shifted[5][0].flatten().tolist()) for _ in range(20)}) > 5


def test_what_the_usual_loop_cannot_do_is_refused() -> None:
    found = recipe()
    assert found.training is not None
    attacked = found.training.model_copy(update={"adversarial": Adversarial(method="pgd")})
    with pytest.raises(InputError, match="trains on attacked images"):
        make_job("tiny", found.model_copy(update={"training": attacked}), None)


def test_random_images_are_of_the_recipes_shape() -> None:
    name, found = find_model("digits/aig14")
    assert make_job(name, found, None).data.shape == (1, 8, 8)


@pytest.fixture
def where(tmp_path: Path) -> Path:
    """A working directory with recipes and a folder of images, and without a checkout."""
    write_recipe(tmp_path / "plain.toml", gated=False)
    write_recipe(tmp_path / "gated.toml", gated=True)
    write_images(tmp_path / "photos")
    return tmp_path


def test_the_command_gives_one_json_document(where: Path) -> None:
    arguments = ["plain.toml", "gated.toml", "--data", "photos", "--pairs", "9", "--steps", "1", "--device", "cpu"]
    ran = aigrob_here(where, "bench", "train", *arguments, "--json", "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    document = json.loads(ran.stdout)
    assert document["coverage"] == coverage(9, 2)
    assert document["environment"]["device"] == "cpu"
    assert [model["model"] for model in document["models"]] == ["plain", "gated"]
    for model in document["models"]:
        assert (model["data"], model["batch"], model["precision"], model["pairs"]) == ("photos", 8, "fp32", 9)
        assert set(model["images_per_second"]) == {"ours", "usual_loop", "floor"}
        assert all(speed > 0 for speed in model["images_per_second"].values())
        for key, above, below in (("usual_loop", "usual_loop", "ours"), ("floor", "ours", "floor")):
            ratio, seconds = model[f"ratio_to_{key}"], model["seconds_per_step"]
            ordered = sorted(a / b for a, b in zip(seconds[above], seconds[below], strict=True))
            assert (ratio["low"], ratio["median"], ratio["high"]) == (ordered[1], ordered[4], ordered[7])


def test_the_command_shows_a_table(where: Path) -> None:
    ran = aigrob_here(where, "bench", "train", "plain.toml", "--data", "photos", "--steps", "1", "--amp")
    assert ran.returncode == 0, ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if line.split()[:1] == ["plain"]]
    assert line.split()[1] == "bf16"
    assert "9 pairs, with 96.1% intervals" in ran.stdout
    assert not list(where.glob("runs*"))


def test_fewer_than_nine_pairs_are_refused(where: Path) -> None:
    ran = aigrob_here(where, "bench", "train", "--pairs", "8")
    refused(ran, "--pairs", "9")


@pytest.mark.parametrize("arguments", [(), ("train",), ("--help",), ("nothing",)])
def test_without_a_checkout_it_says_what_to_do(
    where: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    monkeypatch.setattr(robustbench_aig, "__file__", str(where / "site-packages" / "robustbench_aig" / "__init__.py"))
    refused(aigrob_here(where, "bench", *arguments), "clone the repository", "pip install -e .")


def test_alone_it_says_what_can_be_measured() -> None:
    assert "train" in aigrob_here(Path(), "bench").stdout
