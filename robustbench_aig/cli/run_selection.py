"""Which networks are attacked: runs by name, the newest pair, the ladder of a gated run, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robustbench_aig.cli.ladder_options import found_controls
from robustbench_aig.defence_names import parse_defence
from robustbench_aig.errors import InputError
from robustbench_aig.files import safe_name
from robustbench_aig.hub_names import of_hub
from robustbench_aig.ladder import Role, Run
from robustbench_aig.runs import Trained, ambiguous, find_run, list_runs, newest_pair, read_run
from robustbench_aig.threat import Norm, Shape


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a command line calls networks and images."""

    runs: Sequence[str]
    runs_root: Path
    factories: Sequence[str]
    weights: Sequence[Path]
    defences: Sequence[str]
    data: str | None
    images: Path | None
    norm: Norm
    seed: int
    device: str


@dataclass(frozen=True)
class Choice:
    """The networks that were chosen, before anything is loaded.

    Attributes:
        runs: finished runs, trained on the same data.
        ladder: role to run where a ladder is asked for, None where a control is missing; else empty.
        own: factories with their weights.
        notes: on what was taken for a name that could mean two things.
    """

    runs: list[Run]
    ladder: dict[Role, Run | None]
    own: list[tuple[str, Path | None]]
    notes: list[str] = field(default_factory=list)

    @property
    def data(self) -> Trained | None:
        """What the runs were trained on; None without runs."""
        return self.runs[0][1].data if self.runs else None

    @property
    def shape(self) -> Shape | None:
        """Of the images (C, H, W), where the runs tell."""
        return self.data.shape if self.data else None


def choose(request: Naming, *, ladder: bool) -> Choice:
    """Find what the user named, or what they'd expect where they named nothing.

    Raises:
        RunError: no such run, or none at all.
        InputError: a contradiction, such as runs of different data.
    """
    for defence in request.defences:
        parse_defence(defence)
    own = own_of(request)
    if ladder:
        if own:
            raise InputError("--ladder works on runs: leave out --model")
        if any(parse_defence(defence) for defence in request.defences):
            raise InputError(
                "--ladder and --defence exclude each other: attack the runs of the ablation by name instead"
            )
        return _ladder(request)
    runs = [] if own and not request.runs else _runs(request)
    names = [*(record.name for _, record in runs), *(called(factory) for factory, _ in own)]
    if len(set(names)) < len(names):
        raise InputError("two of the networks have the same name: rename the directory of a run, or a factory")
    return Choice(runs, {}, own, ambiguous(request.runs, request.runs_root))


def choose_one(naming: Naming) -> Choice:
    """The one network of a command that looks at a single one.

    Raises:
        RunError: no such run.
        InputError: none or several, or a contradiction.
    """
    own = own_of(naming)
    if len(naming.runs) + len(own) != 1 or len(naming.defences) != 1:
        raise InputError("name one network, a RUN or a --model, and at most one --defence (see aigrob check --help)")
    parse_defence(naming.defences[0])
    return Choice([] if own else _named_runs(naming), {}, own, ambiguous(naming.runs, naming.runs_root))


def called(factory: str) -> str:
    """What reports call the network of a factory, or of a hub."""
    if of_hub(factory):
        return safe_name(factory.replace(":", "-").replace("/", "-"))
    return safe_name(factory.rpartition(".")[2].replace(":", "-"))


def own_of(request: Naming) -> list[tuple[str, Path | None]]:
    """The factories of the user's own networks, each with its file of weights or None."""
    if len(set(request.factories)) < len(request.factories):
        raise InputError("the same --model is given twice: name it once")
    if request.weights and len(request.weights) != len(request.factories):
        raise InputError(
            f"{len(request.weights)} --weights for {len(request.factories)} --model: give one for each, in their order"
        )
    if request.factories and not request.runs and request.data is None:
        raise InputError("--model needs --data: name the data set or folder whose images it is attacked on")
    weights: Sequence[Path | None] = request.weights or [None] * len(request.factories)
    return list(zip(request.factories, weights, strict=True))


def _runs(request: Naming) -> list[Run]:
    """The named runs, or the newest pair; they must have been trained on the same data."""
    return _named_runs(request) if request.runs else newest_pair(request.runs_root)


def _named_runs(request: Naming) -> list[Run]:
    paths = [find_run(name, request.runs_root) for name in dict.fromkeys(request.runs)]
    runs = [(path, read_run(path)) for path in paths]
    first = runs[0][1]
    for _, other in runs[1:]:
        if (other.data.classes, other.data.shape) != (first.data.classes, first.data.shape):
            raise InputError(f"{first.name} and {other.name} were trained on different data: attack them separately")
    return runs


def _ladder(request: Naming) -> Choice:
    """A gated run and its controls, by their roles."""
    if len(request.runs) > 1:
        raise InputError("--ladder starts from one gated run: name a single RUN, or none for the newest")
    if request.runs:
        path = find_run(request.runs[0], request.runs_root)
        start: Run = (path, read_run(path))
    else:
        gated = [
            run for run in list_runs(request.runs_root) if run[1].status == "finished" and run[1].family == "gated"
        ]
        if not gated:
            raise InputError(f"no finished gated run in {request.runs_root}: train one first with aigrob train")
        start = max(gated, key=lambda run: run[1].finished or "")
    found = found_controls(start[1], start[0].parent, request.runs_root)
    ladder: dict[Role, Run | None] = {**found, "gated": start}
    chosen = [run for run in ladder.values() if run is not None]
    return Choice(chosen, ladder, [], ambiguous(request.runs, request.runs_root))
