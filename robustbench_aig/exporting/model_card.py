"""A model card for the Hugging Face hub: front matter with `model-index`, one metric per threat, and what it means.

The front matter is written by huggingface_hub's own classes; the format is that of `modelcard.md` in
github.com/huggingface/hub-docs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_aig.errors import InputError
from robustbench_aig.exporting.exported import Exported, NetworkResults, Request, network_results
from robustbench_aig.files import safe_name
from robustbench_aig.policy_traits import PLAIN
from robustbench_aig.records import Accuracy, ModelRecord, Report
from robustbench_aig.reporting.words import accuracy_text, answer_text, gates_text, macs, threat_text
from robustbench_aig.threat import Threat

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_UPPER_BOUND = (
    "Accuracies in the worst case over attacks are upper bounds: a stronger attack can lower them. Intervals are 95 %"
)
_TAGS = ["image-classification", "adversarial-robustness", "conditional-computation"]


def model_cards(request: Request) -> Exported:
    """Write `<network>/README.md` for each network, with its results under every gate policy.

    Raises:
        InputError: huggingface_hub isn't installed.
    """
    try:
        from huggingface_hub import ModelCard, ModelCardData  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError(
            "model cards need huggingface_hub: install it with: pip install 'robustbench_aig[hub]'"
        ) from None
    done, found = Exported(), network_results(request)
    for name in dict.fromkeys(results.model.name for results in found):
        mine = [results for results in found if results.model.name == name]
        data = ModelCardData(
            model_name=name,
            pipeline_tag=_TAGS[0],
            tags=[*_TAGS[1:], mine[0].model.family],
            eval_results=[one for results in mine for one in _metrics(request.report, results)],
        )
        content = f"---\n{data.to_yaml()}\n---\n\n{_body(request.report, mine)}"
        done.write(request.out / safe_name(name) / "README.md", str(ModelCard(content)))
    done.remarks.append("license and the hub's name of the data set are for you to fill in: a report knows neither")
    return done


def _metrics(report: Report, results: NetworkResults) -> list[EvalResult]:
    """Clean accuracy, and robust accuracy in the worst case at each threat."""
    found: list[tuple[Threat | None, Accuracy, int]] = [(None, results.clean, 0)]
    found += [(worst.threat, worst.accuracy, len(worst.attacks)) for worst in results.worst if worst.status == "ok"]
    return [_metric(report, results, *one) for one in found]


def _metric(
    report: Report, results: NetworkResults, threat: Threat | None, accuracy: Accuracy, attacks: int
) -> EvalResult:
    from huggingface_hub import EvalResult  # noqa: PLC0415 - an extra

    named = f"Robust accuracy, {threat_text(threat)}, worst case over {attacks} attacks" if threat else "Clean accuracy"
    args: dict[str, str | float] = {
        "n": accuracy.n,
        "low": round(100 * accuracy.low, 2),
        "high": round(100 * accuracy.high, 2),
    }
    if threat:
        args |= {"norm": threat.norm, "eps": threat.eps, "attacks": attacks}
    return EvalResult(
        task_type=_TAGS[0],
        task_name="Image classification",
        dataset_type=report.data.name,
        dataset_name=report.data.name,
        dataset_split=report.data.split,
        metric_type="accuracy",
        metric_name=f"{named}{_under(results.policy)}",
        metric_value=round(100 * accuracy.value, 2),
        metric_args=args,
    )


def _under(policy: str) -> str:
    return "" if policy == PLAIN else f", {gates_text(policy)}"


def _body(report: Report, found: list[NetworkResults]) -> str:
    model, data = found[0].model, report.data
    what = f"`{model.recipe}`: {model.family}, {model.parameters:,} parameters"
    if model.total_macs:
        what += f", {macs(model.total_macs)} multiply-accumulates" + (" with every gate open" if model.gates else "")
    parts = [f"# {model.name}", f"{what}.", "## Robustness", _how(report), _table(found)]
    told = [f"- {one.asked} With {answer_text(one)}." for one in report.answers if model.name in one.gated]
    if told:
        parts.append("\n".join(told))
    if training := model.training:
        parts += [
            "## Training",
            f"{training.epochs} epochs on {training.data}, seed {training.seed}{_attacked(model)}.",
        ]
        parts += [
            "## Use",
            f"With the run's files in a folder `{model.name}`:\n\n```sh\naigrob attack ./{model.name}\n```",
        ]
    parts += [
        "## Limits",
        f"{_UPPER_BOUND} over the {data.n} of {data.available} images that were evaluated, for these trained weights.",
    ]
    return "\n\n".join(parts) + "\n"


def _attacked(model: ModelRecord) -> str:
    how = model.adversarial
    return f", on attacked images ({how.method}, {threat_text(how.threat)})" if how else ""


def _how(report: Report) -> str:
    data = report.data
    return (
        f"Measured by aigrob (`robustbench_aig`) on {data.n} images of {data.name} ({data.split}), with:"
        f"\n\n```sh\n{report.command}\n```"
    )


def _table(found: list[NetworkResults]) -> str:
    threats = list(dict.fromkeys(worst.threat for results in found for worst in results.worst))
    head = ["gates", "clean", *map(threat_text, threats)]
    rows = [head, ["---"] * len(head)]
    for results in found:
        at = {worst.threat: worst.accuracy for worst in results.worst if worst.status == "ok"}
        kept = [at.get(threat) for threat in threats]
        cells = [accuracy_text(results.clean), *(accuracy_text(one) if one else "" for one in kept)]
        rows.append(["none" if results.policy == PLAIN else gates_text(results.policy), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
