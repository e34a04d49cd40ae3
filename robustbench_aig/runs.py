"""The run directory: one trained model on disk, and the record that says all about it. No torch.

`run.json` is a `RunRecord`, `model.safetensors` the weights, and `history.jsonl` one `EpochRecord` per line. Until it's
finished, `last.ckpt` is the state from which an interrupted training continues, and `previous.ckpt` the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robustbench_aig.commands import with_flag
from robustbench_aig.errors import RunError, did_you_mean
from robustbench_aig.files import data_folder, read_plain, there, unwritable, write_atomic
from robustbench_aig.norms import Norm
from robustbench_aig.recipes import Family, ModelRecipe
from robustbench_aig.threat import Shape

RECORD, WEIGHTS, HISTORY = "run.json", "model.safetensors", "history.jsonl"
CHECKPOINT, PREVIOUS = "last.ckpt", "previous.ckpt"
PAGE = "run.html"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trained(_Section):
    """The images a network was trained on: enough to find them, and to rebuild its first and last layer."""

    name: str
    source: str = Field(description="what `load_data` takes")
    image_size: int | None = Field(None, description="as asked for; null where the images stayed as they were")
    seed: int = Field(description="cut the validation split")
    classes: list[str]
    shape: Shape = Field(description="channels, height, width")
    mean: list[float] = Field(description="per channel in [0, 1]")
    std: list[float]

    def matches(self, other: Trained) -> bool:
        """Whether it is the same data, wherever the images are and however they were split."""
        return (self.name, self.classes, self.shape) == (other.name, other.classes, other.shape)


class Score(_Section):
    """How a network did on a set of images under one gate policy."""

    accuracy: float = Field(description="share of right answers, over images and draws")
    n: int = Field(description="images")
    draws: int = Field(description="passes per image: 1 where the policy is deterministic")
    mean_rate: float | None = Field(None, description="share of (image, gate) pairs that ran; null: no gates")
    rates: list[float] = Field(default_factory=list, description="execution rate of every gate")
    mean_macs: float | None = Field(None, description="executed multiply-accumulates per image and pass")


Scores = dict[str, Score]
"""By gate policy; a plain network has one, "none".  "expected" is the one of a stochastic-depth network."""


class RobustScore(_Section):
    """How a network did on attacked validation images, while it was trained on attacked ones."""

    policy: str = Field(description="of the gates")
    norm: Norm
    eps: str
    n: int = Field(description="images")
    steps: int = Field(description="of the iterated attack")
    fgsm: float = Field(description="accuracy after a single step")
    pgd: float = Field(description="accuracy after the iterated attack; it chooses the epoch")


class ImageDependence(_Section):
    """Whether the gates decide by the image, on validation images; `gateshift.dependence` says how it is measured."""

    n: int = Field(description="images")
    explained: float | None = Field(
        description="share of the variance of sampled decisions that the image explains, in all; null where none varies"
    )
    of_gates: list[float | None] = Field(description="the same of each gate; null of one that never varies")
    paths: int = Field(description="distinct sets of blocks that run, under argmax gates")


class Metrics(_Section):
    """What the finished network scored. The test split was used for `test` alone."""

    validation: Scores
    test: Scores
    dependence: ImageDependence | None = Field(None, description="null without deciding gates, or for a single image")


class EpochRecord(_Section):
    """One line of `history.jsonl`. Training numbers are means over the epoch's batches, while it learned."""

    epoch: int = Field(description="from 1")
    lr: float = Field(description="at the epoch's last step")
    cross_entropy: float
    divergence: float | None = Field(None, description="weighted; of TRADES, else null")
    rate_loss: float | None = Field(description="weighted; null for a plain network")
    information_loss: float | None = Field(
        None, description="minus the weighted mutual information of images and decisions; null where it has no weight"
    )
    shaping_loss: float | None = Field(None, description="weighted; null without batch shaping")
    train_accuracy: float
    train_mean_rate: float | None = Field(description="sampled; null for a plain network")
    train_rates: list[float]
    validation: Scores
    dependence: ImageDependence | None = Field(None, description="null without deciding gates, or for a single image")
    robust: RobustScore | None = Field(None, description="null without adversarial training")
    seconds: float = Field(description="of the training alone")
    images_per_second: float

    @property
    def loss(self) -> float:
        """The sum that was minimised."""
        further = (self.divergence, self.rate_loss, self.information_loss, self.shaping_loss)
        return self.cross_entropy + sum(loss or 0 for loss in further)


