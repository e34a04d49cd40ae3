"""From the sample tables to the report: counts first, the ratio last."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from robustbench_aig.files import sha256_of_bytes
from robustbench_aig.gateshift.expected_macs import expected_macs
from robustbench_aig.policy_traits import traits
from robustbench_aig.records import (
    BeyondNoise,
    Compute,
    ComputeSpread,
    Cost,
    Distance,
    Evaluation,
    EvaluationPlan,
    ModelRecord,
    Report,
)
from robustbench_aig.records.evaluation import guessing
from robustbench_aig.reporting.answers import answers
from robustbench_aig.reporting.claims import claims
from robustbench_aig.reporting.clean_match import clean_matches
from robustbench_aig.reporting.corruptions import means
from robustbench_aig.reporting.evidence import Evidence, load_evidence
from robustbench_aig.reporting.gate_behaviour import Beside, gates
from robustbench_aig.reporting.gated_vs_plain import comparisons, results_of
from robustbench_aig.reporting.image_scores import Scores, accuracy
from robustbench_aig.reporting.ladder_steps import ladder
from robustbench_aig.reporting.table_columns import Bools, Floats, Rows
from robustbench_aig.reporting.union import unions
from robustbench_aig.statistics import CONFIDENCE, commonest, ratio_interval
from robustbench_aig.zoo import claim_names, find_claim


def aggregate(directory: Path) -> Report:
    """Compute every number of a report from the plan and the rows in `directory`; writes nothing.

    Equal rows give an equal report, except for seconds and latency, which are not in rows.
    Evaluations that are not finished are left out and make the report "partial".

    Raises:
        RunError: if a file is missing, damaged or foreign.
    """
    return conclude(count(load_evidence(directory)))


@dataclass(frozen=True)
class Counted:
    """What needs no clock: it says which attacks deserve one, and a report is made of it when the clocks have spoken.

    Attributes:
        evidence: what was counted.
        evaluations: the finished ones, in the plan's order, without latency and pace.
    """

    evidence: Evidence
    evaluations: list[Evaluation]


def count(evidence: Evidence) -> Counted:
    """The numbers of each finished evaluation by itself."""
    return Counted(evidence, [_evaluation(evidence, planned) for planned in evidence.finished()])


def conclude(counted: Counted) -> Report:
    """The report: the evaluations with what the clocks say of them, and all that is concluded from several."""
    evidence = counted.evidence
    plan, evaluations = evidence.plan, [_timed(e, evidence) for e in counted.evaluations]
    united, corrupted = unions(evidence), means(evidence)
    results = results_of(evidence, united, corrupted)
    share = commonest(evidence.rows[evaluations[0].id].label) if evaluations else None
    guesses = {(e.model, e.gate_policy) for e in guessing(evaluations, share)} if share is not None else set()
    report = Report(
        status=_status(plan.evaluations, evaluations),
        created=plan.created,
        command=plan.command,
        seed=plan.seed,
        digest=plan.digest,
        environment=plan.environment,
        data=plan.data,
        models=plan.models,
        evaluations=evaluations,
        worst_case=[union.record for union in united],
        corruptions=[mean.record for mean in corrupted],
        comparisons=comparisons(evidence, results),
        clean_matches=clean_matches(evidence, results),
        ladder=ladder(plan, results),
        checks=evidence.checks,
        claims=claims(evidence, results, [find_claim(name) for name in claim_names()], guesses),
        asked=plan.asked,
        commonest=share,
        rows_digest=evidence.rows_digest,
    )
    return report.model_copy(update={"answers": answers(report, plan)})


def _status(planned: list[EvaluationPlan], finished: list[Evaluation]) -> Literal["complete", "partial", "error"]:
    if len(finished) < len(planned):
        return "partial"
    return "error" if any(evaluation.errors for evaluation in finished) else "complete"


def _evaluation(evidence: Evidence, planned: EvaluationPlan) -> Evaluation:
    rows = evidence.rows[planned.id]
    clean = evidence.clean(planned.model, planned.policy)
    assert clean is not None
    model = evidence.model(planned.model)
    errors = int((~rows.ok & ~rows.skipped).sum())
    return Evaluation(
        id=planned.id,
        model=planned.model,
        gate_policy=planned.policy,
        attack=planned.attack,
        role=planned.role,
        provider=planned.provider,
        provider_version=planned.provider_version,
        settings_digest=_settings_digest(planned),
        threat=planned.threat,
        corruption=planned.corruption,
        status="error" if errors else "ok",
        errors=errors,
        skipped=int(rows.skipped.sum()),
        n=rows.image.size,
        clean_accuracy=accuracy(Scores.of(clean)),
        robust_accuracy=accuracy(Scores.of(rows)),
        distance=None if planned.role == "clean" else _distance(rows),
        gates=gates(
            rows,
            _beside(evidence, planned, clean),
            model,
            planned.policy,
            evidence.plan.data.classes,
            confidence=_joint(evidence, planned, {"attack", "compute"}),
        ),
        compute=_compute(rows, clean, planned, evidence),
        cost=_cost(rows, evidence.seconds.get(planned.id)),
    )


def _beside(evidence: Evidence, planned: EvaluationPlan, clean: Rows) -> Beside:
    """Of the controls random-sign noise and shuffled perturbations: they have an attack's size."""
    return Beside(clean, evidence.control(planned, "corners"), evidence.control(planned, "permuted"))


def _distance(rows: Rows) -> Distance | None:
    linf, l2 = rows.linf[rows.ok], rows.l2[rows.ok]
    if not linf.size:
        return None
    return Distance(
        linf_max=float(linf.max()),
        linf_mean=float(linf.mean()),
        l2_max=float(l2.max()),
        l2_mean=float(l2.mean()),
    )


