"""`aigrob inspect`: which blocks a trained network executes, and how much each contributes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from robustbench_aig.cli import options
from robustbench_aig.cli.image_options import images_of
from robustbench_aig.cli.policy_option import policy_of
from robustbench_aig.cli.progress import counting, reading
from robustbench_aig.cli.terminal import console, say, stdout
from robustbench_aig.errors import Interrupted
from robustbench_aig.files import make_folder, safe_name
from robustbench_aig.inspection_record import Inspection
from robustbench_aig.records import ExplainedShare
from robustbench_aig.reporting.gates_look_words import dependence_text
from robustbench_aig.reporting.words import signed
from robustbench_aig.runs import ambiguous, find_run, history_of, read_run

if TYPE_CHECKING:
    from robustbench_aig.data import ImageSet
    from robustbench_aig.reporting.pictures import Pixels

EXAMPLES = """\b
Examples:
  aigrob inspect digits-aig14-s0
      inspect.json and inspect.html in reports/inspect-digits-aig14-s0
  aigrob inspect digits-aig14-s0 --policy sampled --name sampled-gates
  aigrob inspect digits-resnet14-s0
      a plain network has no gates, only a lesion study
  aigrob inspect photos-aig20-s0 --data elsewhere/photos --limit 5000
  aigrob inspect digits-aig14-s0 --json | jq .gates.rates
"""


@dataclass(frozen=True)
class InspectRequest:
    """What the user asked for, as typed."""

    run: str
    runs_root: Path
    policy: str | None
    data: str | None
    limit: int
    seed: int
    device: str
    out: Path
    name: str | None
    quiet: bool
    json: bool


@click.command(epilog=EXAMPLES)
@click.argument("run", metavar="RUN")
@options.policy_option
@options.moved_data_option
@options.runs_option
@options.shared(out="reports", limit=1000, verb="inspect", resume=False)
def inspect(**chosen: Any) -> None:  # noqa: ANN401 - click hands over what the options declare
    """Show which blocks a trained network executes for which test images, and how much each contributes.

    Execution rate of every gate by class and by epoch of the training, blocks per image, the images that use the
    fewest and the most blocks, and a lesion study: the accuracy without each residual block in turn. RUN is the name
    of a run or its directory.
    """
    request = InspectRequest(**chosen)
    try:
        inspection, directory = _carry_out(request, console(quiet=request.quiet))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; nothing was written, try again: {options.command_line()}") from None
    if request.json:
        click.echo(inspection.model_dump_json())
        return
    stdout().print(_table(inspection))
    if inspection.gates and inspection.gates.dependence:
        say(f"gates: {dependence_text(inspection.gates.dependence)}")
    say(f"inspection: {directory / 'inspect.html'}")


def _carry_out(request: InspectRequest, shown: Console) -> tuple[Inspection, Path]:
    """Load, measure, write; all that can be refused is refused before the measuring begins."""
    path = find_run(request.run, request.runs_root)
    for note in ambiguous([request.run], request.runs_root):
        shown.print(note, markup=False)
    record = read_run(path)
    history = history_of(path)

    from robustbench_aig.evaluation import network_of_run  # noqa: PLC0415 - imports torch
    from robustbench_aig.evaluation.inspection import inspect_network  # noqa: PLC0415
    from robustbench_aig.reporting.inspection_page import write_inspection  # noqa: PLC0415
    from robustbench_aig.training import load_model  # noqa: PLC0415

    device = options.resolve_device(request.device)
    options.suit_threads(record.data.shape)
    network = network_of_run(record, load_model(path, device))
    policy = policy_of(network, request.policy)
    with reading(shown) as progress:
        images, data = images_of(
            record.data, source=request.data, limit=request.limit, seed=request.seed, progress=progress
        )
    directory = request.out / (request.name or safe_name(f"inspect-{record.name}"))
    make_folder(directory)
    with counting(shown, "inspecting") as progress:
        inspection = inspect_network(
            network,
            policy,
            images,
            data=data,
            history=history,
            seed=request.seed,
            device=device,
            command=options.command_line(),
            progress=progress,
        )
    write_inspection(directory, inspection, _pixels(inspection, images))
    return inspection, directory


def _pixels(inspection: Inspection, images: ImageSet) -> dict[int, Pixels]:
    """The images that the inspection shows, (C, H, W) in [0, 1] by id."""
    classes = inspection.gates.per_class if inspection.gates else []
    wanted = {use.image for of_class in classes for use in [*of_class.fewest, *of_class.most]}
    return {
        image: images.batch(slice(position, position + 1))[0].numpy()
        for position, image in enumerate(images.ids.tolist())
        if image in wanted
    }


def _table(inspection: Inspection) -> Table:
    """One line per residual block, after the intact network."""
    of = inspection
    gates = "" if of.policy == "none" else f", {of.policy} gates"
    title = f"{of.model.name} on {of.data.n} images of {of.data.name}{gates}, %"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("block")
    if of.gates:
        table.add_column("mean factor" if of.gates.factors else "execution rate", justify="right")
    explained = _explained(of)
    if explained:
        table.add_column("explained by the image, %", justify="right")
    for column in ("accuracy without it", "95 % interval", "difference"):
        table.add_column(column, justify="right")
    rates = of.gates.shares if of.gates else []
    mean = [f"{100 * sum(rates) / len(rates):.1f} (mean)"] if rates else []
    table.add_row(
        "none (intact)", *mean, *explained[:1], *_cells(of.accuracy.value, of.accuracy.low, of.accuracy.high), ""
    )
    table.add_section()
    for position, lesion in enumerate(of.lesions):
        rate = [f"{100 * rates[position]:.1f}"] if rates else []
        found = _cells(lesion.accuracy.value, lesion.accuracy.low, lesion.accuracy.high)
        table.add_row(lesion.block, *rate, *explained[position + 1 : position + 2], *found, signed(lesion.difference))
    return table


def _explained(of: Inspection) -> list[str]:
    """What the image explains of the variance of decisions: of all gates together, and of each; empty where unknown."""
    known = of.gates.dependence if of.gates else None
    if known is None:
        return []
    shares = {gate.gate: gate.explained for gate in known.gates}
    return [_share(known.explained), *(_share(shares.get(gate.name)) for gate in of.model.gates)]


def _share(explained: ExplainedShare | None) -> str:
    """Nothing of a gate that never varies."""
    return "never varies" if explained is None else f"{100 * explained.value:.1f}"


def _cells(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{100 * value:.1f}", f"{100 * low:.1f} – {100 * high:.1f}"
