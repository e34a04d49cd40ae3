"""Every shipped recipe: a training step, a save and a load, a traced evaluation, a PGD step; on small images."""

from pathlib import Path

import pytest
import torch
from torch import nn

from robustbench_aig.attacks import Pgd, run_attack
from robustbench_aig.data import DataSet
from robustbench_aig.data.images import resident
from robustbench_aig.evaluation import judge, network_of_run
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import ModelRecipe, PgdRecipe, ResNetRecipe, WideResNetRecipe
from robustbench_aig.runs import read_run
from robustbench_aig.threat import Threat
from robustbench_aig.training import Job, load_model, train
from robustbench_aig.zoo import find_model, model_names
from tools.recipe_figures import DATA


def small(channels: int, side: int) -> DataSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(16, channels, side, side, generator=generator)
    labels = torch.arange(16) % 4
    training, validation, test = (resident(pixels[a:b], labels[a:b]) for a, b in ((0, 8), (8, 12), (12, 16)))
    return DataSet("small", "small", (channels, side, side), tuple("abcd"), training, validation, test)


def narrow(recipe: ModelRecipe) -> ModelRecipe:
    """A recipe whose network is of the same blocks, but of few, or has few channels where it has many parameters.

    What the whole network costs is counted for every recipe (models/test_catalogue.py).
    """
    assert recipe.figures
    if recipe.figures.parameters < 2e6:
        deep = isinstance(recipe.model, ResNetRecipe) and recipe.model.stages is None and recipe.model.depth > 20
        fewer = recipe.model.model_copy(update={"depth": 20}) if deep else recipe.model
        return recipe.model_copy(update={"model": fewer})
    if isinstance(recipe.model, WideResNetRecipe):
        change: dict[str, object] = {"factor": 1}
    else:
        assert isinstance(recipe.model, ResNetRecipe)
        change = {"widths": [width // 16 for width in recipe.model.widths], "stem_width": 4}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=change)})


def calibrated(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """Batch-norm statistics of these images: after a single step the running ones let many blocks overflow."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(x)
    return model.eval()


def different() -> list[str]:
    """One name for each network and training; another data set's recipe may repeat both."""
    found: dict[str, str] = {}
    for name in model_names():
        content = find_model(name)[1].model_dump_json(include={"model", "training", "presets"})
        found.setdefault(content, name)
    return list(found.values())


@pytest.mark.parametrize("name", different())
def test_recipe(name: str, tmp_path: Path) -> None:
    full, recipe = find_model(name)
    recipe = narrow(recipe).chosen("short")
    assert recipe.training
    # In a hundred layers the first gradient of eight images is far too large for a usual step.
    settings = {"epochs": 1, "batch": 8, "optimizer": recipe.training.optimizer.model_copy(update={"lr": 1e-4})}
    once = recipe.model_copy(update={"training": recipe.training.model_copy(update=settings)})
    channels, side, _ = DATA[name.split("/", maxsplit=1)[0]][1]
    data = small(channels, 8 if side <= 32 else 32)
    start = Job(tmp_path / "run", full, once, data, seed=0)
    list(train(start))

    record = read_run(tmp_path / "run")
    assert record.metrics is not None
    assert record.status == "finished"
    network = network_of_run(record, calibrated(load_model(tmp_path / "run"), data.train.batch(slice(None))))
    x, y, ids = data.test.batch(slice(None)), data.test.labels, data.test.ids
    gates = len(recipe.model.targets)
    assert len(network.record.gates) == gates

    policies = network.policies(["argmax", "sampled", "random"])
    for policy in policies:
        found = judge(network.subject(policy), x, y, ids=ids, seed=0, draws=2)
        assert bool(found.finite.all())
        assert found.decisions.shape == (4, gates)
        assert bool((found.macs <= network.profile.total).all())
    subject = network.subject(policies[0])
    attacked = run_attack(
        Pgd(PgdRecipe(steps=1)),
        subject.model,
        subject.deployed(Stream.of(ids, 0, "gates")),
        x,
        y,
        Threat.parse("8/255", "linf"),
        stream=Stream.of(ids, 0, "attack"),
        seed=0,
    )
    assert attacked.reason is None
    assert attacked.backwards == 1
    assert not torch.equal(attacked.images, x)
