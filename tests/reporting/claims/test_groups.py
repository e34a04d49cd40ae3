"""Who is compared with whom: seeds of one training together, beside their usual twins."""

import pytest

from robustbench_aig.evaluation import behind
from robustbench_aig.records import ModelRecord
from robustbench_aig.reporting.claims.groups import groups
from robustbench_aig.runs import Init
from tests.reporting import trained
from tests.reporting.synthetic import make_plan


def test_like_is_compared_with_like() -> None:
    """By adversarial training and what stands before; among several plain ones, that of the nearest compute."""
    plain, gated = (trained.recipe(family=family) for family in ("plain", "gated"))
    hard, hard_plain = (trained.recipe(family=family, adversarial="fast") for family in ("gated", "plain"))
    networks = [
        trained.network(gated, name="g1", seed=1),
        trained.network(gated, name="g0"),
        trained.network(hard, trained.history(hard), name="hard"),
        trained.network(plain, name="p0"),
        trained.network(plain, name="p1", seed=1),
        trained.network(trained.recipe(family="plain", depth=8), name="small", recipe_name="test/small"),
        trained.network(hard_plain, trained.history(hard_plain, 9), name="hard-plain"),
    ]
    behind_jpeg = [behind(networks[1], "jpeg:75"), behind(networks[1], "jpeg:50"), behind(networks[3], "jpeg:50")]
    models = [network.record for network in (*networks, *behind_jpeg)]
    epochs = [model.adversarial.best_epoch for model in models if model.adversarial]
    assert len(set(epochs)) == 2, "the epoch that was kept parts no networks"
    found = groups(make_plan().model_copy(update={"models": models}))
    named = [([m.name for m in g.gated], [m.name for m in g.plain]) for g in found]
    assert named == [
        (["g0", "g1"], ["p0", "p1"]),
        (["hard"], ["hard-plain"]),
        (["g0+jpeg75"], []),
        (["g0+jpeg50"], ["p0+jpeg50"]),
    ]
    assert [g.paired for g in found] == [True, True, False, True]
    assert [g.hardened for g in found] == [False, True, False, False]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("first", ["long", "brief"])
def test_a_shorter_training_is_no_twin_in_whatever_order(named: bool, first: str) -> None:
    """By the recipe that the gated one names; or, of one recipe trained twice, by the number of epochs."""
    gated = trained.recipe().model_copy(update={"twin": "test/long" if named else None})
    # Where the twin is named, it's that even though the other one was trained for as long as the gated network.
    epochs = {"long": 48 if named else 24, "brief": 24 if named else 12}
    plain = {
        name: [
            trained.network(
                trained.recipe(family="plain", epochs=epochs[name]),
                name=f"{name}-s{seed}",
                recipe_name=f"test/{name}" if named else "test/plain",
                seed=seed,
            ).record
            for seed in (0, 1)
        ]
        for name in ("long", "brief")
    }
    (last,) = plain.keys() - {first}
    models = [*plain[first], trained.network(gated, name="gated").record, *plain[last]]
    (group,) = groups(make_plan().model_copy(update={"models": models}))
    assert [m.name for m in group.plain] == ["long-s0", "long-s1"]
    assert [[m.name for m in other] for other in group.others] == [["brief-s0", "brief-s1"]]


def begun(name: str, seed: int, of: str | None, of_seed: int | None = None) -> ModelRecord:
    """A gated network that began with a plain run; an earlier version didn't say of which recipe."""
    init = Init(
        run=f"plain of {name}",
        weights_digest=name,
        tensors=1,
        recipe_name="test/plain",
        recipe_digest=of,
        seed=seed if of_seed is None else of_seed,
    )
    return trained.network(trained.recipe(epochs=8), name=name, seed=seed, init=init).record


def test_seeds_that_begin_with_plain_runs_of_their_own_stay_together() -> None:
    alike = [begun("a0", 0, "24 epochs"), begun("a1", 1, "24 epochs")]
    others = [begun("b", 0, "12 epochs"), begun("c", 0, None), begun("d", 1, None), begun("e", 2, "24 epochs", 0)]
    afresh = trained.network(trained.recipe(epochs=8), name="f").record
    found = groups(make_plan().model_copy(update={"models": [*alike, *others, afresh]}))
    assert [list(group.gated) for group in found] == [alike, *([other] for other in others), [afresh]]


def test_the_usual_twin_is_the_plain_network_that_the_gated_one_began_with() -> None:
    """Whose own epochs are few."""
    plain = [
        trained.network(
            trained.recipe(family="plain", epochs=epochs), name=f"{epochs}", weights_digest=f"{epochs}"
        ).record
        for epochs in (12, 24)
    ]
    for name in ("24", "12"):
        (group,) = groups(make_plan().model_copy(update={"models": [*plain, begun(name, 0, "whatever")]}))
        assert [m.name for m in group.plain] == [name]
