"""Records of Every Eval Ever, schema version 0.2.2: one for each network under each gate policy.

Source: `every_eval_ever/schemas/eval.schema.json` of github.com/evaleval/every_eval_ever, and the notes on its fields
there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from robustbench_aig import __version__
from robustbench_aig.exporting.exported import Exported, NetworkResults, Request, network_results
from robustbench_aig.files import safe_name
from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.records import Accuracy, Evaluation, Report
from robustbench_aig.records.base import Status
from robustbench_aig.reporting.words import attack_text, gates_text, threat_text
from robustbench_aig.threat import Threat

SCHEMA = "0.2.2"
_UNKNOWN = "unknown"


def every_eval_ever(request: Request) -> Exported:
    """Write `data/<data set>/<developer>/<network>/<id>.json`.

    Accuracies, changed decisions and executed compute, each a share in [0, 1] with its interval. Accuracy under single
    attacks of a cascade is left out: an attack that skips images says nothing of them.
    """
    done, data = Exported(), request.report.data
    for results in network_results(request):
        # Exported twice, it is the same file.
        key = f"aigrob:{request.report.digest}/{results.model.weights_digest}/{results.model.name}/{results.policy}"
        folder = request.out / "data" / safe_name(data.name) / _UNKNOWN / safe_name(results.model.name)
        record = json.dumps(_record(request.report, results), indent=2, ensure_ascii=False)
        done.write(folder / f"{uuid.uuid5(uuid.NAMESPACE_URL, key)}.json", record + "\n")
    done.remarks.append(
        f"the developer and the organization are '{_UNKNOWN}': put in their names, in the record and in its path"
    )
    return done


def _record(report: Report, results: NetworkResults) -> dict[str, Any]:
    model, created = results.model, str(int(datetime.fromisoformat(report.created).timestamp()))
    name = model.name if results.policy == PLAIN else f"{model.name}/{results.policy}"
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"aigrob/{report.data.name}/{name}/{report.digest[:12]}",
        "evaluation_timestamp": report.created,
        "retrieved_timestamp": created,
        "source_metadata": {
            "source_name": "aigrob",
            "source_type": "evaluation_run",
            "source_organization_name": _UNKNOWN,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "robustbench_aig", "version": __version__},
        "model_info": {
            "name": model.name,
            "id": f"{_UNKNOWN}/{model.name}",
            "additional_details": {
                "recipe": model.recipe,
                "family": model.family,
                "gate_policy": results.policy,
                "parameters": str(model.parameters),
                "weights_sha256": model.weights_digest,
            },
        },
        "evaluation_results": list(_results(report, results)),
    }


def _results(report: Report, results: NetworkResults) -> Iterator[dict[str, Any]]:
    of = _Described(report, results)
    yield of.accuracy("clean", results.clean, None, "Accuracy on clean images", "ok")
    for worst in results.worst:
        over = f"Accuracy in the worst case over {len(worst.attacks)} attacks (per-image union)"
        yield of.accuracy("worst-case", worst.accuracy, worst.threat, over, worst.status)
    for e in results.evaluations:
        if e.role == "clean" or e.threat is None or e.skipped:
            continue
        if e.role != "compute":
            yield of.accuracy(e.attack, e.robust_accuracy, e.threat, f"Accuracy under {_told(e)}", e.status)
        if e.status == "ok":
            yield from of.decisions_and_compute(e)


class _Described:
    """Results of one network under one policy, as the schema spells them."""

    def __init__(self, report: Report, results: NetworkResults) -> None:
        data = report.data
        self._data = data.name
        self._source = {
            "dataset_name": data.name,
            "source_type": "other",
            "source_id": data.digest,
            "additional_details": {"split": data.split, "images": str(data.n), "images_in_split": str(data.available)},
        }
        self._command, self._model = report.command, results.model
        self._gates = "" if results.policy == PLAIN else f", with {gates_text(results.policy)}"

    def accuracy(self, what: str, found: Accuracy, threat: Threat | None, told: str, status: Status) -> dict[str, Any]:
        """An accuracy with its interval; where images failed they count as misclassified, and the status says so."""
        details = {"status": status, "draws": str(found.draws)}
        ends = (found.low, found.high)
        return self._result(what, threat, ("accuracy", told, False), found.value, ends, found.n, details)

    def decisions_and_compute(self, e: Evaluation) -> Iterator[dict[str, Any]]:
        """The share of decisions that an attack changes, and the share of the compute that is executed."""
        if e.gates:
            told = f"Share of gate decisions changed by {_told(e)}"
            ends = (e.gates.flip_low, e.gates.flip_high)
            yield self._result(f"{e.attack}.decisions", e.threat, (_FLIPS, told, True), e.gates.flip_rate, ends, e.n)
        if e.compute and self._model.total_macs and self._model.gates:
            told = f"Share of all multiply-accumulates executed under {_told(e)}"
            share = e.compute.adversarial_macs / self._model.total_macs
            yield self._result(f"{e.attack}.compute", e.threat, (_COMPUTE, told, True), share, (None, None), e.n)

    def _result(
        self,
        what: str,
        threat: Threat | None,
        metric: tuple[str, str, bool],
        score: float,
        ends: tuple[float | None, float | None],
        n: int,
        details: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        name, told, lower_is_better = metric
        at = f".{threat.norm}-{threat.eps}" if threat else ""
        low, high = ends
        interval = {} if low is None or high is None else {"confidence_interval": _interval(low, high)}
        parameters = {"norm": threat.norm, "eps": threat.eps, "radius": threat.value} if threat else {}
        return {
            "evaluation_name": f"aigrob.{self._data}{at}.{what}",
            "source_data": self._source,
            "metric_config": {
                "evaluation_description": f"{told}{f' at {threat_text(threat)}' if threat else ''}{self._gates}",
                "metric_id": name,
                "metric_name": name,
                "metric_unit": "proportion",
                "metric_parameters": parameters,
                "lower_is_better": lower_is_better,
                "score_type": "continuous",
                "min_score": 0.0,
                "max_score": 1.0,
            },
            "score_details": {
                "score": score,
                "details": details or {},
                "uncertainty": {**interval, "num_samples": n},
            },
            "generation_config": {"generation_args": {"execution_command": self._command}},
        }


_FLIPS, _COMPUTE = "aigrob.changed-decisions", "aigrob.executed-compute"


def _interval(low: float, high: float) -> dict[str, object]:
    return {"lower": low, "upper": high, "confidence_level": 0.95, "method": "over images"}


def _told(e: Evaluation) -> str:
    return f"{attack_text(e.attack)} by {e.provider} {e.provider_version}"
