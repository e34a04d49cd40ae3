"""How the directory of a run is named that nobody has named. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_aig.files import safe_name


def run_name(data: str, recipe_name: str, how: Sequence[str | None], seed: int) -> str:
    """Data, recipe, how it's trained, and the seed, as in "cifar10-jpeg-aig20-short-s0"."""
    model = recipe_name.rsplit("/", maxsplit=1)[-1]
    return safe_name("-".join((data, model, *filter(None, how), f"s{seed}")))
