"""RobustBench's model information, and the attacked images that go with a new evaluation.

The keys are those of `ModelInfo` in robustbench 1.1.1 and of the files in its `model_info/`; the images are the tensor
that its template for external evaluations asks for ("a .pt tensor of the same size of the corresponding test set").
"""

from __future__ import annotations

import io
import json

import numpy as np
from numpy.typing import NDArray

from robustbench_aig.exporting.exported import Exported, NetworkResults, Request, network_results
from robustbench_aig.exporting.worst_images import worst_images
from robustbench_aig.files import safe_name
from robustbench_aig.norms import Norm
from robustbench_aig.policy_traits import PLAIN, traits
from robustbench_aig.records import Accuracy, WorstCase
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.reporting.without_evidence import came_alone
from robustbench_aig.reporting.words import gates_text

_FOLDERS: dict[Norm, str] = {"linf": "Linf", "l2": "L2"}
_DATA = {"cifar10", "cifar100", "imagenet"}
_AUTOATTACK = {"autoattack", "autoattack-pyautoattack"}
"""Attacks that are AutoAttack's version standard, unless they were changed."""


def robustbench(request: Request) -> Exported:
    """Write `model_info/<data>/<Linf or L2>/<network>_<ε>.json`, and the worst images in `images/` if all were kept.

    What a report doesn't know (link, authors, venue) is null, for the author to fill in. AutoAttack's own accuracy
    stands in `autoattack_acc` where it was run; the worst case over all attacks is in `external` and `reported`.
    """
    done, report = Exported(), request.report
    evidence = None if came_alone(request.directory) else load_evidence(request.directory)
    without: dict[str, list[str]] = {}
    for results in network_results(request):
        for worst in results.worst:
            if worst.threat.norm not in _FOLDERS:
                continue
            name = _file_name(results, worst)
            folder = request.out / "model_info" / safe_name(report.data.name) / _FOLDERS[worst.threat.norm]
            info = _model_info(request, results, worst)
            done.write(folder / f"{name}.json", json.dumps(info, indent=2) + "\n")
            images = worst_images(request.directory, evidence, worst)
            if isinstance(images, str):
                without.setdefault(images, []).append(name)
            else:
                done.write(request.out / "images" / f"{name}.pt", _tensor_file(images))
    done.remarks += [f"no attacked images for {_few(names)}: {reason}" for reason, names in without.items()]
    done.remarks += _left_to_the_author(request)
    return done


def _file_name(results: NetworkResults, worst: WorstCase) -> str:
    policy = [] if results.policy == PLAIN else [results.policy]
    return safe_name("_".join([results.model.name, *policy, worst.threat.eps.replace("/", "of")]))


def _model_info(request: Request, results: NetworkResults, worst: WorstCase) -> dict[str, object]:
    model, report = results.model, request.report
    training = model.training
    same = training is not None and training.initial is None and training.data == report.data.name
    auto = [
        e.robust_accuracy
        for e in results.evaluations
        if e.attack in _AUTOATTACK and e.threat == worst.threat and e.status == "ok" and not e.skipped
    ]
    return {
        "link": None,
        "name": model.name,
        "authors": None,
        "additional_data": False if same else None,
        "number_forward_passes": 1,
        "dataset": report.data.name,
        "venue": None,
        "architecture": model.recipe,
        "eps": worst.threat.eps,
        "clean_acc": _percent(results.clean),
        "reported": _percent(worst.accuracy),
        "autoattack_acc": _percent(min(auto, key=lambda one: one.value)) if auto else None,
        "external": _percent(worst.accuracy),
        "footnote": _footnote(results, worst),
    }


def _percent(accuracy: Accuracy) -> str:
    return str(round(100 * accuracy.value, 2))


def _footnote(results: NetworkResults, worst: WorstCase) -> str:
    of = worst.accuracy
    told = [f"{_percent(of)}% robust accuracy is the worst case over {len(worst.attacks)} attacks on {of.n} images."]
    if results.policy != PLAIN:
        told.append(f"Evaluated with {gates_text(results.policy)}.")
    if traits(results.policy).draws or results.model.restless:
        told.append("Answers are drawn: this is the mean over draws.")
    if worst.status == "error":
        told.append("Images whose attack failed count as misclassified.")
    return " ".join(told)


def _tensor_file(images: NDArray[np.float32]) -> bytes:
    import torch  # noqa: PLC0415 - takes seconds, and is only needed for the file format

    content = io.BytesIO()
    torch.save(torch.from_numpy(images), content)
    return content.getvalue()


def _few(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _left_to_the_author(request: Request) -> list[str]:
    data = request.report.data
    told = ["link, authors and venue are null: fill them in before you open a pull request"]
    if data.name not in _DATA:
        told.append(f"RobustBench ranks {', '.join(sorted(_DATA))}; these images are {data.name}")
    if data.n < data.available:
        told.append(f"RobustBench takes whole test sets; these are {data.n} of {data.available} images")
    return told