class Init(_Section):
    """Where initial weights came from."""

    run: str
    recipe_name: str | None = Field(None, description="null where an earlier version has written this, as the next two")
    recipe_digest: str | None = Field(None, description="SHA-256 of its recipe with all that was chosen")
    seed: int | None = None
    weights_digest: str
    tensors: int = Field(description="taken over; the others began at random")


class Fall(_Section):
    """How a plain network falls under PGD on validation images, and where claims about such networks are judged."""

    n: int = Field(description="images")
    steps: int = Field(description="of the attack")
    clean: float = Field(description="accuracy on the same images")
    accuracies: dict[str, float] = Field(description="epsilon (L∞) -> accuracy, ascending")
    budgets: list[str] = Field(
        description="three epsilons at which it keeps between nine tenths and one tenth of its clean accuracy"
    )


class RunRecord(_Section):
    """`run.json`: everything that is needed to rebuild the network and to know where it comes from."""

    schema_version: Literal["1"] = "1"
    name: str
    recipe_name: str
    recipe: ModelRecipe
    data: Trained
    seed: int
    precision: Literal["fp32", "bf16"] = "fp32"
    compiled: bool = Field(False, description="residual branches were fused by torch.compile")
    processes: int = Field(1, description="that shared every batch")
    batch_norm: Literal["of each process", "of all processes"] = Field(
        "of each process", description="whose part of the batch its statistics were taken from"
    )
    init: Init | None = Field(None, description="the run whose weights it began with; null: random ones")
    reason: str | None = Field(None, description="why this recipe, where nobody named it")
    status: Literal["training", "finished"]
    created: str
    finished: str | None = None
    command: str
    environment: dict[str, Any]
    parameters: int
    metrics: Metrics | None = Field(None, description="null for an imported network")
    fall: Fall | None = Field(None, description="null but for plain networks, and where an early version trained it")
    best_epoch: int | None = Field(None, description="whose weights these are; null: the last epoch's")
    stopped: str | None = Field(None, description="why the training ended before its last epoch")
    weights_digest: str | None = Field(None, description="SHA-256 of model.safetensors")

    @property
    def family(self) -> Family:
        """Whether its blocks always run, are dropped blindly, or are chosen by gates."""
        return self.recipe.model.family


def write_run(directory: Path, record: RunRecord) -> None:
    """Write `run.json` whole or not at all."""
    write_atomic(directory / RECORD, record.model_dump_json(indent=2) + "\n")


def write_history(directory: Path, history: list[EpochRecord]) -> None:
    """Write `history.jsonl` whole or not at all."""
    write_atomic(directory / HISTORY, "".join(f"{epoch.model_dump_json()}\n" for epoch in history))


def read_history(directory: Path) -> list[EpochRecord]:
    """All epochs of a run; RunError where the file is missing or damaged."""
    path = directory / HISTORY
    try:
        return [EpochRecord.model_validate_json(line) for line in read_plain(path).splitlines()]
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error})") from None
    except ValidationError:
        raise RunError(f"{path} is damaged: train it again, with --overwrite") from None


def history_of(directory: Path) -> list[EpochRecord]:
    """The same; none where there is no history, as of an imported network."""
    return read_history(directory) if (directory / HISTORY).exists() else []


def read_run(directory: Path, *, unfinished: bool = False) -> RunRecord:
    """The record of a run.

    Args:
        directory: the run directory.
        unfinished: also accept a training that was interrupted.

    Raises:
        RunError: no such run (with the nearest name), or one that is empty, half-written, foreign or damaged.
    """
    if not there(directory):
        names = {path.name for root in (directory.parent, released()) for path, _ in list_runs(root)}
        raise RunError(f"no run {directory}: {did_you_mean(directory.name, names)}")
    path = directory / RECORD
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise RunError(f"{directory} is no run: it has no {RECORD}; make one with aigrob train") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error})") from None
    try:
        record = RunRecord.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise RunError(
            f"{path} is damaged or not a run of this version ({where + ': ' if where else ''}{problem['msg']}): "
            "train it again, with --overwrite"
        ) from None
    if record.status == "training" and not unfinished:
        raise RunError(f"{directory}: training was interrupted; resume with: {with_flag(record.command, '--resume')}")
    return record


