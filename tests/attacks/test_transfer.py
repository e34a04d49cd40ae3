"""Images made on another network."""

import pytest
import torch

from robustbench_aig import zoo
from robustbench_aig.attacks import Pgd, build_attack, run_attack
from robustbench_aig.attacks.transfer import Transfer
from robustbench_aig.errors import InputError, RecipeError
from robustbench_aig.gating import Argmax, Sampled
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat
from tests.networks import gated, images, plain

EPS = Threat.parse("8/255")


def test_the_images_are_those_of_a_white_box_attack_on_the_source() -> None:
    x, y, ids = images(8)
    stream, source, target = Stream.of(ids, 0), plain(), gated()
    source.train()
    white = run_attack(Pgd(PgdRecipe(steps=3)), source, Argmax(), x, y, EPS, stream=stream, seed=0)
    found = run_attack(
        Transfer(Pgd(PgdRecipe(steps=3)), source, Argmax()), target, Sampled(), x, y, EPS, stream=stream, seed=0
    )
    assert torch.equal(found.images, white.images)
    assert (found.forwards, found.backwards) == (3, 3)
    assert source.training
    assert all(parameter.requires_grad for parameter in source.parameters())


def test_a_source_is_found_by_its_name() -> None:
    source = plain()
    recipe = zoo.find_attack("transfer:source=twin")[1]
    built = build_attack(recipe.attack, {"twin": (source, Argmax())}.__getitem__)
    assert isinstance(built, Transfer)
    assert built.source is source
    assert built.attack == Pgd(PgdRecipe(steps=50, step=0.1))


def test_a_source_must_be_named_and_ours() -> None:
    with pytest.raises(InputError, match="transfer:source=RUN"):
        build_attack(zoo.find_attack("transfer")[1].attack)
    with pytest.raises(RecipeError, match="only attacks of provider 'aigrob'"):
        zoo.find_attack("transfer:of.provider=foolbox")
