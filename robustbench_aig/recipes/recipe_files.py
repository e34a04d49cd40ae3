"""From a TOML file to a validated recipe, and from its mistakes to one line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from robustbench_aig.errors import RecipeError, did_you_mean, first_line
from robustbench_aig.files import read_plain
from robustbench_aig.recipes.attack_recipes import AttackRecipe, SuiteRecipe
from robustbench_aig.recipes.claim_recipes import ClaimRecipe
from robustbench_aig.recipes.merging import complete
from robustbench_aig.recipes.model_recipes import ModelRecipe
from robustbench_aig.recipes.section import Section

R = TypeVar("R", ModelRecipe, AttackRecipe, SuiteRecipe, ClaimRecipe)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; RecipeError names the file and the line."""
    try:
        return tomllib.loads(read_plain(path).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:  # no TOML, an integer too long, or nested too deep
        raise RecipeError(f"recipe {path} is not valid TOML: {first_line(error)}") from None


def validate(kind: type[R], content: dict[str, Any], source: Path | str) -> R:
    """Content to a recipe; RecipeError names file, key and allowed values."""
    try:
        return kind.model_validate(complete(content) if "presets" in content else content)
    except ValidationError as error:
        raise RecipeError(f"recipe {source}: {_explain(kind, error)}") from None


def _explain(kind: type[Section], error: ValidationError) -> str:
    """The first problem of a validation error as one line."""
    problems = error.errors()
    # An unknown key explains a missing one that it was meant to be, so it is told first.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    where = [str(part) for part in first["loc"]]
    # pydantic puts the chosen algorithm or mode into the path; the file has neither.
    tags = _tags(kind)
    key = ".".join(part for part in where if part not in tags and (part.isidentifier() or part.isdigit()))
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {did_you_mean(where[-1], _keys(kind, where[:-1]))}"
    if first["type"] == "union_tag_not_found":
        return f"key '{key}': {first['ctx']['discriminator']} is missing"
    if first["type"] == "union_tag_invalid":
        known = re.findall(r"'([^']+)'", first["ctx"]["expected_tags"])
        return f"key '{key}': unknown '{first['ctx']['tag']}'; {did_you_mean(first['ctx']['tag'], known)}"
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in {"missing", "value_error"} else f", got {first['input']!r}"
    return f"{f'key {key!r}: ' if key else ''}{message}{got}"


TAG_KEYS = ("algorithm", "mode", "name", "about")
"""What says which of several sections a table is."""


def _own_tags(section: type[BaseModel]) -> set[str]:
    """The words by which a section is chosen."""
    fields = (section.model_fields[key].annotation for key in TAG_KEYS if key in section.model_fields)
    return {word for annotation in fields for word in get_args(annotation)}


def _tags(kind: type[BaseModel]) -> set[str]:
    """Those of all sections inside a recipe."""
    inside = [section for field in kind.model_fields.values() for section in _sections(field.annotation)]
    return _own_tags(kind).union(*(_tags(section) for section in inside))


def _keys(kind: type[BaseModel], where: list[str]) -> list[str]:
    """The keys allowed at a place in a recipe."""
    if not where:
        return list(kind.model_fields)
    field = kind.model_fields.get(where[0])
    options = [] if field is None else _sections(field.annotation)
    if len(where) > 1 and len(options) > 1:
        options = [option for option in options if where[1] in _own_tags(option)]
        where = where[1:]
    return _keys(options[0], where[1:]) if options else []


def _sections(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - a type expression has no narrower type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
