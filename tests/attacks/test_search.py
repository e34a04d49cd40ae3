"""The loop around gradients: what is kept, what is dropped, how steps adapt; objectives against their formulas."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
import torchattacks
from torch import Tensor, nn

from robustbench_aig.attacks import Apgd, Attack, Attacked, Fgsm, Pgd, View, build_attack, run_attack
from robustbench_aig.attacks.apgd import checkpoints
from robustbench_aig.attacks.attack_problem import Problem
from robustbench_aig.attacks.iterate_selection import SURE
from robustbench_aig.attacks.objectives import (
    Dlr,
    Margin,
    Objective,
    TargetedDlr,
    targets,
)
from robustbench_aig.gating import Argmax, Policy, Sampled, gating
from robustbench_aig.models import ResNet, fused
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import (
    ApgdRecipe,
    ClassObjective,
    DeployedMode,
    FgsmRecipe,
    GateFlipObjective,
    JointObjective,
    OtherMode,
    OtherPathObjective,
    PgdRecipe,
)
from robustbench_aig.recipes import Objective as ObjectiveRecipe
from robustbench_aig.recipes.provider_attacks import Loss
from robustbench_aig.threat import Threat
from tests.networks import gated, gates, images, plain

EPS = Threat.parse("3/255")


def lively(build: Callable[[], ResNet]) -> ResNet:
    """A network whose answer and whose gates depend on the image: without what all images have in common."""
    model = build()
    x = images(64)[0]
    with torch.no_grad(), gating(model, Argmax()) as trace:
        for number, gate in enumerate(gates(model)):
            model(x)
            gate.fc2.bias[1] = gate.fc2.bias[1] - trace.probabilities[:, number].logit().mean()
        model.head.bias.copy_(20 * (model.head.bias - model(x).mean(0)))
        model.head.weight.mul_(20)
    return model


def margins(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad(), gating(model, Argmax()):
        logits: Tensor = model(x)
    return logits.gather(1, y[:, None])[:, 0] - logits.scatter(1, y[:, None], -torch.inf).amax(1)


def own_labels(model: nn.Module, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, the classes that the network itself sees in them, and ids."""
    x, _, ids = images(count)
    with torch.no_grad():
        return x, model(x).argmax(1), ids


def attacked(attack: Attack, model: nn.Module, policy: Policy | None = None, count: int = 32) -> Attacked:
    x, y, ids = own_labels(model, count)
    found = run_attack(attack, model, policy or Argmax(), x, y, EPS, stream=Stream.of(ids, 0), seed=0)
    assert found.reason is None
    return found


@pytest.mark.parametrize("network", [plain, gated])
@pytest.mark.parametrize("recipe", [PgdRecipe(steps=12), ApgdRecipe(steps=12)])
def test_what_is_kept(network: Callable[[], ResNet], recipe: PgdRecipe | ApgdRecipe) -> None:
    """The best iterate is at least as bad as the last; the first that is lost loses the same images, for less."""
    model = lively(network)
    y = own_labels(model, 32)[1]
    found = {keep: attacked(build_attack(recipe.changed(keep=keep)), model) for keep in ("last", "best", "first")}
    left = {keep: margins(model, each.images, y) for keep, each in found.items()}
    assert (left["best"] <= left["last"] + 1e-5).all()
    lost = {keep: each < 0 for keep, each in left.items()}
    assert torch.equal(lost["best"], lost["first"])
    assert 0.1 < lost["best"].float().mean() < 0.9, "the comparison needs both kinds"
    assert (left["first"][lost["first"]] <= -SURE / 2).all()
    assert found["first"].backwards < found["last"].backwards == 12
    assert found["last"].forwards == 12
    assert found["best"].forwards == 13


def test_restarts_go_on_with_what_is_left() -> None:
    model = lively(gated)
    once, thrice = (
        attacked(Pgd(PgdRecipe(steps=5, keep="first")), model),
        attacked(Pgd(PgdRecipe(steps=5, keep="first", restarts=3)), model),
    )
    y = own_labels(model, 32)[1]
    lost_once, lost_thrice = margins(model, once.images, y) < 0, margins(model, thrice.images, y) < 0
    assert (lost_thrice | ~lost_once).all()
    assert torch.equal(once.images[lost_once], thrice.images[lost_once])
    survivors = (~lost_once).float().mean().item()
    assert thrice.forwards <= once.forwards + 2 * 6 * survivors + 1e-6


