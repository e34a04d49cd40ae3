"""Adversarial robustness of networks that choose their own computation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustbench_aig.opened_report import load_report as load_report
    from robustbench_aig.study import evaluate as evaluate

__version__ = "0.2.0"
__all__ = ["__version__", "evaluate", "load_report"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """`evaluate` and `load_report`, imported when they're asked for: what they need takes seconds."""
    if name == "evaluate":
        from robustbench_aig.study import evaluate  # noqa: PLC0415

        return evaluate
    if name == "load_report":
        from robustbench_aig.opened_report import load_report  # noqa: PLC0415

        return load_report
    raise AttributeError(f"module 'robustbench_aig' has no attribute '{name}'")
