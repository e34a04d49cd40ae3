"""From what the user asked for to the trainings that it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from robustbench_aig.cli import options
from robustbench_aig.cli.ladder_options import lacking_controls
from robustbench_aig.cli.progress import reading
from robustbench_aig.commands import aigrob
from robustbench_aig.data import KNOWN, DataSet, load_data
from robustbench_aig.distributed import World
from robustbench_aig.errors import InputError
from robustbench_aig.norms import DEFAULT
from robustbench_aig.recipes import Adversarial, ModelRecipe, Preset
from robustbench_aig.run_names import run_name
from robustbench_aig.runs import RunRecord, find_run, read_run, released
from robustbench_aig.threat import Threat
from robustbench_aig.training import Hardware, Job, existing
from robustbench_aig.zoo import default_pair, find_model, owners_of, recipes_for

_SMALL = "digits"
"""The embedded images, for which no other data set has to be there."""


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for, as typed."""

    models: Sequence[str]
    ladder: str | None
    data: str | None
    preset: Preset | None
    epochs: int | None
    adversarial: str | None
    eps: str | None
    init: str | None
    image_size: int | None
    download: bool
    amp: bool | None
    compiled: bool
    sync_bn: bool
    tensorboard: bool
    overwrite: bool
    out: Path
    name: str | None
    seed: int
    device: str
    resume: bool
    quiet: bool
    json: bool


def find_jobs(request: TrainRequest, world: World, device: torch.device, shown: Console) -> list[Job]:
    """The trainings, in order; everything that can be refused is refused here, before the first one begins."""
    if request.sync_bn and device.type != "cuda":
        raise InputError("--sync-bn needs CUDA: torch supports it only there")
    return (_ladder_jobs if request.ladder else _jobs)(request, world, device, shown)


def _jobs(request: TrainRequest, world: World, device: torch.device, shown: Console) -> list[Job]:
    if request.resume and request.overwrite:
        raise InputError("--resume and --overwrite exclude each other: choose one")
    if request.name is not None and len(request.models) != 1:
        raise InputError("--name names one run: give exactly one MODEL with it")
    if request.eps is not None and request.adversarial is None:
        raise InputError("--eps is the perturbation budget for --adversarial: choose a method, too, or leave --eps out")
    source = request.data or _usual_data(request.models)
    data = _read(request, source, shown)
    wanted, reason = _recipes(request, data, device)
    if reason is not None:
        shown.print(reason, markup=False)
    jobs = [
        Job(
            directory=request.out / (request.name or _asked_name(request, data, recipe_name)),
            recipe_name=recipe_name,
            recipe=recipe,
            data=data,
            seed=request.seed,
            hardware=_hardware(request, world, device, data),
            image_size=request.image_size,
            init=None if request.init is None else find_run(request.init, request.out),
            reason=reason,
            command=_command(),
        )
        for recipe_name, recipe in wanted
    ]
    if len({job.directory for job in jobs}) < len(jobs):
        raise InputError("two of the models would write the same run: train them separately, with --name")
    for job in jobs:
        old = None if request.overwrite else existing(job, resume=request.resume)
        if old is not None and old.status == "finished":
            shown.print(f"{job.directory} is already trained; it is not trained again", markup=False)
        job.check()
    return jobs


def _usual_data(models: Sequence[str]) -> str:
    """The data set that all named recipes are for, or digits where they are for any; refused where that is unclear."""
    owners = [set(found) for name in models if (found := owners_of(name))]
    common = set.intersection(*owners) if owners else {_SMALL}
    if _SMALL in common:
        return _SMALL
    if len(common) == 1 and common <= set(KNOWN):
        return common.pop()
    whose = " or ".join(sorted(common)) or "different data sets"
    raise InputError(f"{', '.join(models)}: for {whose}; name the images with --data NAME or --data DIR")


def _read(request: TrainRequest, source: str, shown: Console) -> DataSet:
    with reading(shown) as progress:
        data = load_data(
            source,
            seed=request.seed,
            image_size=request.image_size,
            download=request.download,
            progress=progress,
        )
        options.suit_threads(data.shape)
        _ = data.mean  # reads the training images, while the progress is shown
    for note in data.notes:
        shown.print(f"{data.name}: {note}", markup=False)
    return data


