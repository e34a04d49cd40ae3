"""Results in the formats of others: RobustBench, Hugging Face, Every Eval Ever, and pictures for slides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from robustbench_aig.exporting.chart_pictures import chart_pictures
from robustbench_aig.exporting.every_eval_ever import every_eval_ever
from robustbench_aig.exporting.exported import Exported, Request
from robustbench_aig.exporting.model_card import model_cards
from robustbench_aig.exporting.robustbench import robustbench

Target = Literal["robustbench", "huggingface", "every-eval-ever", "png"]

_WRITERS: dict[Target, Callable[[Request], Exported]] = {
    "robustbench": robustbench,
    "huggingface": model_cards,
    "every-eval-ever": every_eval_ever,
    "png": chart_pictures,
}


def export(request: Request, target: Target) -> Exported:
    """Write the results of a report in one format, and say which files there are and what is missing.

    Raises:
        InputError: a network isn't in the report, nothing can be exported, or a file can't be written.
        RunError: something in the report directory is damaged.
    """
    return _WRITERS[target](request)


__all__ = ["Exported", "Request", "Target", "export"]
