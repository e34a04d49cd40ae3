"""A study: networks, images and what is wanted of them, put together to an evaluation and carried out to a report."""

from robustbench_aig.study.evaluating import evaluate
from robustbench_aig.study.preparing import prepare
from robustbench_aig.study.study_request import Chosen, Wanted

__all__ = ["Chosen", "Wanted", "evaluate", "prepare"]
