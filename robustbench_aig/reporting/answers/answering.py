"""Who is asked, and in which order."""

from __future__ import annotations

from robustbench_aig.policy_traits import DETERMINISTIC, traits
from robustbench_aig.records import Answer, Plan, Report
from robustbench_aig.reporting.answers.asked_networks import AskedNetworks
from robustbench_aig.reporting.answers.gates_answer import gates_look
from robustbench_aig.reporting.answers.more_robust import more_robust
from robustbench_aig.reporting.answers.slower import slower
from robustbench_aig.reporting.claims import Group, groups

_ANSWERS = (more_robust, slower, gates_look)


def answers(report: Report, plan: Plan) -> list[Answer]:
    """Every question of every gated recipe under every policy that chooses, deterministic gates first.

    Empty without a gated network, and where nothing was attacked.
    """
    if not any(e.threat for e in plan.evaluations):
        return []
    subjects = [
        AskedNetworks(report, plan, one, policy, tuple(policies))
        for one in groups(plan)
        for policies in [_policies(report, one)]
        for policy in policies
    ]
    return [answer(subject) for subject in subjects for answer in _ANSWERS]


def _policies(report: Report, group: Group) -> list[str]:
    """Under which all networks of a group were measured and leave blocks out by what they see."""
    of_each = [{e.gate_policy for e in report.evaluations if e.model == model.name} for model in group.gated]
    chosen = (policy for policy in set.intersection(*of_each) if traits(policy).chooses)
    return sorted(chosen, key=lambda policy: (policy != DETERMINISTIC, policy))
