"""One table of settings on top of another, and how `[training]` and its presets go together."""

from __future__ import annotations

from typing import Any

Table = dict[str, Any]

_INHERITED = ("reference", "model", "training", "presets")


def merged(base: Table, changes: Table) -> Table:
    """`base` with `changes` on top: tables are merged key by key, anything else is replaced."""
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


def _tables(shared: object, presets: object) -> bool:
    """Whether both are as they must be; what isn't is told by the validation."""
    return isinstance(shared, dict) and isinstance(presets, dict) and all(isinstance(p, dict) for p in presets.values())
