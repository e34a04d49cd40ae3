"""No step waits for its device, as far as a machine without one can tell.

On the meta device tensors have no values, so whoever looks at one fails. And every operation passes a `Watch`, which
counts what would make a device and its host wait for each other.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from robustbench_aig.attacks import Attack, Fgsm, Pgd, View, run_attack
from robustbench_aig.distributed import World
from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.gating import Argmax, Sampled, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.threat import Threat
from robustbench_aig.training import Hardware
from robustbench_aig.training.scoring import Scorer
from tests.networks import gated, images
from tests.steps import METHODS, NETWORKS, batches_on, learner_of, tally_of

aten = torch.ops.aten
META, CPU = torch.device("meta"), torch.device("cpu")
EPS = Threat.parse("8/255")

READS = {aten._local_scalar_dense, aten.equal}
SEARCHES = {aten.nonzero, aten.masked_select, aten._unique2}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, of the operations inside it and of their gradients, those that wait.

    Attributes:
        seen: "read" for a value handed to Python (item, bool, float), "search" for a result whose size depends on
            values (nonzero, a mask as an index), "copy" for a tensor that goes from one device to another or is made
            of Python's numbers. `tolist` and `numpy` of a tensor on the CPU go past it; on meta they fail.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self.seen.update(kinds(func.overloadpacket, args, kwargs))
        return func(*args, **kwargs)


def kinds(operation: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[str]:
    """What of an operation waits."""
    if operation in READS:
        yield "read"
    if operation in SEARCHES:
        yield "search"
    if operation in INDEXING:
        index = [one for one in args[1] if one is not None]
        yield from ("search" for one in index if one.dtype in (torch.bool, torch.uint8))
        yield from ("copy" for one in index if one.device != args[0].device)
    if operation is aten.lift_fresh:
        yield "copy"
    if operation is aten._to_copy and kwargs.get("device", args[0].device) != args[0].device:
        yield "copy"
    if operation is aten.copy_ and args[0].device != args[1].device:
        yield "copy"


def seen(act: Callable[[], object]) -> dict[str, int]:
    """What a Watch saw of it."""
    with Watch() as watch:
        act()
    return dict(watch.seen)


SOME = torch.arange(4.0)
COUNTED: dict[str, tuple[Callable[[], object], dict[str, int]]] = {
    "item": (lambda: SOME.sum().item(), {"read": 1}),
    "float": (lambda: float(SOME[1]), {"read": 1}),
    "if": (lambda: bool((SOME > 1).any()), {"read": 1}),
    "equal": (lambda: torch.equal(SOME, SOME), {"read": 1}),
    "nonzero": (SOME.nonzero, {"search": 1}),
    "where": (lambda: torch.where(SOME > 1), {"search": 1}),
    "mask": (lambda: SOME[SOME > 1], {"search": 1}),
    "write by a mask": (lambda: SOME.clone().index_put_((SOME > 1,), SOME[0]), {"search": 1}),
    "masked_select": (lambda: SOME.masked_select(SOME > 1), {"search": 1}),
    "unique": (SOME.unique, {"search": 1}),
    "to": (lambda: SOME.to(META), {"copy": 1}),
    "copy_": (lambda: torch.empty(4, device=META).copy_(SOME), {"copy": 1}),
    "tensor": (lambda: torch.tensor([1, 2]), {"copy": 1}),
    "foreign index": (lambda: torch.empty(4, device=META)[SOME.long()], {"copy": 1}),
    "harmless": (lambda: SOME.double().to(CPU)[SOME.long()].copy_(SOME).cumsum(0) + 1, {}),
}


@pytest.mark.parametrize("name", COUNTED)
def test_the_watch_counts(name: str) -> None:
    act, wanted = COUNTED[name]
    assert seen(act) == wanted


def test_the_watch_counts_in_the_backward_pass() -> None:
    class Peeping(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(_: Any, gradient: Tensor) -> Tensor:
            return gradient * gradient.sum().item()

    assert seen(lambda: Peeping.apply(SOME.clone().requires_grad_()).sum().backward()) == {"read": 1}


@pytest.mark.parametrize(
    "look", [lambda x: x.tolist(), lambda x: x.numpy(), lambda x: bool(x.any()), lambda x: x[x > 0], lambda x: x.cpu()]
)
def test_meta_shows_nothing(look: Callable[[Tensor], object]) -> None:
    with pytest.raises((RuntimeError, TypeError)):
        look(torch.empty(3, device=META))


def an_epoch(name: str, method: str, hardware: Hardware) -> Callable[[], None]:
    """Two steps, from the stored images to the tally."""
    learner, batches = learner_of(name, method, hardware), batches_on(hardware.device, 2)
    tally = tally_of(learner)

    def act() -> None:
        for batch in batches.epoch(0):
            tally.add(learner.update(batch, lr=0.1))

    assert batches.per_epoch == 2
    return act


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_training_needs_no_values(name: str, method: str) -> None:
    """Where even the weights have none; the order of an epoch is drawn on the CPU and copied once."""
    assert seen(an_epoch(name, method, Hardware(META))) == {"copy": 1}


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["plain", "stochastic", "gated", "forced"])
def test_training_never_waits(name: str, method: str, amp: bool) -> None:
    assert seen(an_epoch(name, method, Hardware(CPU, amp=amp))) == {}


@pytest.mark.parametrize("attack", [Fgsm(FgsmRecipe()), Pgd(PgdRecipe(steps=2))])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_attacks_need_no_values(name: str, random: bool, norm: str, attack: Attack) -> None:
    model = NETWORKS[name][0]().to(META).eval()
    x, y, ids = (tensor.to(META) for tensor in images(4))

    def act() -> None:
        policy = Sampled(Stream.of(ids, 0, "gates")) if random else Argmax()
        with gating(model, policy):
            found = attack(View(model, policy), x, y, Threat.parse("8/255", norm), Stream.of(ids, 0, "attack"))
        assert found.shape == x.shape

    assert seen(act) == {}


@pytest.mark.parametrize("steps", [1, 5])
def test_the_guard_of_an_attack_reads_two_values_however_long_it_is(steps: int) -> None:
    """Whether the images may be attacked, and whether any attacked one is to be refused."""
    model, (x, y, ids) = gated(), images(4)
    stream = Stream.of(ids, 0)
    assert seen(lambda: run_attack(Pgd(PgdRecipe(steps=steps)), model, Argmax(), x, y, EPS, stream=stream, seed=0)) == {
        "read": 2
    }


@pytest.mark.parametrize("passes", [1, 3])
def test_sparse_execution_searches_once_per_gate_and_pass(passes: int) -> None:
    model, (x, _, ids) = gated(14), images(4)

    def act() -> None:
        with torch.no_grad(), gating(model, Sampled(Stream.of(ids, 0)), execution="sparse"):
            for _ in range(passes):
                model(x)

    assert seen(act) == {"search": 6 * passes}


@pytest.mark.parametrize(("policy", "searches"), [("argmax", 1), ("sampled", 2)])
def test_the_budget_of_the_judge(policy: str, searches: int) -> None:
    """Per gate one for the open images and one for draws that part, however many draws there are.

    The costs of the blocks are on the device since the first pass.
    """
    model, (x, y, ids) = gated(14), images(4)
    subject = Subject("gated", model, profile_macs(model, (3, 12, 12)), policy)
    judge(subject, x, y, ids=ids, seed=0, draws=3)
    # On a CPU one_hot looks whether the labels are below the number of classes.
    assert seen(lambda: judge(subject, x, y, ids=ids, seed=0, draws=3)) == {"search": 6 * searches, "read": 2}


@pytest.mark.parametrize("draws", [1, 3])
def test_the_budget_of_a_training_score(draws: int) -> None:
    """The gates search once per pass, one pass as argmax and the draws as sampled; nothing else waits."""
    model = gated(14)
    scorer = Scorer("gated", profile_macs(model, (3, 12, 12)), seed=0, world=World())
    assert seen(lambda: scorer.score(model, batches_on(CPU, 1).images, draws)) == {"search": 6 * (1 + draws)}
