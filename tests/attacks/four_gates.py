"""A network small enough for every pattern of its gates, and the gradients that are summed over them."""

import itertools

import torch
from torch import Tensor, nn

from robustbench_aig.attacks import View
from robustbench_aig.attacks.attack_problem import Pass, Problem
from robustbench_aig.attacks.objectives import CrossEntropy, GateFlip, Margin, Objective, ZeroOne
from robustbench_aig.gating import Frozen, Gate, Policy
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import GateFlipObjective, ZeroOneObjective
from robustbench_aig.threat import Threat

EPS = Threat.parse("8/255")
PIXELS = 6


class Direction(Gate):
    """A gate whose logit difference is linear in its block's input."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def logits(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.weight
        return torch.stack([torch.zeros_like(score), score], 1)


class FourGates(nn.Module):
    """Four gated blocks one after the other on six features, in float64; gates are sharp enough for a bias to show."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.gates = nn.ModuleList(Direction(2 * draw(PIXELS)) for _ in range(4))
        self.blocks = nn.ParameterList(draw(PIXELS, PIXELS) for _ in range(4))
        self.head = nn.Parameter(2 * draw(PIXELS, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = features(x.flatten(1))
        for gate, block in zip(self.gates, self.blocks, strict=True):
            h = gate(h, h, lambda part, block=block: features((part.flatten(1) @ block).tanh()))
        return h.flatten(1) @ self.head


def features(flat: Tensor) -> Tensor:
    """(B, n) as the (B, n, 1, 1) that gates take."""
    return flat[:, :, None, None]


def problem_of(model: nn.Module, policy: Policy, count: int = 1, seed: int = 0) -> Problem:
    """A few random inputs of six pixels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 2, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (count,), generator=generator)
    return Problem(View(model.eval(), policy), x, y, EPS, Stream.of(torch.arange(count), seed))


def exact_gradient(problem: Problem, objective: Objective) -> Tensor:
    """Of the expected objective over sampled gates: the sum over all 16 paths of probability times objective."""
    leaf = problem.x.clone().requires_grad_()
    expected = torch.zeros(len(leaf), dtype=leaf.dtype)
    for path in itertools.product([0.0, 1.0], repeat=4):
        found = problem.look(leaf, Frozen(torch.tensor(path).expand(len(leaf), 4)))
        p = found.probabilities
        chosen = torch.where(torch.tensor(path) > 0.5, p, 1 - p)
        expected = expected + chosen.prod(1) * objective(found, problem, 0.0)
    (gradient,) = torch.autograd.grad(expected.sum(), leaf)
    return gradient


def paths_of(problem: Problem, gates: int) -> list[tuple[Tensor, Pass]]:
    """Probability (B,) of every pattern and the pass with its decisions, at images that need a gradient."""
    found = []
    for path in itertools.product([0.0, 1.0], repeat=gates):
        z = torch.tensor(path)
        one = problem.look(problem.x, Frozen(z.expand(len(problem.x), gates)))
        found.append((torch.where(z > 0.5, one.probabilities, 1 - one.probabilities).prod(1), one))
    return found


def expectations(problem: Problem, gates: int) -> dict[Objective, Tensor]:
    """(B,) of the objectives that the exact mode raises, written out."""
    paths = paths_of(problem, gates)
    label = torch.arange(len(problem.y)), problem.y
    likely = sum(p * one.logits.softmax(1)[label] for p, one in paths)
    assert isinstance(likely, Tensor)
    right = [p * (3 * -Margin()(one, problem, 0.0)).sigmoid() for p, one in paths]
    sums: dict[Objective, Tensor] = {
        CrossEntropy(): -likely.log(),
        ZeroOne(ZeroOneObjective(steepness=3.0)): -torch.stack(right).sum(0).log(),
    }
    for objective in (Margin(), GateFlip(GateFlipObjective())):
        total = sum(p * objective(one, problem, 0.0) for p, one in paths)
        assert isinstance(total, Tensor)
        sums[objective] = total
    return sums
