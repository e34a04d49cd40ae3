"""float32 means float32, whatever a program has set: the same bits, and every setting is as before afterwards."""

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_aig import evaluate
from robustbench_aig.attacks import Attack, Pgd, build_attack, run_attack
from robustbench_aig.checks import Case
from robustbench_aig.checks.input_gradients import Shattered, ZeroGradient
from robustbench_aig.checks.running import run_checks
from robustbench_aig.checks.search import SingleStep
from robustbench_aig.corruptions.names import Corruption
from robustbench_aig.corruptions.pixels import corrupt
from robustbench_aig.data.images import resident
from robustbench_aig.distributed import World
from robustbench_aig.environment import environment
from robustbench_aig.evaluation import Images, Subject, judge
from robustbench_aig.evaluation.latency import Pictures, measure_latency
from robustbench_aig.gating import Argmax
from robustbench_aig.models import fused, profile_macs
from robustbench_aig.models.foreign import ForeignNetwork
from robustbench_aig.precision import IEEE, float32
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Adversarial, PgdRecipe
from robustbench_aig.threat import Threat
from robustbench_aig.training import Hardware, train
from robustbench_aig.training.scoring import Scorer
from robustbench_aig.zoo import find_attack
from tests.networks import gated, images
from tests.steps import batches_on, learner_of
from tests.tiny import job, result

EPS = Threat.parse("8/255")
CPU = torch.device("cpu")


def readings() -> dict[str, object]:
    """Everything that decides in which precision, type and place torch computes, as a program would read it."""
    backends: Any = torch.backends  # of which torch declares a part
    cudnn, cuda, mkldnn = backends.cudnn, backends.cuda.matmul, backends.mkldnn
    found: dict[str, Callable[[], object]] = {
        "matmul": torch.get_float32_matmul_precision,
        "cudnn": lambda: cudnn.allow_tf32,
        "cublas": lambda: cuda.allow_tf32,
        "benchmark": lambda: cudnn.benchmark,
        "deterministic": lambda: cudnn.deterministic,
        "type": torch.get_default_dtype,
        "device": torch.get_default_device,
        "autocast": lambda: torch.is_autocast_enabled("cpu"),
        "inference": torch.is_inference_mode_enabled,
    }
    if NEW:
        found |= {
            "new": lambda: backends.fp32_precision,
            "new cublas": lambda: cuda.fp32_precision,
            "new conv": lambda: cudnn.conv.fp32_precision,
            "new rnn": lambda: cudnn.rnn.fp32_precision,
            "new mkldnn matmul": lambda: mkldnn.matmul.fp32_precision,
            "new mkldnn conv": lambda: mkldnn.conv.fp32_precision,
        }
    return {name: _read(read) for name, read in found.items()}


NEW = hasattr(torch.backends, "fp32_precision")
INSIDE = {
    "matmul": "highest",
    "cudnn": False,
    "cublas": False,
    "benchmark": False,
    "deterministic": True,
    "type": torch.float32,
    "device": CPU,
    "autocast": False,
    "inference": False,
}
if NEW:
    INSIDE |= dict.fromkeys(("new", "new cublas", "new conv", "new rnn", "new mkldnn matmul", "new mkldnn conv"), IEEE)


def _read(read: Callable[[], object]) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions warn of their own old switches
        try:
            return read()
        except RuntimeError:
            return "contradicts another one"


