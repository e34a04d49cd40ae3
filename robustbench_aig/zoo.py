"""Finds recipes by name: `cifar10/aig20`, `aig20` where that is unambiguous, or a path to a TOML file. No torch."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from robustbench_aig.errors import RecipeError, did_you_mean, unknown
from robustbench_aig.files import data_folder
from robustbench_aig.recipes import (
    AttackRecipe,
    ClaimRecipe,
    ModelRecipe,
    NamedAttack,
    SuiteRecipe,
    change_attack,
    inherit,
    read_toml,
    validate,
)
from robustbench_aig.threat import Shape

_READ_AS = {"random-sign": "corners", "shuffled": "permuted"}
"""Controls by the names that readers see; their recorded names stay, so that evaluations resume (docs/adr/0013)."""

_LARGER = ((96, "imagefolder"), (24, "cifar10"))
"""From how many pixels of the shorter side on images get which recipes."""


@cache
def _files(kind: str) -> dict[str, Path]:
    root = data_folder(kind)
    found = {path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob("*.toml")}
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers inside names by value: aig20 before aig110."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def model_names() -> list[str]:
    """All model recipes, as `dataset/name`."""
    return list(_files("models"))


def attack_names() -> list[str]:
    """All attack recipes that configure an algorithm."""
    return [name for name, path in _files("attacks").items() if "suite" not in read_toml(path)]


def suite_names() -> list[str]:
    """All suites of attacks."""
    return [name for name, path in _files("attacks").items() if "suite" in read_toml(path)]


def claim_names() -> list[str]:
    """All claims."""
    return list(_files("claims"))


def find_claim(name: str) -> tuple[str, ClaimRecipe]:
    """The name and recipe of a claim; RecipeError as for `find_model`. `name` may be a path to a TOML file."""
    path = Path(name) if name.endswith(".toml") else _files("claims").get(name)
    if path is None:
        raise RecipeError(unknown("claim", name, claim_names()))
    return path.stem, validate(ClaimRecipe, read_toml(path), path)


def _model_content(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a model's file says, with the sections of its `base` where it says nothing of its own."""
    content = read_toml(path)
    name = content.get("base")
    if name is None:
        return content
    base = _files("models").get(str(name))
    if base is None or base in (path, *above):
        known = did_you_mean(str(name), model_names())
        why = "is based on itself" if base else f"is unknown: {known}"
        raise RecipeError(f"recipe {path}: the base '{name}' {why}")
    return inherit(_model_content(base, (path, *above)), content)


def find_model(name: str, data: str | None = None) -> tuple[str, ModelRecipe]:
    """The full name and recipe of a model.

    Args:
        name: full name, last part of it, or a path to a TOML file.
        data: which data set's recipe to prefer where a short name fits several.

    Raises:
        RecipeError: unknown or ambiguous name (with the nearest one), or a recipe that does not validate.
    """
    if name.endswith(".toml"):
        return Path(name).stem, validate(ModelRecipe, _model_content(Path(name)), name)
    files = _files("models")
    fitting = [full for full in files if name in (full, full.split("/")[-1])]
    preferred = [full for full in fitting if full.split("/")[0] == data] or fitting
    if len(preferred) > 1:
        raise RecipeError(f"model '{name}' is ambiguous: write {' or '.join(preferred)}")
    if not preferred:
        short = {full.split("/")[-1] for full in files}
        raise RecipeError(unknown("model", name, {*files, *short}))
    full = preferred[0]
    return full, validate(ModelRecipe, _model_content(files[full]), files[full])


def owners_of(name: str) -> list[str]:
    """The folders of `models/` with a recipe that a name may mean; for a path to a TOML file that of its `base`, too.

    Raises:
        RecipeError: a file that cannot be read.
    """
    files, root = _files("models"), data_folder("models").resolve()
    if not name.endswith(".toml"):
        return sorted({full.split("/")[0] for full in files if name in (full, full.split("/")[-1])})
    path = Path(name).resolve()
    if path.is_relative_to(root):
        return [path.relative_to(root).parts[0]]
    base = read_toml(Path(name)).get("base")
    return [str(base).split("/")[0]] if base in files else []


def recipes_for(data: str, shape: Shape) -> str:
    """The folder of `models/` for a data set: its own where it has one, else that for images of such a size.

    Args:
        data: its name.
        shape: (C, H, W) of its images.
    """
    if any(name.startswith(f"{data}/") for name in _files("models")):
        return data
    return next((folder for side, folder in _LARGER if min(shape[1:]) >= side), "digits")


def default_pair(family: str, device: str) -> list[tuple[str, ModelRecipe]]:
    """The plain and the gated recipe that `aigrob train` takes for a folder of `models/` on "cpu" or "cuda"."""
    for name in _files("models"):
        if not name.startswith(f"{family}/"):
            continue
        full, recipe = find_model(name)
        if device in recipe.default and recipe.twin:
            return [find_model(recipe.twin), (full, recipe)]
    raise RecipeError(f"no default pair for '{family}': name the models to train (aigrob models lists them)")


def find_attack(name: str) -> NamedAttack:
    """The name and recipe of an attack.

    Args:
        name: of a recipe or a path to one, with changes behind a colon: `pgd:gates=leaded,gates.slope=3,steps=50`.

    Raises:
        RecipeError: as for `find_model`.
    """
    base, colon, changes = name.partition(":")
    base = _READ_AS.get(base, base)
    if base.endswith(".toml"):
        path, full = Path(base), Path(base).stem
    else:
        found = _files("attacks").get(base)
        if found is None or base in suite_names():
            raise RecipeError(unknown("attack", base, [*attack_names(), *_READ_AS]))
        path, full = found, base
    content = read_toml(path)
    if not colon:
        return full, validate(AttackRecipe, content, path)
    return f"{full}:{changes}", validate(AttackRecipe, change_attack(content, changes, name), name)


def change_named(name: str, changes: str) -> NamedAttack:
    """An attack, which may have changes already, with further ones."""
    return find_attack(f"{name},{changes}" if ":" in name else f"{name}:{changes}")


def find_suite(name: str) -> tuple[list[NamedAttack], bool]:
    """The attacks of a suite, in its order, and whether each attacks only what those before have left.

    Raises:
        RecipeError: as for `find_model`, and a suite that is part of itself.
    """
    recipe = _suite(name)
    return [find_attack(attack) for attack in dict.fromkeys(_members(name, ()))], recipe.cascade


def _suite(name: str) -> SuiteRecipe:
    path = Path(name) if name.endswith(".toml") else _files("attacks").get(name)
    if path is None or (not name.endswith(".toml") and name not in suite_names()):
        raise RecipeError(unknown("suite", name, suite_names()))
    return validate(SuiteRecipe, read_toml(path), path)


def _members(name: str, above: tuple[str, ...]) -> list[str]:
    """Names of the attacks of a suite and of the suites in it."""
    if name in above:
        raise RecipeError(f"suite '{name}' is part of itself")
    suites, found = set(suite_names()), []
    for member in _suite(name).suite:
        found += _members(member, (*above, name)) if member in suites else [member]
    return found