@pytest.mark.parametrize("keep", ["last", "best"])
def test_of_several_restarts_the_worst_counts(keep: str) -> None:
    model = lively(gated)
    x, y, ids = own_labels(model, 32)
    several = attacked(Pgd(PgdRecipe(steps=3, restarts=3, keep=keep)), model)  # type: ignore[arg-type]
    single = []
    for restart in range(3):
        stream = Stream.of(ids, 0).child(restart) if restart else Stream.of(ids, 0)
        one = Pgd(PgdRecipe(steps=3, keep=keep))  # type: ignore[arg-type]
        single.append(margins(model, run_attack(one, model, Argmax(), x, y, EPS, stream=stream, seed=0).images, y))
    torch.testing.assert_close(margins(model, several.images, y), torch.stack(single).amin(0), atol=1e-4, rtol=1e-4)


def test_a_lucky_draw_drops_nothing() -> None:
    """Under random gates an image is right today and wrong tomorrow; every one gets all its steps."""
    found = attacked(Pgd(PgdRecipe(steps=4, keep="first")), lively(gated), Sampled())
    assert found.backwards == 4
    found = attacked(Pgd(PgdRecipe(steps=4, keep="first", gates=DeployedMode(draws=6))), lively(gated), Sampled())
    assert (found.backwards, found.forwards) == (24, 24 + 10)


class Scaled(nn.Module):
    """Another network's logits, pushed towards one class: a copy that is wrong where the network is right."""

    def __init__(self, model: nn.Module, push: float) -> None:
        super().__init__()
        self.model, self.push = model, push

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits + self.push * torch.eye(10)[0]


def test_a_drop_is_confirmed_by_the_network_itself() -> None:
    model = lively(plain)
    x, y, ids = own_labels(model, 32)
    lying = Scaled(model, 100.0)
    attack = Pgd(PgdRecipe(steps=3, keep="first"))
    found = run_attack(attack, model, Argmax(), x, y, EPS, stream=Stream.of(ids, 0), seed=0, copy=lying)
    lost = margins(model, found.images, y) < 0
    assert lost.float().mean() < 0.9
    # Whatever the copy says, an image that isn't lost gets all of its steps.
    assert found.backwards >= 3 * (~lost).float().mean().item()


def test_a_copy_in_float32_confirms_in_the_networks_place_and_needs_no_confirmation() -> None:
    model = lively(plain)
    x, y, ids = own_labels(model, 32)
    attack, stream = Pgd(PgdRecipe(steps=3, keep="first")), Stream.of(ids, 0)
    low, exact = fused(model, torch.bfloat16), Scaled(fused(model), 0.0)

    def asked(network: nn.Module) -> list[int]:
        counts: list[int] = []
        network.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
        return counts

    of_model, of_exact = asked(model), asked(exact)
    found = run_attack(attack, model, Argmax(), x, y, EPS, stream=stream, seed=0, copy=low, exact=exact)
    assert (of_model, len(of_exact) > 0) == ([], True)
    lost = margins(model, found.images, y) < 0
    assert 0 < lost.float().mean() < 1
    of_model.clear()
    of_exact.clear()
    alone = run_attack(attack, model, Argmax(), x, y, EPS, stream=stream, seed=0, copy=exact, exact=exact)
    assert of_model == []
    assert sum(of_exact) == round(32 * alone.forwards), "every pass is the attack's own"
    assert ((margins(model, alone.images, y) < 0) == lost).float().mean() > 0.9


def test_surrogates_are_judged_by_the_deployed_network() -> None:
    """An attack on soft or open gates keeps the iterate that is worst for the hard ones."""
    model = lively(gated)
    y = own_labels(model, 32)[1]
    for mode in (OtherMode(mode="open"), OtherMode(mode="expected")):
        last = margins(model, attacked(Pgd(PgdRecipe(steps=6, step=1.0, gates=mode)), model).images, y)
        # Steps as wide as the ball go back and forth, so the last iterate is rarely the best.
        best = margins(model, attacked(Pgd(PgdRecipe(steps=6, step=1.0, gates=mode, keep="best")), model).images, y)
        assert (best <= last + 1e-5).all()
        assert (best < last - 1e-4).any()


def test_step_sizes_are_looked_at_when_the_paper_says() -> None:
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", get_args(Loss))
def test_autopgd_breaks_what_another_providers_breaks(norm: str, loss: Loss) -> None:
    """Starting points differ, so a borderline image may."""
    model = lively(plain)
    x, y, ids = own_labels(model, 64)
    threat = Threat.parse("2/255" if norm == "linf" else "0.06", norm)
    attack = Apgd(ApgdRecipe(steps=30, objective=ClassObjective(name="cross-entropy" if loss == "ce" else "dlr")))
    ours = run_attack(attack, model, Argmax(), x, y, threat, stream=Stream.of(ids, 0), seed=0)
    other = torchattacks.APGD(model, norm="Linf" if norm == "linf" else "L2", eps=threat.value, steps=30, loss=loss)
    broken, theirs = margins(model, ours.images, y) < 0, margins(model, other(x, y).detach(), y) < 0
    assert 10 < int(theirs.sum()) < 54, "the comparison needs both kinds"
    assert int((theirs & ~broken).sum()) <= 1
    assert int((theirs ^ broken).sum()) <= 3