def _quietly(act: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        act()


def settings() -> dict[str, Callable[[Any], object]]:
    """What a program may set, by name."""
    backends: Any = torch.backends  # of which torch declares a part
    cudnn, cuda, mkldnn = backends.cudnn, backends.cuda.matmul, backends.mkldnn
    old: dict[str, Callable[[Any], object]] = {
        "matmul": torch.set_float32_matmul_precision,
        "cudnn": lambda value: setattr(cudnn, "allow_tf32", value),
        "cublas": lambda value: setattr(cuda, "allow_tf32", value),
        "benchmark": lambda value: setattr(cudnn, "benchmark", value),
        "deterministic": lambda value: setattr(cudnn, "deterministic", value),
        "type": torch.set_default_dtype,
    }
    new: dict[str, Callable[[Any], object]] = {
        "new": lambda value: setattr(backends, "fp32_precision", value),
        "new cublas": lambda value: setattr(cuda, "fp32_precision", value),
        "new conv": lambda value: setattr(cudnn.conv, "fp32_precision", value),
        "new rnn": lambda value: setattr(cudnn.rnn, "fp32_precision", value),
        "new mkldnn matmul": lambda value: setattr(mkldnn.matmul, "fp32_precision", value),
        "new mkldnn conv": lambda value: setattr(mkldnn.conv, "fp32_precision", value),
    }
    return old | (new if NEW else {})


VALUES: dict[str, tuple[object, ...]] = {
    "matmul": ("highest", "high", "medium"),
    "type": (torch.float32, torch.float64, torch.bfloat16),
    **dict.fromkeys(("cudnn", "cublas", "benchmark", "deterministic"), (False, True)),
    **dict.fromkeys(("new", "new mkldnn matmul", "new mkldnn conv"), ("none", "ieee", "tf32", "bf16")),
    **dict.fromkeys(("new cublas", "new conv", "new rnn"), ("none", "ieee", "tf32")),
}
AT_FIRST: tuple[tuple[str, object], ...] = (
    *(("new", "none"), ("new cublas", "none"), ("new mkldnn matmul", "none"), ("new mkldnn conv", "none")),
    *(("matmul", "highest"), ("cudnn", True), ("benchmark", False), ("deterministic", False), ("type", torch.float32)),
)


@pytest.fixture(autouse=True)
def _as_at_first() -> Iterator[None]:
    yield
    known = settings()
    for name, value in AT_FIRST:
        if name in known:
            _quietly(lambda name=name, value=value: known[name](value))  # type: ignore[misc]
    torch.use_deterministic_algorithms(False)


@contextmanager
def hostile() -> Iterator[None]:
    """A program that has set everything against float32."""
    known = settings()
    for name, value in (
        *(("matmul", "medium"), ("cudnn", True), ("cublas", True), ("benchmark", True), ("type", torch.float64)),
        *((("new", "bf16"), ("new mkldnn conv", "bf16")) if NEW else ()),
    ):
        _quietly(lambda name=name, value=value: known[name](value))  # type: ignore[misc]
    torch.use_deterministic_algorithms(True)
    with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        before = readings()
        assert before["matmul"] != "highest"
        yield
        assert readings() == before


@pytest.mark.parametrize("seed", range(5))
def test_every_state_is_left_and_found_again(seed: int) -> None:
    """Settings in any order and combination, old and new ones mixed, nested, and on an exception."""
    rng, known = random.Random(seed), settings()
    for _ in range(60):
        for name in rng.choices(list(known), k=rng.randint(0, 3)):
            value = rng.choice(VALUES[name])
            _quietly(lambda name=name, value=value: known[name](value))  # type: ignore[misc]
        before = readings()
        with pytest.raises(ZeroDivisionError):
            looks_and_fails()
        assert readings() == before


@float32()
def looks_and_fails() -> None:
    assert readings() == INSIDE
    with float32():
        assert readings() == INSIDE
    assert readings() == INSIDE
    raise ZeroDivisionError


def test_modes_of_a_thread_are_left_too() -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        before = readings()
        with float32():
            assert readings() == INSIDE
            assert torch.ones(2).requires_grad_().sum().dtype == torch.float32
        assert readings() == before


@pytest.mark.parametrize("name", VALUES)
def test_what_is_set_inside_does_not_stay(name: str) -> None:
    """Whatever stood there before: by foreign code, which may set its own in the middle of a pass."""
    change = settings()[name]
    for value in VALUES[name]:
        _quietly(partial(change, value))
        before = readings()
        for inside in VALUES[name]:
            with float32():
                _quietly(partial(change, inside))
            assert readings() == before


def test_what_a_foreign_network_sets_in_its_pass_stays_with_it() -> None:
    class Sets(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch.set_autocast_enabled("cpu", True)
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            torch.set_grad_enabled(False)
            return x.flatten(1)

    network = ForeignNetwork(Sets(), "theirs")
    before = readings()
    for _ in range(2):
        network(X)
        assert readings() == before
        assert torch.is_grad_enabled()


class Spy(nn.Module):
    """A network that notes under which settings it is asked."""

    def __init__(self, model: nn.Module, seen: list[dict[str, object]]) -> None:
        super().__init__()
        self.model, self.seen = model, seen

    def __deepcopy__(self, memo: dict[int, Any]) -> "Spy":
        return Spy(copy.deepcopy(self.model, memo), self.seen)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(readings())
        logits: Tensor = self.model(x)
        return logits


MODEL, (X, Y, IDS) = gated(), images(6)
PROFILE = profile_macs(MODEL, (3, 12, 12))


def judged(model: nn.Module) -> list[Tensor]:
    verdict = judge(Subject("gated", model, PROFILE, "sampled"), X, Y, ids=IDS, seed=0, draws=2)
    return [verdict.margins, verdict.probabilities, verdict.macs]


def attacked(attack: Attack, copy: nn.Module | None = None) -> Callable[[nn.Module], list[Tensor]]:
    """Images that are found; with a copy those that it drops once the network has confirmed that they are lost."""

    def act(model: nn.Module) -> list[Tensor]:
        found = run_attack(attack, model, Argmax(), X, Y, EPS, stream=Stream.of(IDS, 0), seed=0, copy=copy, exact=model)
        assert found.reason is None
        return [found.images]

    return act


def provided(name: str) -> Attack:
    return build_attack(find_attack(name)[1].attack)


def scored(model: nn.Module) -> list[Tensor]:
    scorer = Scorer("gated", PROFILE, seed=0, world=World())
    few = resident(X, Y, IDS)
    robust = scorer.robust(model, few, Adversarial(method="pgd"))
    numbers = [score.mean_macs for score in scorer.score(model, few, 2).values()]
    return [torch.tensor([*numbers, robust.pgd, robust.fgsm], dtype=torch.float64, device="cpu")]


def trained(model: nn.Module) -> list[Tensor]:
    with float32():
        learner, batches = learner_of("gated", "pgd", Hardware()), list(batches_on(CPU, 2).epoch(0))
    if isinstance(model, Spy):
        model.model = learner.model
        learner._network = model
    return [learner.update(batch, lr=0.05).cross_entropy for batch in batches]


def checked(model: nn.Module) -> list[Tensor]:
    case = Case(Subject("gated", model, PROFILE, "argmax"), Images(X, Y, IDS), EPS, Pgd(PgdRecipe(steps=2)))
    found = list(run_checks(case, [ZeroGradient(), Shattered(), SingleStep(6)]))
    assert all(finding.numbers for finding in found), found
    return [torch.tensor(list(one.numbers.values()), dtype=torch.float64, device="cpu") for one in found]


def corrupted(model: nn.Module) -> list[Tensor]:
    x = corrupt(X, Corruption("motion-blur", 3), Stream.of(IDS, 0))
    with float32(), torch.no_grad():
        return [x, fused(MODEL)(x), model(x)]


def timed(model: nn.Module) -> list[Tensor]:
    found = measure_latency(model, Subject("gated", model, PROFILE, "argmax"), Pictures(IDS, X, X), seed=0, pairs=6)
    assert found is not None
    return []


PLACES: dict[str, Callable[[nn.Module], list[Tensor]]] = {
    "judge": judged,
    "our attack": attacked(Pgd(PgdRecipe(steps=3, keep="first"))),
    "what confirms": attacked(Pgd(PgdRecipe(steps=3, keep="first")), fused(MODEL, torch.bfloat16)),
    "torchattacks": attacked(provided("pgd-torchattacks")),
    "foolbox": attacked(provided("pgd-foolbox")),
    "a training's score": scored,
    "a step of training": trained,
    "checks": checked,
    "corruptions and copies": corrupted,
    "clocks": timed,
}


@pytest.mark.parametrize("place", PLACES)
def test_hostile_settings_change_no_bit(place: str) -> None:
    """And no pass is made under them, which counts where they would change something on a GPU alone."""
    seen: list[dict[str, object]] = []
    expected = PLACES[place](copy.deepcopy(MODEL))
    with hostile():
        found = PLACES[place](copy.deepcopy(MODEL))
        PLACES[place](Spy(copy.deepcopy(MODEL), seen))
    assert len(expected) == len(found)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert seen
    assert all(one == INSIDE for one in seen)


def test_a_whole_training_is_the_same_under_hostile_settings(tmp_path: Path) -> None:
    first, second = (job(tmp_path / name, epochs=1) for name in ("first", "second"))
    list(train(first))
    with hostile(), torch.device("cpu"):
        list(train(second))
    assert result(first.directory) == result(second.directory)


def test_a_whole_evaluation_is_the_same_under_hostile_settings(tmp_path: Path) -> None:
    attacks, tables = ["pgd:steps=2", "pgd-torchattacks:steps=2"], []
    for name, program in (("first", nullcontext()), ("second", hostile())):
        with program, torch.device("cpu"):  # a network from a program whose default is meta would stay there
            evaluate({"gated": MODEL}, X, Y, tmp_path / name, eps="8/255", attacks=attacks, clocks=False)
        tables.append({path.name: path.read_bytes() for path in (tmp_path / name / "samples").iterdir()})
    assert len(tables[0]) == 3
    assert tables[0] == tables[1]


def test_the_settings_are_hostile_indeed() -> None:
    with torch.no_grad():
        expected = MODEL(X)
        with hostile():
            assert not torch.equal(MODEL(X).float(), expected)


def test_the_record_of_an_environment_says_so() -> None:
    assert environment(CPU)["float32"] == "ieee"
