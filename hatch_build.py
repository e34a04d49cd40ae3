"""Puts the recipe folders into the wheel; an editable install reads them from the checkout instead."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RecipesHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps the top-level data folders to `robustbench_aig/_data` in a real wheel only (docs/adr/0001)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the mapping; `version` is "editable" for `pip install -e`."""
        if version != "editable":
            for folder in ("models", "attacks", "claims"):
                build_data["force_include"][folder] = f"robustbench_aig/_data/{folder}"
            build_data["force_include"]["docs/glossary.md"] = "robustbench_aig/_data/docs/glossary.md"