def differences(old: RunRecord, new: RunRecord) -> list[str]:
    """What of the settings that decide a training's result differs, as `key was X, now Y`."""
    before, after = (_flat(run.model_dump(include=_DECISIVE), "") for run in (old, new))  # type: ignore[arg-type]
    # The folder of the images may have moved; its name, classes, shape and statistics must have stayed.
    keys = (key for key in {**before, **after} if key != "data.source" and before.get(key) != after.get(key))
    return [f"{key} was {before.get(key)}, now {after.get(key)}" for key in keys]


_DECISIVE = {
    "recipe_name": True,
    "recipe": {"model", "training"},
    "data": True,
    "seed": True,
    "precision": True,
    "compiled": True,
    "processes": True,
    "batch_norm": True,
    "init": True,
}


def _flat(value: Any, prefix: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf
        for name, child in value.items()
        for key, leaf in _flat(child, f"{prefix}.{name}" if prefix else name).items()
    }


def clear_run(directory: Path) -> None:
    """Delete a run's own files and leave any others."""
    for name in (RECORD, WEIGHTS, HISTORY, CHECKPOINT, PREVIOUS, PAGE):
        try:
            (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(directory / name, error) from None


def list_runs(root: Path) -> list[tuple[Path, RunRecord]]:
    """All readable runs below a folder, finished or not, sorted by name; what is no run is passed over."""
    found = []
    for path in sorted(root.glob(f"*/{RECORD}")):
        try:
            found.append((path.parent, read_run(path.parent, unfinished=True)))
        except RunError:
            continue
    return found


def released() -> Path:
    """The folder of the runs that come with aigrob."""
    return data_folder("models") / "released"


def find_run(name: str, root: Path) -> Path:
    """The directory of a run given by path, by its name below `root`, or by that of a released one.

    A name alone is first that of a run: a folder of the current directory that bears it hides none, and is called
    ./NAME. Whether there is a run at all, `read_run` tells.
    """
    places = _places(name, root)
    fallback = next((place for place in places if there(place)), places[0])
    return next((place for place in places if there(place / RECORD)), fallback)


def _places(name: str, root: Path) -> list[Path]:
    """Where a run may be, in the order in which it is looked for."""
    return [root / name, Path(name), released() / name] if Path(name).name == name else [Path(name)]


def ambiguous(names: Sequence[str], root: Path) -> list[str]:
    """A note for each name of a run that a folder of the current directory bears, too."""
    notes = []
    for name in dict.fromkeys(names):
        here, taken = Path(name), find_run(name, root)
        runs = [place for place in _places(name, root) if place != here and there(place / RECORD)]
        if there(here) and any(not here.samefile(run) for run in runs):
            other = runs[0] if taken == here else f"./{name}"
            notes.append(f"'{name}' is taken for {taken}, not for {other}: name the directory for the other one")
    return notes


def spelled_run(path: Path, root: Path) -> str:
    """The shortest text that `find_run` takes for a directory."""
    if find_run(path.name, root) == path:
        return path.name
    return str(path) if path.name != str(path) else f"./{path}"


def newest_pair(root: Path) -> list[tuple[Path, RunRecord]]:
    """The run that finished last, and its recipe's twin on the same data: the plain one first.

    A run whose recipe names no twin, such as a control, counts only where no other is there. The twin is the newest
    with the same seed, else the newest of any seed; without a twin there is one run.

    Raises:
        RunError: no finished run.
    """
    finished = [(path, record) for path, record in list_runs(root) if record.status == "finished"]
    if not finished:
        raise RunError(f"no finished run in {root}: train a pair first with aigrob train")
    newest = max(finished, key=lambda run: (run[1].recipe.twin is not None, run[1].finished or ""))
    twin = twin_of(newest[1], root)
    return sorted([newest, twin], key=lambda run: run[1].family == "gated") if twin else [newest]


def twin_of(run: RunRecord, root: Path) -> tuple[Path, RunRecord] | None:
    """The finished twin of a run below a folder: of the same seed where there is one, and the newest of those."""
    twins = [(path, record) for path, record in list_runs(root) if record.status == "finished" and _twins(run, record)]
    return max(twins, key=lambda twin: (twin[1].seed == run.seed, twin[1].finished or ""), default=None)


def _twins(one: RunRecord, other: RunRecord) -> bool:
    attacked = [run.recipe.training and run.recipe.training.adversarial for run in (one, other)]
    return one.data.matches(other.data) and one.recipe.twin == other.recipe_name and attacked[0] == attacked[1]
