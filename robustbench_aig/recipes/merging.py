"""One table of settings on top of another, and how `[training]` and its presets go together."""

from __future__ import annotations

import tomllib
from typing import Any

from robustbench_aig.errors import RecipeError

Table = dict[str, Any]

_NAMED_BY = {"gates": "mode", "objective": "name", "of": "algorithm"}
"""The key that says which section it is."""

_INHERITED = ("reference", "model", "training", "presets")


def merged(base: Table, changes: Table) -> Table:
    """`base` with `changes` on top: tables are merged key by key, anything else is replaced.

    A table that is given another `kind` begins anew, since another kind has other keys.
    """
    if changes.get("kind", base.get("kind")) != base.get("kind"):
        return changes
    both = {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in changes.items()
    }
    return {**base, **both}


def complete(content: Table) -> Table:
    """A model's recipe whose presets are whole, each one `[training]` with its changes, instead of changes alone."""
    shared, presets = content.get("training", {}), content.get("presets")
    if not _tables(shared, presets) or not presets:
        return content
    return {**content, "training": None, "presets": {name: merged(shared, own) for name, own in presets.items()}}


def inherit(base: Table, content: Table) -> Table:
    """A model's recipe with what its base says where it says nothing of its own.

    What its `[training]` says goes above the base's presets, too, and below its own.
    """
    whole = complete(base)
    shared, presets = content.get("training", {}), content.get("presets", {})
    if whole.get("presets") and _tables(shared, presets):
        names = {**whole["presets"], **presets}
        own = {name: merged(merged(whole["presets"].get(name, {}), shared), presets.get(name, {})) for name in names}
        content = {**content, "training": None, "presets": own}
    return merged({key: whole[key] for key in _INHERITED if key in whole}, content)


def change_attack(content: Table, changes: str, source: str) -> Table:
    """An attack's recipe with changes as the command line has them: `steps=50,gates=leaded,gates.slope=3`.

    A section that is given a name begins anew, since another mode or objective has other keys.

    Raises:
        RecipeError: a change that isn't `key=value`.
    """
    attack = dict(content.get("attack", {}))
    for change in changes.split(","):
        key, equals, text = change.strip().partition("=")
        if not key or not equals or not text:
            raise RecipeError(f"attack '{source}': '{change}' must be key=value, like pgd:steps=50,gates=open")
        section, dot, inner = key.partition(".")
        if dot:
            attack[section] = {**attack.get(section, {}), inner: _value(text)}
        else:
            attack[key] = {_NAMED_BY[key]: text} if key in _NAMED_BY else _value(text)
    return {**content, "attack": attack}


def _value(text: str) -> object:
    """As TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, an integer too long, or nested too deep
        return text


def _tables(shared: object, presets: object) -> bool:
    """Whether both are as they must be; what isn't is told by the validation."""
    return isinstance(shared, dict) and isinstance(presets, dict) and all(isinstance(p, dict) for p in presets.values())
