"""The page of an inspection: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from robustbench_aig.files import make_folder, write_atomic
from robustbench_aig.inspection_record import ClassUse, GateUse, Inspection
from robustbench_aig.policy_traits import traits
from robustbench_aig.reporting import block_charts, findings
from robustbench_aig.reporting.heatmap import MOST_CLASSES, Cell, share
from robustbench_aig.reporting.palette import heat_css
from robustbench_aig.reporting.pictures import Pixels, thumbnail
from robustbench_aig.reporting.templating import template


class Map(NamedTuple):
    """A heat map: names of rows and columns, and a list of cells per row. The first column is that of all images."""

    columns: list[str]
    counts: list[int]
    rows: list[tuple[str, list[Cell]]]


def write_inspection(directory: Path, inspection: Inspection, pixels: Mapping[int, Pixels]) -> None:
    """Write `inspect.json` and `inspect.html`, each of which replaces its forerunner at once.

    Args:
        directory: made where it's missing.
        inspection: what was measured.
        pixels: (C, H, W) in [0, 1] of each image that the inspection tells by name.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(directory)
    write_atomic(directory / "inspect.json", inspection.model_dump_json(indent=1) + "\n")
    write_atomic(directory / "inspect.html", render_inspection(inspection, pixels))


def render_inspection(inspection: Inspection, pixels: Mapping[int, Pixels]) -> str:
    """The inspection as HTML; arguments as for `write_inspection`."""
    gates, names = inspection.gates, [gate.name for gate in inspection.model.gates]
    kept = kept_classes(gates) if gates else []
    return template("inspect.html").render(
        of=inspection,
        gates=gates,
        names=names,
        findings=findings.findings(inspection),
        notes=findings.notes(inspection),
        why_no_gates=findings.why_no_gates(inspection),
        drawn=traits(inspection.policy).draws,
        lesion_picture=block_charts.lesions(inspection),
        factor_picture=block_charts.factors(gates.factors, names) if gates and gates.factors else None,
        histogram=block_charts.blocks_per_image(gates) if gates else None,
        epoch_panels=block_charts.epochs(gates.history, inspection.model.gates) if gates and gates.history else [],
        strokes=block_charts.strokes(inspection.model.gates),
        rates=_rates(gates, names, kept) if gates else None,
        counts=_counts(gates, kept) if gates else None,
        kept=kept,
        blocks_of=lambda use: [name for name, executed in zip(names, use.executed, strict=True) if executed],
        thumbnails={image: thumbnail(of_image) for image, of_image in pixels.items()},
        heat_css=heat_css(),
    )


def kept_classes(gates: GateUse) -> list[ClassUse]:
    """All classes in their order; of more than 24 those whose rates, or factors, are farthest from the overall ones."""

    def distance(of_class: ClassUse) -> float:
        return sum(abs(a - b) for a, b in zip(of_class.shares, gates.shares, strict=True))

    return sorted(sorted(gates.per_class, key=distance)[-MOST_CLASSES:], key=gates.per_class.index)


def _rates(gates: GateUse, names: list[str], kept: list[ClassUse]) -> Map:
    """Gates × classes."""
    rows = [
        (name, [share(rate) for rate in (gates.shares[gate], *(c.shares[gate] for c in kept))])
        for gate, name in enumerate(names)
    ]
    return Map(*_columns(gates, kept), rows)


def _counts(gates: GateUse, kept: list[ClassUse]) -> Map:
    """Executed blocks × classes: shares of the images of each class, for every number that some image executes."""
    seen = [blocks for blocks, images in enumerate(gates.histogram) if images]
    columns = [(gates.histogram, gates.n), *((c.histogram, c.n) for c in kept)]
    rows = [
        (str(blocks), [share(histogram[blocks] / n) for histogram, n in columns])
        for blocks in range(seen[0], seen[-1] + 1)
    ]
    return Map(*_columns(gates, kept), rows)


def _columns(gates: GateUse, kept: list[ClassUse]) -> tuple[list[str], list[int]]:
    return ["all", *(c.label for c in kept)], [gates.n, *(c.n for c in kept)]
