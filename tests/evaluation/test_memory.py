"""Where memory is short, batches are halved; rows say so, and never depend on what was done before."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from robustbench_aig.attacks import Attack
from robustbench_aig.errors import lacks_memory
from robustbench_aig.evaluation import Subject
from robustbench_aig.randomness import Stream
from robustbench_aig.records import Plan
from robustbench_aig.threat import Threat
from tests.evaluation.conftest import CHUNK, COUNT, contents, evaluator, make, subjects, table
from tests.networks import images


def no_cuda_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def no_memory() -> None:
    """What the allocator on the CPU really says."""
    torch.empty(2**60, dtype=torch.uint8)


class Hungry(nn.Module):
    """A network that has memory for so many images at once."""

    def __init__(self, model: nn.Module, most: int, refuse: Callable[[], None]) -> None:
        super().__init__()
        self.model, self.most, self.refuse = model, most, refuse

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            self.refuse()
        logits: Tensor = self.model(x)
        return logits


def plan_of(*attacks: str) -> Plan:
    """The plain network alone, at one epsilon."""
    plan = make(attacks)
    kept = [e for e in plan.evaluations if e.model == "plain" and not e.id.endswith("2_255")]
    return plan.model_copy(update={"evaluations": kept})


def hungry(most: int, refuse: Callable[[], None] = no_cuda_memory) -> dict[tuple[str, str], Subject]:
    """The plain network with memory for so many images."""
    subject = subjects()["plain", "none"]
    return {("plain", "none"): replace(subject, model=Hungry(subject.model, most, refuse))}


CLEAN, PGD = "plain.none.clean", "plain.none.pgd.linf-8_255"


@pytest.mark.parametrize("refuse", [no_cuda_memory, no_memory])
@pytest.mark.parametrize(("most", "batches"), [(5, {5}), (3, {2, 1}), (1, {1})])
def test_batches_are_halved_until_they_fit(
    most: int, batches: set[int], refuse: Callable[[], None], tmp_path: Path
) -> None:
    plan = plan_of("pgd")
    steps = list(evaluator(tmp_path / "short", plan, networks=hungry(most, refuse)))
    assert {step.reason for step in steps} == {None}
    assert {step.short for step in steps if step.images == CHUNK} == {max(batches)}
    list(evaluator(tmp_path / "whole", plan))
    for name in (CLEAN, PGD):
        for one, other in zip(table(tmp_path / "short", name), table(tmp_path / "whole", name), strict=True):
            assert one["batch"] in batches
            assert one["margin"] == pytest.approx(other["margin"], abs=1e-3)
            for column in ("image", "status", "prediction", "forwards", "backwards"):
                assert one[column] == other[column]


def test_one_image_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    steps = list(evaluator(tmp_path, plan_of("pgd"), networks=hungry(0)))
    assert all(step.reason is not None and "CUDA out of memory" in step.reason for step in steps)
    for name in (CLEAN, PGD):
        rows = table(tmp_path, name)
        assert len(rows) == COUNT
        for row in rows:
            assert (row["status"], row["prediction"], row["correct_draws"]) == ("error", -1, 0)
            assert np.isnan(row["margin"])


def test_a_kill_does_not_show(tmp_path: Path) -> None:
    """Each chunk begins with all its images, whatever was too much for the one before."""
    plan = plan_of("fgsm", "pgd-torchattacks")
    list(evaluator(tmp_path / "whole", plan, networks=hungry(3)))
    done = 0
    while done < 3 * CHUNK:
        work = iter(evaluator(tmp_path / "killed", plan, networks=hungry(3)))
        for step in work:
            done = step.done
            if not step.resumed:
                break
        work.close()  # type: ignore[attr-defined]
        if step.done == step.total:
            break
    list(evaluator(tmp_path / "killed", plan, networks=hungry(3)))
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@dataclass(frozen=True)
class Foreign(Attack):
    """Random noise from the global generator, as a provider draws it; it has memory for five images."""

    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = False

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        if len(x) > 5:
            raise MemoryError
        return threat.project(x + threat.value * (2 * torch.rand_like(x) - 1), x)


def test_every_part_of_a_chunk_has_a_seed_of_its_own(tmp_path: Path) -> None:
    plan = plan_of("fgsm")
    list(evaluator(tmp_path, plan, attacks={"fgsm": Foreign()}))
    kept = load_file(tmp_path / "images" / "plain.none.fgsm.linf-8_255.safetensors")
    noise = kept["images"] - images(COUNT)[0]
    inside = (kept["images"] > 0) & (kept["images"] < 1)
    for one, other in ((0, 5), (0, 10), (5, 10), (0, 20), (5, 15)):
        both = inside[one] & inside[other]
        assert both.any()
        assert not torch.allclose(noise[one][both], noise[other][both], atol=1e-4)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    cublas = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    assert lacks_memory(cublas)
    with pytest.raises(MemoryError) as array:
        np.empty(10**15)
    assert lacks_memory(array.value)
    with pytest.raises(RuntimeError) as tensor:
        torch.empty(10**15)
    assert lacks_memory(tensor.value)
    with pytest.raises(RuntimeError) as shapes:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not lacks_memory(shapes.value)
    assert not lacks_memory(ValueError("MemoryError: as a word that somebody else has chosen"))


def test_a_network_that_fails_otherwise_is_not_tried_again(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        list(evaluator(tmp_path, plan_of("pgd"), networks=hungry(5, fail)))