def objective_at(objective: Objective, logits: Tensor, y: Tensor) -> Tensor:
    """The value where the network says `logits` whatever the image."""

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return logits + 0 * x.mean()

    problem = Problem(View(Constant()), torch.rand(len(y), 1, 2, 2), y, EPS, Stream.of(torch.arange(len(y))))
    problem = problem.with_clean()
    return objective(problem.look(problem.x, Argmax()), problem, 0.0)


def test_objectives_are_what_the_papers_say() -> None:
    logits = torch.tensor([[4.0, 1.0, 3.0, 0.0, -2.0], [0.5, 2.5, -1.0, 2.0, 0.0]])
    y = torch.tensor([0, 3])
    torch.testing.assert_close(objective_at(Margin(), logits, y), torch.tensor([-1.0, 0.5]))
    # (z_y - max other) / (z_1 - z_3), with the sign turned: equation 6.
    torch.testing.assert_close(objective_at(Dlr(), logits, y), torch.tensor([-1 / 3, 0.5 / 2]))
    # Target: the likeliest wrong class; (z_y - z_t) / (z_1 - (z_3 + z_4) / 2), turned: equation 7.
    torch.testing.assert_close(objective_at(TargetedDlr(), logits, y), torch.tensor([-1 / 3.5, 0.5 / 2.25]))


@pytest.mark.parametrize("objective", [Dlr(), TargetedDlr()])
def test_ratios_of_logits_do_not_see_their_scale(objective: Objective) -> None:
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6)
    small, large = (objective_at(objective, scale * logits, y) for scale in (1.0, 1000.0))
    torch.testing.assert_close(small, large)


def test_every_restart_aims_at_another_class() -> None:
    model = lively(plain)
    x, y, ids = own_labels(model, 4)
    problem = Problem(View(model, Argmax()), x, y, EPS, Stream.of(ids, 0)).with_clean()
    aimed = torch.stack([targets_of(problem, restart) for restart in range(9)])
    for image in range(4):
        assert sorted([*aimed[:, image].tolist(), int(y[image])]) == list(range(10))


def targets_of(problem: Problem, restart: int) -> Tensor:
    return targets(problem.again(restart))


def test_gate_objectives_move_gates() -> None:
    """Flips over the clean decisions: more than what the cross-entropy brings about in passing."""
    model = lively(gated)
    x = own_labels(model, 32)[0]
    with torch.no_grad(), gating(model, Argmax()) as trace:
        model(x)
        clean = trace.decisions

    def flips(objective: ObjectiveRecipe, steps: int = 10) -> float:
        images = attacked(Pgd(PgdRecipe(steps=steps, objective=objective)), model).images
        with torch.no_grad(), gating(model, Argmax()) as trace:
            model(images)
        return (trace.decisions != clean).float().mean().item()

    assert flips(GateFlipObjective()) > flips(JointObjective(weight=3.0)) > flips(ClassObjective())
    assert flips(JointObjective(warm=1.0)) == flips(GateFlipObjective())


def test_another_path_comes_nearer_to_that_classs() -> None:
    model = lively(gated)
    x, y, ids = own_labels(model, 32)
    routes = torch.rand(10, 6, generator=torch.Generator().manual_seed(1))
    problem = Problem(View(model, Argmax(), routes=routes), x, y, EPS, Stream.of(ids, 0)).with_clean()
    wanted = routes[targets_of(problem, 0)]

    def distance(images: Tensor) -> float:
        with torch.no_grad(), gating(model, Argmax()) as trace:
            model(images)
        return (trace.probabilities - wanted).square().sum(1).mean().item()

    attack = Pgd(PgdRecipe(steps=10, objective=OtherPathObjective(weight=100.0)))
    found = run_attack(attack, model, Argmax(), x, y, EPS, stream=Stream.of(ids, 0), seed=0, routes=routes)
    assert distance(found.images) < distance(attacked(Fgsm(FgsmRecipe()), model).images)
    assert distance(found.images) < distance(x)


def test_nothing_is_lost_where_nothing_is_left() -> None:
    """Every image lost at the start: no further pass, whatever the number of restarts."""
    model = lively(plain)
    x, y, ids = own_labels(model, 8)
    wrong = (y + 1) % 10
    attack = Pgd(PgdRecipe(steps=5, restarts=4, keep="first", random_start=False))
    found = run_attack(attack, model, Argmax(), x, wrong, EPS, stream=Stream.of(ids, 0), seed=0)
    assert (found.forwards, found.backwards) == (1, 1)
    assert torch.equal(found.images, x)
