"""Small networks and images for the tests of other providers' attacks."""

import math
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_aig.attacks import Attack, Attacked, build_attack, run_attack
from robustbench_aig.gating import Argmax
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import FgsmRecipe, PgdRecipe
from robustbench_aig.recipes.provider_attacks import (
    AdvLibApgdRecipe,
    AdvLibApgdTargetedRecipe,
    AdvLibDdnRecipe,
    AdvLibFabRecipe,
    AdvLibFmnRecipe,
    FoolboxCwRecipe,
    FoolboxDdnRecipe,
    FoolboxFmnRecipe,
    FoolboxHopSkipJumpRecipe,
    PyautoattackRecipe,
    TorchattacksApgdRecipe,
    TorchattacksApgdTargetedRecipe,
    TorchattacksAutoAttackRecipe,
    TorchattacksCwRecipe,
    TorchattacksFabRecipe,
    TorchattacksSquareRecipe,
)
from robustbench_aig.threat import Threat

QUICK: list[Attack] = [
    build_attack(FgsmRecipe(provider="torchattacks")),
    build_attack(PgdRecipe(provider="torchattacks", steps=10)),
    build_attack(TorchattacksApgdRecipe(steps=10)),
    build_attack(TorchattacksApgdRecipe(loss="dlr", steps=10, draws=2)),
    build_attack(TorchattacksApgdTargetedRecipe(steps=5)),
    build_attack(TorchattacksFabRecipe(steps=5)),
    build_attack(TorchattacksFabRecipe(steps=5, targets=9)),
    build_attack(TorchattacksSquareRecipe(queries=60)),
    build_attack(TorchattacksAutoAttackRecipe(steps=5, queries=40)),
    build_attack(TorchattacksAutoAttackRecipe(version="rand", steps=3)),
    build_attack(TorchattacksCwRecipe(constant=10, steps=30)),
    build_attack(FgsmRecipe(provider="foolbox")),
    build_attack(PgdRecipe(provider="foolbox", steps=10)),
    build_attack(FoolboxFmnRecipe(steps=30)),
    build_attack(FoolboxCwRecipe(searches=4, steps=40, constant=1)),
    build_attack(FoolboxDdnRecipe(steps=30)),
    build_attack(FoolboxHopSkipJumpRecipe(steps=3, first=20)),
    build_attack(AdvLibApgdRecipe(steps=10)),
    build_attack(AdvLibApgdRecipe(loss="dlr", steps=10)),
    build_attack(AdvLibApgdTargetedRecipe(steps=5)),
    build_attack(AdvLibFabRecipe(steps=5)),
    build_attack(AdvLibFabRecipe(steps=5, targets=9)),
    build_attack(AdvLibFmnRecipe(steps=30)),
    build_attack(AdvLibDdnRecipe(steps=30)),
]
"""Every attack but pyautoattack's, whose budget is its own, with a budget that lets it show that it works."""
OFFICIAL = build_attack(PyautoattackRecipe(queries=40))
OFFICIAL_RAND = build_attack(PyautoattackRecipe(version="rand"))


def name(attack: Attack) -> str:
    """For the ids of parametrized tests."""
    said = attack.recipe.model_dump(include=attack.recipe.model_fields_set - {"provider"}) if attack.recipe else {}
    return f"{type(attack).__name__}({', '.join(f'{key}={value}' for key, value in said.items())})"


def threat(norm: str, share: float = 1.0) -> Threat:
    """A ball in which the trained network loses some of its images and keeps others."""
    return Threat.parse(str(share * {"linf": 0.08, "l2": 0.4, "l1": 1}[norm]), norm)


@cache
def digits(count: int = 48) -> tuple[Tensor, Tensor]:
    """Pixels (count, 1, 8, 8) in [0.1, 0.9], for at 0 and 1 some attacks are stuck, and labels of test images."""
    x, y = _all_digits()
    return x[1000 : 1000 + count], y[1000 : 1000 + count]


def _all_digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    pixels = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return 0.1 + 0.8 * pixels, torch.tensor(data.target, dtype=torch.int64)


@cache
def trained() -> nn.Module:
    """A small network that knows digits."""
    x, y = (values[:1000] for values in _all_digits())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 16, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


def untrained(classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """A network that tells random images apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(shape[0], 6, 3, 1, 1), nn.Tanh(), nn.Flatten())
        model.append(nn.Linear(6 * shape[1] * shape[2], classes))
    return model.eval()


class Linear(nn.Module):
    """Logits tanh(w_k · (x - ½)): the distance to the nearest boundary is known in closed form.

    tanh moves no boundary, but bends the logits, without which some attacks stop exactly on it.
    """

    def __init__(self, classes: int = 4, size: int = 8) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(classes, size * size, generator=torch.Generator().manual_seed(0)) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.straight(x).tanh()

    def straight(self, x: Tensor) -> Tensor:
        z: Tensor = F.linear(x.flatten(1) - 0.5, self.w)
        return z

    def distances(self, x: Tensor, y: Tensor, norm: str) -> Tensor:
        """(B,) lengths of the shortest change that makes another class as likely: margin over dual norm."""
        z, rows = self.straight(x), torch.arange(len(x))
        normals: Tensor = (self.w[y][:, None] - self.w[None]).norm(p=1 if norm == "linf" else 2, dim=2)
        ratio: Tensor = (z[rows, y][:, None] - z) / normals
        ratio[rows, y] = math.inf
        return ratio.amin(1)


def attacked(attack: Attack, model: nn.Module, x: Tensor, y: Tensor, ball: Threat, seed: int = 0) -> Attacked:
    """The guard's verdict."""
    return run_attack(attack, model, Argmax(), x, y, ball, stream=Stream.of(torch.arange(len(x)), 0), seed=seed)


def right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(B,) whether the network is right."""
    with torch.no_grad():
        predicted: Tensor = model(x).argmax(1)
    return predicted == y
