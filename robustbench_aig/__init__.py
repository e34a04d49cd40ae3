"""Adversarial robustness of networks that choose their own computation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustbench_aig.study import evaluate as evaluate

__version__ = "0.2.0"
__all__ = ["__version__", "evaluate"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """`evaluate`, imported when it's asked for: torch takes seconds, and most of the package does without."""
    if name == "evaluate":
        from robustbench_aig.study import evaluate  # noqa: PLC0415

        return evaluate
    raise AttributeError(f"module 'robustbench_aig' has no attribute '{name}'")
