"""Attacks in L1 balls: against linear programs, against adv-lib, and refused where a provider knows no such ball."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from robustbench_aig import evaluate
from robustbench_aig.attacks import Apgd, Attack, Fgsm, Pgd
from robustbench_aig.attacks.apgd import largest
from robustbench_aig.attacks.providers import adv_lib
from robustbench_aig.errors import InputError
from robustbench_aig.recipes import ApgdRecipe, FgsmRecipe, PgdRecipe
from robustbench_aig.recipes.provider_attacks import AdvLibApgdRecipe
from robustbench_aig.threat import Threat
from tests.providers import OFFICIAL, QUICK, attacked, digits, name, right, trained

BALL = Threat.parse("1", "l1")


class TwoClasses(nn.Module):
    """Logits 0 and w · x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.w
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.mark.parametrize(
    ("attack", "least"),
    [(Fgsm(FgsmRecipe()), 1 - 1e-5), (Pgd(PgdRecipe()), 0.97), (Apgd(ApgdRecipe(keep="best")), 0.97)],
    ids=lambda value: name(value) if isinstance(value, Attack) else None,
)
def test_on_a_linear_network_they_reach_the_best_that_ball_and_box_allow(attack: Attack, least: float) -> None:
    """The share of the gain of a linear program, on average and never above 1; one step of FGSM is all of it."""
    model, (x, _) = TwoClasses().eval(), digits(12)
    x = (1.4 * x - 0.2).clamp(0, 1)
    labels = torch.ones(len(x), dtype=torch.int64)
    ball = Threat.parse("2", "l1")
    found = attacked(attack, model, x, labels, ball)
    assert found.reason is None
    w = model.w.detach().double().numpy()
    shares = []
    for one, adv in zip(x, found.images, strict=True):
        pixels = one.flatten().double().numpy()
        bounds = [*((0, 1 - pixel) for pixel in pixels), *((0, pixel) for pixel in pixels)]
        best = linprog(np.concatenate([w, -w]), A_ub=np.ones((1, 128)), b_ub=[ball.value], bounds=bounds).fun
        shares.append(((adv.flatten().double().numpy() - pixels) @ w) / best)
    assert max(shares) < 1 + 1e-5
    assert np.mean(shares) > least


def test_autopgd_in_l1_is_as_strong_as_adv_libs() -> None:
    """Both leave a part of the images, and FGSM leaves more."""
    model, (x, y) = trained(), digits(96)
    attacks = (Fgsm(FgsmRecipe()), Apgd(ApgdRecipe(steps=50)), adv_lib.AdvLibApgd(AdvLibApgdRecipe(steps=50)))
    fgsm, ours, theirs = (int(right(model, attacked(attack, model, x, y, BALL).images, y).sum()) for attack in attacks)
    assert 0.1 * len(x) < ours <= min(fgsm, theirs + 2) < 0.8 * len(x)


def test_a_sparse_step_goes_along_the_largest_entries() -> None:
    gradient = torch.tensor([[3.0, -5.0, 0.5, 4.0], [0.0, 0.0, 0.0, -1.0]]).view(2, 1, 2, 2)
    along = largest(gradient, torch.tensor([2.7, 0.0])).flatten(1)
    assert along.tolist() == [[1, -1, 0, 1], [0, 0, 0, -1]]


@pytest.mark.parametrize("attack", [*QUICK, OFFICIAL], ids=name)
def test_what_knows_no_l1_refuses_it_by_name(attack: Attack) -> None:
    model, (x, y) = trained(), digits(2)
    knows = isinstance(attack, adv_lib.AdvLibApgd | adv_lib.AdvLibApgdTargeted | adv_lib.AdvLibFab | adv_lib.AdvLibFmn)
    if knows:
        assert attacked(attack, model, x, y, BALL).reason is None
        return
    with pytest.raises(InputError, match="cannot search an l1 ball"):
        attack.refuse_unfit(10, (1, 8, 8), "l1")


def test_an_evaluation_in_l1_from_the_threat_to_the_report(tmp_path: Path) -> None:
    x, y = digits(24)
    report = evaluate(
        trained(), x, y, tmp_path / "report", eps=["0.5", "1"], norm="l1", attacks=["fgsm", "apgd"], clocks=False
    )
    accuracies = [worst.accuracy.value for worst in report.worst_case]
    assert [str(worst.threat) for worst in report.worst_case] == ["l1 0.5", "l1 1"]
    assert 1 > accuracies[0] > accuracies[1]
    assert "(L1)" in (tmp_path / "report" / "report.html").read_text()
    with pytest.raises(InputError, match="pgd-foolbox: cannot search an l1 ball"):
        evaluate(trained(), x, y, tmp_path / "other", eps="1", norm="l1", attacks=["pgd-foolbox"])