def _hardware(request: TrainRequest, world: World, device: torch.device, data: DataSet) -> Hardware:
    amp = options.precision_for(device, data.shape, amp=request.amp)
    return Hardware(device, world, amp=amp, compiled=request.compiled, sync_bn=request.sync_bn)


def _recipes(
    request: TrainRequest, data: DataSet, device: torch.device
) -> tuple[list[tuple[str, ModelRecipe]], str | None]:
    """The named recipes, or the pair that suits images and device, as they are to be trained; and why these."""
    family = recipes_for(data.name, data.shape)
    named = [find_model(name, family) for name in request.models]
    found = named or default_pair(family, device.type)
    preset = request.preset or options.preset_for(device)
    if request.preset and not any(recipe.presets for _, recipe in found):
        raise InputError(f"--preset: {found[0][0]} has no presets, it is trained in one way; leave it out")
    reason = None
    if any(recipe.presets for _, recipe in found) and not (named and request.preset):
        what = " and ".join(name for name, _ in found)
        how = f"by the preset {preset}" if request.preset is None else ""
        where = "there is a CUDA device" if device.type == "cuda" else "this is a CPU"
        reason = f"{' '.join(filter(None, (what, how)))}, because {where} (MODEL and --preset name others)"
    return [(name, _changed(recipe.chosen(preset), request)) for name, recipe in found], reason


def _changed(recipe: ModelRecipe, request: TrainRequest) -> ModelRecipe:
    """The recipe with what the options say of its training."""
    if recipe.training is None:
        return recipe
    changes: dict[str, object] = {}
    if request.epochs is not None:
        changes["epochs"] = request.epochs
    if request.adversarial is not None:
        before = recipe.training.adversarial
        kept = before.model_dump() if before is not None and before.method == request.adversarial else {}
        given = {"method": request.adversarial}
        if request.eps is not None:
            Threat.parse(request.eps, str(kept.get("norm", DEFAULT)))
            given["eps"] = request.eps
        changes["adversarial"] = Adversarial.model_validate({**kept, **given})
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def _asked_name(request: TrainRequest, data: DataSet, recipe_name: str) -> str:
    """Told apart by what was asked for."""
    how = (request.preset, request.adversarial, "init" if request.init else None)
    return run_name(data.name, recipe_name, how, request.seed)


def _ladder_jobs(request: TrainRequest, world: World, device: torch.device, shown: Console) -> list[Job]:
    """Trainings of the controls that aren't there yet."""
    assert request.ladder is not None
    changing = (request.models, request.epochs, request.image_size, request.overwrite, request.name, request.preset)
    if any(changing) or request.adversarial or request.init or request.eps:
        raise InputError("--ladder takes everything from the gated run: leave out MODEL and the options that change it")
    path = find_run(request.ladder, request.out)
    record = read_run(path)
    # Beside the gated run, but not among those that come with aigrob.
    root = request.out if path.parent == released() else path.parent
    lacking = lacking_controls(record, path.parent, root)
    if not lacking:
        shown.print(f"all networks of the ablation of {record.name} are trained", markup=False)
        return []
    options.suit_threads(record.data.shape)
    with reading(shown) as progress:
        source = request.data or record.data.source
        data = load_data(source, seed=record.data.seed, shape=record.data.shape, progress=progress)
    if list(data.classes) != record.data.classes:
        raise InputError(
            f"--data {source} has other classes than {record.data.name}, on which {record.name} was trained"
        )
    hardware = Hardware(
        device, world, amp=record.precision == "bf16", compiled=request.compiled, sync_bn=request.sync_bn
    )
    return [
        Job(
            directory=root / _control_name(record, name),
            recipe_name=name,
            recipe=recipe,
            data=data,
            seed=record.seed,
            hardware=hardware,
            image_size=record.data.image_size,
            command=_command(),
        )
        for name, recipe in lacking
    ]


def _control_name(record: RunRecord, recipe_name: str) -> str:
    """A control is called after its training, which is that of its gated run."""
    attacked = record.recipe.training.adversarial if record.recipe.training else None
    how = (record.recipe.preset, attacked.method if attacked else None)
    return run_name(record.data.name, recipe_name, how, record.seed)


def _command() -> str:
    """What was typed; a command that trains on its way, like the demo, trains as plain `aigrob train` would."""
    return options.command_line() if options.typed()[:1] == ["train"] else aigrob("train")