def _compute(rows: Rows, clean: Rows, planned: EvaluationPlan, evidence: Evidence) -> Compute | None:
    """Executed compute of the images that were measured; None where none was, or where it isn't known."""
    model = evidence.model(planned.model)
    if not rows.ok.any() or model.total_macs is None:
        return None
    before, after = rows.macs_clean[rows.ok], rows.macs_adv[rows.ok]
    clean_mean, attacked = float(before.mean()), float(after.mean())
    confidence = _joint(evidence, planned, {"compute"})
    recovered, low, high = _recovered(before, after, model, confidence) or (None, None, None)
    does = traits(planned.policy)
    sampled = does.looks and does.draws
    return Compute(
        clean_macs=clean_mean,
        adversarial_macs=attacked,
        change=(attacked - clean_mean) / clean_mean if clean_mean else 0.0,
        recovered=recovered,
        recovered_low=low,
        recovered_high=high,
        beyond_noise=None if recovered is None else _beyond_noise(rows, planned, evidence, confidence),
        p95=float(np.percentile(after, 95)),
        spread=ComputeSpread(
            clean_p95=float(np.percentile(before, 95)),
            up_share=float((after > before).mean()),
            down_share=float((after < before).mean()),
            clean_expected=_expected(clean, rows.ok & clean.ok, model) if sampled else None,
            adversarial_expected=_expected(rows, rows.ok & clean.ok, model) if sampled else None,
        ),
    )


def _joint(evidence: Evidence, planned: EvaluationPlan, roles: set[str]) -> float:
    """Confidence at which an interval of each attack in a ball holds for the largest of them, whichever it is."""
    if planned.role not in roles:
        return CONFIDENCE
    same = (planned.model, planned.policy, planned.threat)
    among = [e for e in evidence.plan.evaluations if e.role in roles and (e.model, e.policy, e.threat) == same]
    return 1 - (1 - CONFIDENCE) / len(among)


def _beyond_noise(rows: Rows, planned: EvaluationPlan, evidence: Evidence, confidence: float) -> BeyondNoise | None:
    """What an attack on the compute recovers more than noise, paired on images; None without the control."""
    noise = evidence.control(planned, "corners") if planned.role == "compute" else None
    both = None if noise is None else rows.ok & noise.ok
    if noise is None or both is None or not both.any():
        return None
    model = evidence.model(planned.model)
    assert model.total_macs is not None
    more, skipped = rows.macs_adv[both] - noise.macs_adv[both], model.total_macs - rows.macs_clean[both]
    if float(skipped.mean()) <= 1e-9 * model.total_macs:
        return None
    most, share = _skippable(model), float(more.mean() / skipped.mean())
    bounds = (-most * (1 + max(share, 0.0)), most * (1 + max(-share, 0.0)))
    low, high = ratio_interval(more, skipped, bounds=bounds, confidence=confidence)
    return BeyondNoise(value=share, low=low, high=high, n=int(both.sum()))


def _skippable(model: ModelRecord) -> float:
    """The most that an image can skip, as far as is known."""
    return float(sum(gate.macs or 0 for gate in model.gates)) or float(model.total_macs or 0)


def _recovered(
    before: Floats, after: Floats, model: ModelRecord, confidence: float
) -> tuple[float, float, float] | None:
    """The share of skipped compute that is executed again, and its interval; None where nothing is skipped."""
    assert model.total_macs is not None
    skipped = model.total_macs - before
    # A difference of rounding must not be divided by.
    if float(skipped.mean()) <= 1e-9 * model.total_macs:
        return None
    # A residual is largest where nothing can be skipped, or all of it is.
    most, share = _skippable(model), float((after - before).mean() / skipped.mean())
    rest = (1 - share) * most
    bounds = (min(rest, 0.0) - most, max(rest, 0.0))
    low, high = ratio_interval(after - before, skipped, bounds=bounds, confidence=confidence)
    return share, low, high


def _timed(evaluation: Evaluation, evidence: Evidence) -> Evaluation:
    """An evaluation with what the clocks say of its compute."""
    if evaluation.compute is None:
        return evaluation
    clocks = {"pace": evidence.pace.get(evaluation.id), "latency": evidence.latency.get(evaluation.id)}
    return evaluation.model_copy(update={"compute": evaluation.compute.model_copy(update=clocks)})


def _expected(rows: Rows, of: Bools, model: ModelRecord) -> float | None:
    """Mean MACs by the open probabilities of some images (N,); None where these weren't recorded."""
    if rows.mean_p_adv is None or rows.choice_p_adv is None or not of.any():
        return None
    p = (rows.mean_p_adv[of] + rows.choice_p_adv[of]) / 2
    assert model.total_macs is not None
    return float(expected_macs(p, [gate.macs or 0 for gate in model.gates], model.total_macs).mean())


def _settings_digest(planned: EvaluationPlan) -> str:
    """Equal where an attack was set alike, whatever it was called."""
    # Versions of ours that compute the same are many.
    version = None if planned.provider == "aigrob" else planned.provider_version
    told = [planned.settings, planned.provider, version]
    return sha256_of_bytes(json.dumps(told, sort_keys=True).encode())


def _cost(rows: Rows, seconds: float | None) -> Cost:
    """Passes per image that was measured."""
    count = max(int(rows.ok.sum()), 1)
    return Cost(
        forwards=float(rows.forwards[rows.ok].sum()) / count,
        backwards=float(rows.backwards[rows.ok].sum()) / count,
        seconds=seconds,
    )
