"""What the guard catches and what it restores."""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.attacks import Attack, Attacked, build_attack, run_attack
from robustbench_aig.errors import AttackError
from robustbench_aig.gating import Argmax, Gate
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat
from tests.networks import gated, images

EPS = Threat.parse("8/255")


@dataclass(frozen=True)
class Planted(Attack):
    """An attack with a defect."""

    behaviour: Callable[[nn.Module, Tensor], Tensor]
    provider: ClassVar[str] = "aigrob"
    own_noise: ClassVar[bool] = True

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, stream: Stream) -> Tensor:
        return self.behaviour(model, x)


def run(behaviour: Callable[[nn.Module, Tensor], Tensor], model: nn.Module | None = None) -> Attacked:
    x, y, ids = images(4)
    return run_attack(Planted(behaviour), model or gated(), Argmax(), x, y, EPS, stream=Stream.of(ids, 0), seed=3)


def crash(model: nn.Module, x: Tensor) -> Tensor:
    model.train()
    np.random.rand()
    torch.rand(1)
    sys.settrace(None)
    raise ZeroDivisionError("planted")


def with_nan(model: nn.Module, x: Tensor) -> Tensor:
    out = x.clone()
    out[2, 0, 0, 0] = torch.nan
    return out


def outside_ball(model: nn.Module, x: Tensor) -> Tensor:
    out = x.clone()
    out[1] = (out[1] + 0.1).clamp(0, 1)
    return out


def outside_box(model: nn.Module, x: Tensor) -> Tensor:
    out = x.clone()
    out[3, 0, 0, 0] = -0.01
    return out


@pytest.mark.parametrize(
    ("behaviour", "failed", "reason"),
    [
        (crash, [True] * 4, "ZeroDivisionError: planted"),
        (with_nan, [False, False, True, False], "NaN"),
        (outside_ball, [False, True, False, False], "left the ball"),
        (outside_box, [False, False, False, True], "left the ball or the box"),
        (lambda _, x: x[:2], [True] * 4, "shape"),
    ],
)
def test_a_defect_is_an_error_of_the_images_it_concerns(
    behaviour: Callable[[nn.Module, Tensor], Tensor], failed: list[bool], reason: str
) -> None:
    attacked = run(behaviour)
    assert attacked.failed.tolist() == failed
    assert attacked.reason is not None
    assert reason in attacked.reason
    assert torch.equal(attacked.images[attacked.failed], images(4)[0][attacked.failed])


def test_everything_is_restored_even_after_a_crash() -> None:
    model = gated()
    model.train()
    frozen_norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    assert frozen_norm.running_mean is not None
    model.head.weight.requires_grad_(False)
    modes = [m.training for m in model.modules()]
    flags = [p.requires_grad for p in model.parameters()]
    statistics = frozen_norm.running_mean.clone()
    np.random.seed(0)
    torch.manual_seed(0)
    random.seed(0)
    expected = np.random.rand(), torch.rand(1).item(), random.random()
    np.random.seed(0)
    torch.manual_seed(0)
    random.seed(0)
    tracer = sys.gettrace()
    run(crash, model)
    assert (np.random.rand(), torch.rand(1).item(), random.random()) == expected
    assert sys.gettrace() is tracer
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == flags
    assert torch.equal(frozen_norm.running_mean, statistics)
    assert all(p.grad is None for p in model.parameters())
    assert all(m.trace is None for m in model.modules() if isinstance(m, Gate))


def test_attack_sees_eval_mode_frozen_parameters_and_enabled_gradients() -> None:
    seen = {}

    def look(model: nn.Module, x: Tensor) -> Tensor:
        seen["eval"] = not any(m.training for m in model.modules())
        seen["frozen"] = not any(p.requires_grad for p in model.parameters())
        seen["grad"] = torch.is_grad_enabled()
        return x

    model = gated().train()
    with torch.no_grad():
        run(look, model)
    assert seen == {"eval": True, "frozen": True, "grad": True}


def test_foreign_attack_is_seeded_by_its_chunk() -> None:
    model, (x, y, ids) = gated(), images(4)

    def once(seed: int) -> Tensor:
        stream = Stream.of(ids, 0)
        return run_attack(
            build_attack(PgdRecipe(provider="torchattacks", steps=2)),
            model,
            Argmax(),
            x,
            y,
            EPS,
            stream=stream,
            seed=seed,
        ).images

    torch.manual_seed(1)
    first = once(5)
    torch.manual_seed(2)
    assert torch.equal(once(5), first)
    assert not torch.equal(once(6), first)


def test_writing_into_the_input_does_not_move_the_ball() -> None:
    def write(_: nn.Module, x: Tensor) -> Tensor:
        return x.add_(0.5).clamp_(0, 1)

    assert run(write).failed.all()


def test_result_carries_no_graph() -> None:
    attacked = run(lambda model, x: x.requires_grad_() + 0 * model(x).sum())
    assert not attacked.images.requires_grad


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.rand(2, 3, 4, 4) * 2, torch.zeros(2, dtype=torch.int64), r"lie in \[0, 1\]"),
        (torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.int64), "float32"),
        (torch.rand(2, 3, 4, 4), torch.zeros(2, dtype=torch.int32), "int64"),
        (torch.rand(0, 3, 4, 4), torch.zeros(0, dtype=torch.int64), "float32"),
        (torch.full((2, 3, 4, 4), torch.nan), torch.zeros(2, dtype=torch.int64), r"lie in \[0, 1\]"),
    ],
)
def test_input_that_no_attack_may_be_given_is_refused(x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(AttackError, match=message):
        run_attack(
            build_attack(PgdRecipe(provider="torchattacks")),
            gated(),
            Argmax(),
            x,
            y,
            EPS,
            stream=Stream.of(torch.arange(len(x))),
            seed=0,
        )
