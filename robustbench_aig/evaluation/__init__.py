"""Evaluation: the plan, the loop over chunks, the judge, the rows and the store they go to."""

from robustbench_aig.evaluation.chunks import Images
from robustbench_aig.evaluation.evaluator import KEPT, Evaluator
from robustbench_aig.evaluation.judge import Judgement, Subject, judge
from robustbench_aig.evaluation.ledger import ChunkDone
from robustbench_aig.evaluation.planning import make_plan, plan_evaluations
from robustbench_aig.evaluation.process_group import Together
from robustbench_aig.evaluation.store import Store
from robustbench_aig.evaluation.subjects import Network, behind, network_of_module, network_of_run

__all__ = [
    "KEPT",
    "ChunkDone",
    "Evaluator",
    "Images",
    "Judgement",
    "Network",
    "Store",
    "Subject",
    "Together",
    "behind",
    "judge",
    "make_plan",
    "network_of_module",
    "network_of_run",
    "plan_evaluations",
]
