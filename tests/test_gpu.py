"""What must hold on a GPU as on a CPU; skipped where there is none. Needs no library but torch and the model's."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from robustbench_aig.gating import Argmax, Frozen, gating
from robustbench_aig.models import fused
from robustbench_aig.randomness import Stream
from robustbench_aig.training import Hardware
from tests.networks import gated, images
from tests.steps import batches_on, learned, learner_of, tally_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE, CPU = torch.device("cuda"), torch.device("cpu")


def test_streams_have_the_same_bits() -> None:
    ids = torch.arange(100)
    here = Stream.of(ids, 0, "start").child(4)
    there = Stream.of(ids.cuda(), 0, "start").child(4)
    assert torch.equal(here.uniform(3, 8, 8), there.uniform(3, 8, 8).cpu())
    torch.testing.assert_close(here.logistic(), there.logistic().cpu())


def test_sparse_equals_dense() -> None:
    model, (x, _, _) = gated().cuda(), images(16)
    with torch.no_grad(), gating(model, Argmax()) as trace:
        dense = model(x.cuda())
    with torch.no_grad(), gating(model, Frozen(trace.decisions), execution="sparse"):
        assert (model(x.cuda()) - dense).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gates_held", [False, True])
def test_fused_networks_equal_those_of_a_cpu(gates_held: bool, dtype: torch.dtype) -> None:
    """Logits and input gradients, dense and sparse."""
    model, (x, y, _) = gated(), images(16)
    with torch.no_grad(), gating(model, Argmax()) as trace:
        model(x)
    policy = Frozen(trace.decisions) if gates_held else Argmax()
    tolerance = 1e-3 if dtype == torch.float32 else 0.5
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        for execution in ("dense", "sparse"):
            found = []
            for one, device in ((model, CPU), (fused(model.cuda(), dtype), DEVICE)):
                one.to(device)
                leaf = x.to(device).requires_grad_()
                held = Frozen(trace.decisions.to(device)) if gates_held else policy
                with gating(one, held, execution=execution):
                    logits = one(leaf)
                (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y.to(device)), leaf)
                found.append((logits.detach().cpu(), gradient.cpu()))
                one.cpu()
            for a, b in zip(*found, strict=True):
                assert (a - b).norm() < tolerance * b.norm()


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_fused_network_in_dense_execution_never_waits() -> None:
    copied, (x, _, _) = fused(gated().cuda(), torch.bfloat16), images(16)
    leaf = x.cuda().requires_grad_()
    with gating(copied, Argmax()):
        torch.autograd.grad(copied(leaf).sum(), leaf)  # sets up libraries
        with waiting_fails():
            torch.autograd.grad(copied(leaf).sum(), leaf)


@contextmanager
def waiting_fails() -> Iterator[None]:
    """A call that waits for the device raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_waiting_is_noticed() -> None:
    one = torch.ones(1, device=DEVICE)
    with waiting_fails(), pytest.raises(RuntimeError, match="synchronizing"):
        one.item()


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("method", ["standard", "pgd", "trades"])
@pytest.mark.parametrize("name", ["plain", "gated"])
def test_a_step_of_training_never_waits(name: str, method: str, amp: bool) -> None:
    learner, batches = learner_of(name, method, Hardware(DEVICE, amp=amp)), batches_on(DEVICE, 4).epoch(0)
    tally = tally_of(learner)
    tally.add(learner.update(next(batches), lr=0.05))  # the first one brings the epoch's order and sets up libraries
    with waiting_fails():
        for batch in batches:
            tally.add(learner.update(batch, lr=0.05))
    assert tally.sums[0].item() == 32
    assert tally.means().finite


def far(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """How far one network's tensors are from another's, relative to these."""
    floats = [name for name, value in wanted.items() if value.is_floating_point()]
    return max(float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in floats)


@pytest.mark.parametrize("name", ["plain", "stochastic", "gated"])
def test_steps_are_those_of_a_cpu(name: str) -> None:
    wanted = learned(learner_of(name, "standard", Hardware()), 4)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        found = learned(learner_of(name, "standard", Hardware(DEVICE)), 4)
    assert far(found, wanted) < 1e-4


@pytest.mark.filterwarnings("ignore")  # what a compiler says of its machine is none of ours
@pytest.mark.parametrize("name", ["plain", "gated"])
def test_compiled_steps_equal_eager_ones(name: str) -> None:
    torch.compiler.reset()
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        wanted = learned(learner_of(name, "standard", Hardware(DEVICE)), 4)
        found = learned(learner_of(name, "standard", Hardware(DEVICE, compiled=True)), 4)
    assert found.keys() == wanted.keys()
    assert far(found, wanted) < 1e-4
