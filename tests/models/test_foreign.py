"""The entry for networks that aren't ours: what works, works; what doesn't is refused in one line before it counts."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel
from torch.optim.swa_utils import AveragedModel

from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.gating import Argmax, PooledGate, Sampled, gating
from robustbench_aig.models import MacProfile
from robustbench_aig.models.foreign import Defaults, ForeignNetwork, enter, neutral
from robustbench_aig.models.foreign.copying import weights_digest

CPU = torch.device("cpu")


def net(classes: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes)
    )


def pictures(count: int = 10) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Around(nn.Module):
    """A network, and something done to what it takes or returns."""

    def __init__(self, work: Callable[[nn.Module, Tensor], Any], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.inner, self.work = inner or net(), work

    def forward(self, x: Tensor) -> Any:
        return self.work(self.inner, x)


def entered(model: object, images: Tensor | None = None, chunk: int = 4) -> ForeignNetwork:
    return enter(model, "theirs", pictures() if images is None else images, chunk=chunk, device=CPU)


def refused(model: object, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        entered(model)
    for word in ("theirs", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


class Named(NamedTuple):
    aux: Tensor
    logits: Tensor


@dataclass
class Held:
    logits: Tensor


OUTPUTS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "tuple": lambda inner, x: (inner(x), "more"),
    "list": lambda inner, x: [inner(x)],
    "mapping": lambda inner, x: OrderedDict(loss=None, logits=inner(x)),
    "dataclass": lambda inner, x: Held(inner(x)),
    "named tuple": lambda inner, x: Named(x, inner(x)),
    "tuple of mappings": lambda inner, x: ({"logits": inner(x)}, x),
    "in place": lambda inner, x: inner(x.sub_(0.5).div_(0.25).mul_(0.25).add_(0.5)),
    "view": lambda inner, x: inner(x.view(len(x), -1).view(x.shape)),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_logits_are_found_and_images_stay_as_they_are(kind: str) -> None:
    theirs = entered(Around(OUTPUTS[kind]))
    images = pictures(5).contiguous(memory_format=torch.channels_last)
    point = images.clone().requires_grad_()
    expected = pictures(5).requires_grad_()
    logits = theirs(point)
    torch.testing.assert_close(logits, net()(expected), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), point)
    (true,) = torch.autograd.grad(net()(expected)[:, 0].sum(), expected)
    torch.testing.assert_close(gradient, true, rtol=1e-3, atol=1e-5)
    assert torch.equal(point, images)
    assert theirs.in_place == (kind == "in place")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("own", [True, False])
def test_networks_of_another_type(dtype: torch.dtype, own: bool) -> None:
    """Either they convert images themselves, or they are given them in the type of their weights."""
    inner = net().to(dtype)
    theirs = entered(Around(lambda inner, x: inner(x.to(dtype)), inner) if own else inner)
    logits = theirs(pictures(3))
    assert logits.dtype == torch.float32
    assert theirs.dtype == (torch.float32 if own else dtype)
    torch.testing.assert_close(logits, net()(pictures(3)), rtol=0.05, atol=0.05)


def test_a_network_under_its_own_autocast_is_judged_outside_of_any() -> None:
    def work(inner: nn.Module, x: Tensor) -> Tensor:
        assert torch.is_autocast_enabled("cpu") is False
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found: Tensor = inner(x)
            return found

    theirs = entered(Around(work))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert theirs(pictures(2)).dtype == torch.float32


def test_a_networks_defaults_are_its_own() -> None:
    def work(inner: nn.Module, x: Tensor) -> Tensor:
        found: Tensor = inner(x.double()) + torch.zeros(4)
        assert found.dtype == torch.zeros(1).dtype == torch.float64
        return found

    with Defaults(torch.float64).set():
        model = Around(work, net().double())
        theirs = enter(model, "theirs", pictures(), chunk=4, device=CPU)
        with neutral():
            assert torch.zeros(1).dtype == torch.float32
            assert theirs(pictures(2)).dtype == torch.float32
        assert torch.zeros(1).dtype == torch.float64
    assert torch.zeros(1).dtype == torch.float32


def test_weights_and_images_of_inference_mode_can_be_attacked() -> None:
    with torch.inference_mode():
        model, images = nn.Sequential(net(), nn.BatchNorm1d(4)), pictures()
        theirs = enter(model, "theirs", images.clone(), chunk=4, device=CPU)
        assert theirs.unattackable is None


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.deep = net(), nn.Module()
        self.deep.lock = threading.Lock()  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


def weight_norm() -> nn.Module:
    made = net()
    made[0] = torch.nn.utils.weight_norm(made[0])
    made(pictures(1))
    return made


def parametrised() -> nn.Module:
    made = net()
    torch.nn.utils.parametrizations.weight_norm(made[0])
    return made


class Keeps(nn.Module):
    """Keeps its features for a picture, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.kept = net(), {"features": [torch.zeros(1)]}

    def forward(self, x: Tensor) -> Any:
        self.kept["features"].append(self.net[0](x))
        return self.net(x)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "make",
    [
        weight_norm,
        parametrised,
        Keeps,
        lambda: torch.jit.script(net()),
        lambda: torch.jit.trace(net(), pictures(2)),  # type: ignore[no-untyped-call]
        lambda: torch.compile(net()),
        lambda: DataParallel(net()),
        lambda: AveragedModel(DataParallel(net())),
    ],
)
def test_what_is_hard_to_copy_is_copied(make: Callable[[], nn.Module]) -> None:
    model = make()
    model(pictures(1)) if isinstance(model, Keeps) else None
    theirs = entered(model)
    torch.testing.assert_close(theirs(pictures(3)), net()(pictures(3)), rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in theirs.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters()), "the network itself stays as it was"


