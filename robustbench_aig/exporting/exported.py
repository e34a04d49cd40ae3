"""What every exporter is given and gives, and the results of one network that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from robustbench_aig.errors import InputError, unknown
from robustbench_aig.files import make_folder, write_atomic
from robustbench_aig.records import Accuracy, Evaluation, ModelRecord, Report, WorstCase


@dataclass(frozen=True)
class Request:
    """What is exported.

    Attributes:
        report: that is read.
        directory: of the report; attacked images lie there.
        out: the folder to write into.
        networks: those of the report that are wanted; all where empty.
    """

    report: Report
    directory: Path
    out: Path
    networks: Sequence[str] = ()


@dataclass
class Exported:
    """What an exporter did.

    Attributes:
        files: that it wrote.
        remarks: what is missing from them or left to the reader, a sentence each.
    """

    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def write(self, path: Path, content: bytes | str) -> None:
        """Write a file, and note it; InputError where that fails."""
        make_folder(path.parent)
        write_atomic(path, content)
        self.files.append(path)


class NetworkResults(NamedTuple):
    """A network under one gate policy.

    Attributes:
        model: the network.
        policy: "none" for a network without gates.
        clean: accuracy on clean images.
        worst: accuracy in the worst case over attacks, by threat.
        evaluations: all that was measured.
    """

    model: ModelRecord
    policy: str
    clean: Accuracy
    worst: list[WorstCase]
    evaluations: list[Evaluation]


def network_results(request: Request) -> list[NetworkResults]:
    """The networks that are wanted, under each policy, in the report's order; what lacks its clean images is left out.

    Raises:
        InputError: a network isn't in the report, or none was measured on clean images.
    """
    report, names = request.report, [model.name for model in request.report.models]
    for name in request.networks:
        if name not in names:
            raise InputError(unknown("network", name, names))
    wanted = set(request.networks or names)
    found = [
        _results(report, model, policy)
        for model in report.models
        if model.name in wanted
        for policy in dict.fromkeys(e.gate_policy for e in report.evaluations if e.model == model.name)
    ]
    whole = [results for results in found if results is not None]
    if not whole:
        raise InputError(f"{request.directory} has no finished evaluation on clean images: nothing can be exported yet")
    return whole


def _results(report: Report, model: ModelRecord, policy: str) -> NetworkResults | None:
    mine = [e for e in report.evaluations if (e.model, e.gate_policy) == (model.name, policy)]
    clean = next((e.clean_accuracy for e in mine if e.role == "clean"), None)
    worst = [w for w in report.worst_case if (w.model, w.gate_policy) == (model.name, policy)]
    return None if clean is None else NetworkResults(model, policy, clean, worst, mine)
