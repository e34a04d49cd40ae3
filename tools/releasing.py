"""`make release`: puts finished runs into `models/released/`, each with its card, and their table into the README.

A released run is a run directory like any other, so whatever takes a run takes it by its name. No torch.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from robustbench_aig.commands import without_option
from robustbench_aig.errors import AigrobError, RunError
from robustbench_aig.files import make_folder, sha256_of, write_atomic
from robustbench_aig.runs import HISTORY, WEIGHTS, RunRecord, list_runs, read_history, read_run, released, write_run

CARD = "README.md"
_TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- /table -->)", re.DOTALL)
_IMAGES = {
    "cifar10-jpeg": "the real images of CIFAR-10 as JPEG files of quality 75, which are not bit for bit CIFAR-10"
}
"""What a data set is, where its name doesn't say it."""


def release(directory: Path) -> Path:
    """Copy a finished run, without its checkpoints and without the places where its images and it itself were.

    Raises:
        RunError: the run is missing, unfinished, imported, or its weights were changed.
    """
    record = read_run(directory)
    if record.metrics is None or record.recipe.training is None:
        raise RunError(f"{directory} wasn't trained here: only what can be trained again is released")
    if sha256_of(directory / WEIGHTS) != record.weights_digest:
        raise RunError(f"{directory / WEIGHTS} was changed after the training: train it again")
    target = released() / record.name
    make_folder(target)
    for file in (WEIGHTS, HISTORY):
        write_atomic(target / file, (directory / file).read_bytes())
    name = record.data.name
    command = without_option(record.command.replace(record.data.source, name), "--out")
    kept = record.model_copy(update={"command": command, "data": record.data.model_copy(update={"source": name})})
    write_run(target, kept)
    write_atomic(target / CARD, card(kept, target))
    return target


def card(record: RunRecord, directory: Path) -> str:
    """What a reader should know of a released run, as Markdown."""
    training, metrics = record.recipe.training, record.metrics
    assert training is not None
    assert metrics is not None
    threads = record.environment["threads"]
    preset = f", preset `{record.recipe.preset}`" if record.recipe.preset else ""
    known = _IMAGES.get(record.data.name)
    size = f"{record.precision}; {record.parameters:,} parameters"
    lines = [
        f"- Trained on `{record.data.name}`" + (f": {known}." if known else "."),
        f"- Recipe `{record.recipe_name}`{preset}, {training.epochs} epochs, seed {record.seed}, {size}.",
        f"- Command, on {threads} thread{'s' * (threads > 1)}: `OMP_NUM_THREADS={threads} {record.command}`",
    ]
    if training.adversarial is not None:
        settings, best = training.adversarial, record.best_epoch
        robust = next(epoch.robust for epoch in read_history(directory) if epoch.epoch == best)
        assert robust is not None
        gates = f", gates `{settings.gates}` in the inner attack" if record.recipe.model.targets else ""
        steps = "one step" if settings.steps == 1 else f"{settings.steps} steps"
        lines.append(
            f"- Adversarial training: `{settings.method}`, {settings.norm} {settings.eps}, {steps} of "
            f"{settings.step:g} eps{gates}. The weights are of epoch {best}, which was best on attacked validation "
            f"images: {robust.pgd:.1%} of {robust.n} hold against {robust.steps} steps."
        )
    if record.init is not None:
        lines.append(f"- Began with {record.init.tensors} tensors of `{record.init.run}`.")
    head = (
        "| gates | validation accuracy | test accuracy | execution rate, test | MACs, test |\n|---|---|---|---|---|\n"
    )
    rows = "".join(
        f"| {policy} | {metrics.validation[policy].accuracy:.2%} | {score.accuracy:.2%} | "
        f"{'–' if score.mean_rate is None else f'{score.mean_rate:.3f}'} | {(score.mean_macs or 0) / 1e6:.2f} M |\n"
        for policy, score in metrics.test.items()
    )
    images = f"{next(iter(metrics.validation.values())).n:,} validation and {next(iter(metrics.test.values())).n:,}"
    lines.append(f"- Scored on {images} test images; the test images were used for this table alone.")
    return f"# {record.name}\n\n{record.recipe.summary}.\n\n" + "\n".join(lines) + f"\n\n{head}{rows}"


def table(records: Iterable[RunRecord]) -> str:
    """The Markdown table of `models/released/README.md`."""
    head = "| run | gates | validation | test | execution rate | MACs |\n|---|---|---|---|---|---|\n"
    return head + "".join(_rows(record) for record in records)


def _rows(record: RunRecord) -> str:
    assert record.metrics is not None
    return "".join(
        f"| [`{record.name}`]({record.name}) | {policy} | {record.metrics.validation[policy].accuracy:.2%} | "
        f"{score.accuracy:.2%} | {'–' if score.mean_rate is None else f'{score.mean_rate:.3f}'} | "
        f"{(score.mean_macs or 0) / 1e6:.2f} M |\n"
        for policy, score in record.metrics.test.items()
    )


def write_table() -> None:
    """Bring the table of `models/released/README.md` up to date."""
    readme = released() / "README.md"
    records = [record for _, record in list_runs(released())]
    write_atomic(readme, _TABLE.sub(lambda _: table(records), readme.read_text()))


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            release(Path(argument))
    except AigrobError as problem:
        sys.exit(f"Error: {problem}")
    write_table()