def holding(value: float) -> nn.Module:
    made = net()
    nn.init.constant_(made.get_parameter("4.bias"), value)
    return made


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return net()


def exits(inner: nn.Module, x: Tensor) -> Tensor:
    sys.exit("no licence")


class OwnError(BaseException):
    pass


def raises(inner: nn.Module, x: Tensor) -> Tensor:
    raise OwnError("on strike\nsince Monday")


def counting(inner: nn.Module, x: Tensor) -> Tensor:
    counting.calls += 1  # type: ignore[attr-defined]
    found: Tensor = inner(x) + counting.calls  # type: ignore[attr-defined]
    return found * torch.tensor([1.0, -1, 1, -1])


counting.calls = 0  # type: ignore[attr-defined]

BAD: dict[str, tuple[Callable[[], object], list[str]]] = {
    "a function": (lambda: net().forward, ["no torch.nn.Module", "a method"]),
    "a class": (lambda: nn.Identity, ["the class Identity: call it"]),
    "a lock": (Locked, ["can't be copied", "'deep.lock' is a lock"]),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), ["no shape yet", "'1.weight'"]),
    "meta": (on_meta, ["meta device"]),
    "NaN": (lambda: holding(torch.nan), ["'4.bias' holds NaN"]),
    "infinite": (lambda: holding(torch.inf), ["'4.bias' holds NaN or inf"]),
    "minus infinite": (lambda: holding(-torch.inf), ["returns NaN or infinite logits"]),
    "exits": (lambda: Around(exits), ["fails on images of 3×8×8, 8 at once: SystemExit: no licence"]),
    "raises": (lambda: Around(raises), ["OwnError: on strike"]),
    "nothing": (lambda: Around(lambda *_: None), ["returns a NoneType"]),
    "empty": (lambda: Around(lambda *_: ()), ["returns a tuple"]),
    "other keys": (lambda: Around(lambda inner, x: {"out": inner(x)}), ["returns a dict of 'out'", "'logits'"]),
    "numpy": (lambda: Around(lambda inner, x: inner(x).numpy()), ["returns a ndarray"]),
    "classes": (lambda: Around(lambda inner, x: inner(x).argmax(1)), ["torch.int64", "real numbers"]),
    "a map": (lambda: net()[:2], ["logits (8, classes)", "(8, 8, 8, 8)"]),
    "one score": (lambda: net(1), ["logits (8, classes)", "(8, 1)"]),
    "fixed batch": (
        lambda: Around(lambda inner, x: inner(x.reshape(8, 3, 8, 8))),
        ["fails on images of 3×8×8, 1 at once"],
    ),
    "batch statistics": (lambda: nn.Sequential(net(), nn.BatchNorm1d(4, track_running_stats=False)), ["batch"]),
    "subtracts the mean": (lambda: Around(lambda inner, x: inner(x - x.mean(0))), ["batch that the image is in"]),
    "alone otherwise": (lambda: Around(lambda i, x: i(x) if len(x) > 1 else i(1 - x)), ["1 at once and 8 at once"]),
    "state": (lambda: Around(counting), ["differently every time, even from the same seed"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_measured_is_refused_in_one_line(case: str) -> None:
    make, words = BAD[case]
    refused(make(), *words)


def test_ctrl_c_is_no_failure_of_the_network() -> None:
    def interrupted(inner: nn.Module, x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entered(Around(interrupted))


def test_a_network_that_loses_the_batch_of_one_image_is_given_it_twice() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.gate, self.conv, self.head = PooledGate(3), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(192, 4)
            nn.init.normal_(self.gate.fc2.weight, 0, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.gate(x, x, self.conv)
            logits: Tensor = self.head(x.flatten(1)).squeeze()
            return logits

    images = pictures()
    theirs = entered(Gated())
    assert theirs.paired
    ids = torch.arange(len(images))
    subject = Subject("theirs", theirs, MacProfile(0, (1,)), "sampled")
    labels = torch.zeros(len(images), dtype=torch.int64)
    together = judge(subject, images, labels, ids=ids, seed=0, draws=3)
    for i in range(4):
        alone = judge(subject, images[i : i + 1], labels[:1], ids=ids[i : i + 1], seed=0, draws=3)
        assert torch.equal(alone.decisions[0], together.decisions[i])
        assert alone.decisions.shape == (1, 1)
        torch.testing.assert_close(alone.margins[0], together.margins[i])
    with gating(theirs, Argmax()) as trace:
        theirs(images[:1])
    assert trace.decisions.shape == (1, 1)
    with gating(theirs, Sampled()) as trace:
        theirs(images)
    assert trace.decisions.shape == (10, 1)


def test_classes_that_are_ruled_out_have_margins() -> None:
    mask = torch.tensor([0, -torch.inf, 0, -torch.inf])
    theirs = entered(Around(lambda inner, x: inner(x) + mask))
    images = pictures().requires_grad_()
    logits, plain = theirs(images), net()(images)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(1), (plain + mask).softmax(1))
    assert torch.equal(logits[:, 1] < logits[:, [0, 2]].amin(1), torch.ones(10, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, torch.zeros(10, dtype=torch.int64)), images)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("strength", [0.5, 1e-3])
def test_dice_of_its_own_are_found_and_seeded_for_each_draw(strength: float) -> None:
    theirs = entered(Around(lambda inner, x: inner(x + strength * torch.rand_like(x))))
    assert theirs.restless
    subject = Subject("theirs", theirs, MacProfile(0, ()), "none", restless=True)
    assert subject.random
    images, labels, ids = pictures(), torch.zeros(10, dtype=torch.int64), torch.arange(10)
    found = [judge(subject, images, labels, ids=ids, seed=seed, draws=5) for seed in (0, 0, 1)]
    assert found[0].draws == 5
    assert torch.equal(found[0].margins, found[1].margins)
    assert not torch.equal(found[0].margins, found[2].margins)
    assert not torch.equal(found[0].margins, found[0].choice_margins), "chosen on other draws than scored"
    assert not entered(net()).restless


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda inner, x: inner(x.detach()), "no history"),
        (torch.no_grad()(lambda inner, x: inner(x)), "no history"),
        (lambda inner, x: inner(torch.from_numpy(x.detach().numpy()).requires_grad_()), "don't depend"),
        (lambda inner, x: inner(x), None),
    ],
)
def test_networks_without_a_gradient_are_known(work: Callable[[nn.Module, Tensor], Tensor], words: str | None) -> None:
    with torch.no_grad():
        theirs = entered(Around(work))
    assert (words or "None") in str(theirs.unattackable)


