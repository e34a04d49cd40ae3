"""Where defects are planted: images, and honest networks that were trained on such."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from robustbench_aig.attacks import Attack
from robustbench_aig.checks import Case, reference_attack
from robustbench_aig.data import DataSet, ImageSet, load_data
from robustbench_aig.evaluation import Images, Network, network_of_run
from robustbench_aig.runs import read_run, released
from robustbench_aig.threat import Threat
from robustbench_aig.training import load_model

DATA = os.environ.get("AIGROB_EVIDENCE_DATA", "")
"""The images of the released networks, where `make evidence` was told of them."""


@dataclass(frozen=True)
class Setting:
    """Images, and a ball.

    Attributes:
        data: to take the images from.
        half: the ball in which attacks leave about half of networks' images that weren't trained against them.
        blunt: checks that find less here.
    """

    data: DataSet
    half: Threat
    blunt: frozenset[str] = frozenset()

    @cached_property
    def images(self) -> Images:
        """The first test images."""
        test = self.data.test.limit(200, 0)
        return Images(test.batch(slice(None)), test.labels, test.ids)

    def case(self, of: Network, policy: str, attack: Attack | None = None, **more: Any) -> Case:
        """A case of a network in this ball."""
        subject = of.subject(policy)
        return Case(subject, self.images, self.half, attack or reference_attack(random=subject.random), **more)

    def recorded(self, of: Network) -> tuple[int, int]:
        """What its run says of the test set: how many of how many images were right."""
        assert of.record.training is not None
        accuracy, total = next(iter(of.record.training.test_accuracy.values())), len(self.data.test)
        return round(accuracy * total), total

    def validated(self, of: Network) -> tuple[int, int]:
        """The same of the validation images."""
        assert of.record.training is not None
        accuracy, total = next(iter(of.record.training.validation_accuracy.values())), len(self.data.validation)
        return round(accuracy * total), total

    @property
    def learned(self) -> tuple[ImageSet, ImageSet]:
        """The images that trainings look at."""
        return self.data.train, self.data.validation


class Ground(NamedTuple):
    """A setting, and the networks "plain" and "gated-0" that know its images."""

    setting: Setting
    network: Callable[[str], Network]


@cache
def digits() -> Setting:
    """Small images, for networks that are trained in seconds."""
    return Setting(load_data("digits", seed=0), Threat.parse("24/255"))


@cache
def real_images() -> Setting:
    """What the released networks know. They lose half of it to so little that far more leaves poor attacks enough."""
    data = load_data(str(Path(DATA).absolute()), seed=0)
    return Setting(data, Threat.parse("1/255"), blunt=frozenset({"high-epsilon"}))


def released_network(name: str) -> Network:
    """One of depth 20 that stands for a small one."""
    path = released() / {"plain": "cifar10-jpeg-resnet20-short-s0", "gated-0": "cifar10-jpeg-aig20-short-s0"}[name]
    return network_of_run(read_run(path), load_model(path))