def test_the_digest_is_about_every_number_that_decides() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.register_buffer("halves", torch.rand(4, 6).bfloat16().T)
            self.register_buffer("hidden", torch.rand(3), persistent=False)
            self.register_buffer("one", torch.tensor(3))

    first = weights_digest(Odd())
    assert weights_digest(Odd()) == first
    for name in ("a.weight", "b.bias", "halves", "hidden", "one"):
        other = Odd()
        owner, _, key = name.rpartition(".")
        tensor = getattr(other.get_submodule(owner), key)
        with torch.no_grad():
            tensor.view(-1)[0].add_(1) if tensor.is_contiguous() else tensor.T.view(-1)[0].add_(1)
        assert weights_digest(other) != first, name
    laid_out = Odd()
    laid_out.halves = Odd().get_buffer("halves").contiguous()
    assert weights_digest(laid_out) == first, "strides decide nothing"


def test_a_failure_in_the_middle_is_one_line_too() -> None:
    theirs = entered(Around(lambda inner, x: inner(x) if x.max() <= 1 else exits(inner, x)))
    with pytest.raises(InputError, match="theirs fails on images of 3×8×8, 2 at once: SystemExit: no licence"):
        theirs(pictures(2) + 1)


def test_memory_that_is_short_is_told_as_it_is() -> None:
    def full(inner: nn.Module, x: Tensor) -> Tensor:
        if len(x) > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        found: Tensor = inner(x)
        return found

    theirs = entered(Around(full), chunk=10)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        theirs(pictures())
