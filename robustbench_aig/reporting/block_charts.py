"""Charts of what the blocks of one network do: rates over epochs, blocks per image, the lesion study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from robustbench_aig.inspection_record import Factor, GateUse, History, Inspection
from robustbench_aig.records import GateRecord
from robustbench_aig.reporting.curves import DASHES, Curve, Stroke, over_epochs
from robustbench_aig.reporting.drawing import ACCENT, FAINT, INK, Datum, chart, svg
from robustbench_aig.reporting.words import accuracy_text, bracket, percent, signed

_COLOURS = [f"var(--s{number})" for number in range(1, 7)]
_WIDTH, _HEIGHT = 310, 180


class Panel(NamedTuple):
    """The chart of one stage."""

    stage: str
    svg: str


def strokes(gates: Sequence[GateRecord]) -> list[Stroke]:
    """One per position of a block in its stage: the same in the panels of all stages."""
    longest = max((len(stage) for stage in _stages(gates).values()), default=0)
    return [
        Stroke(str(index + 1), _COLOURS[index % len(_COLOURS)], DASHES[index % len(DASHES)]) for index in range(longest)
    ]


def epochs(history: History, gates: Sequence[GateRecord]) -> list[Panel]:
    """Execution rate of every gate after each epoch, a panel per stage."""
    drawn = strokes(gates)
    return [Panel(str(stage or ""), _stage(history, of, drawn)) for stage, of in _stages(gates).items()]


def _stages(gates: Sequence[GateRecord]) -> dict[int | None, list[tuple[int, GateRecord]]]:
    """Stage to its gates, each with its position among all of them."""
    found: dict[int | None, list[tuple[int, GateRecord]]] = {}
    for position, gate in enumerate(gates):
        found.setdefault(gate.stage, []).append((position, gate))
    return found


def _stage(history: History, gates: Sequence[tuple[int, GateRecord]], drawn: Sequence[Stroke]) -> str:
    curves = [
        Curve(stroke, f"gate {gate.name}", [rates[position] for rates in history.rates])
        for stroke, (position, gate) in zip(drawn, gates, strict=False)
    ]
    y = alt.Y("value:Q", title="execution rate", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    return over_epochs(history.epochs, curves, y, lambda rate: f"executed for {percent(rate)}")


def blocks_per_image(gates: GateUse) -> str:
    """How many images execute how many blocks."""
    data: list[Datum] = [
        {
            "blocks": blocks,
            "images": images,
            "says": f"{blocks} blocks: {images} images, {percent(images / gates.n)}",
        }
        for blocks, images in enumerate(gates.histogram)
    ]
    x = alt.X("blocks:O", title="executed gated blocks", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    y = alt.Y("images:Q", title="images", axis=alt.Axis(tickCount=4, tickMinStep=1))
    bars = chart(data).mark_bar(color=ACCENT, opacity=0.8).encode(x=x, y=y, description="says:N")
    return svg(alt.layer(bars).properties(width=_WIDTH, height=_HEIGHT))


def factors(of: Sequence[Factor], names: Sequence[str]) -> str:
    """What each block is multiplied by: mean over images, and the middle 90 % of them."""
    data: list[Datum] = [
        {
            "block": name,
            "value": factor.mean,
            "low": factor.low,
            "high": factor.high,
            "says": f"block {name}: times {percent(factor.mean)} {bracket(factor.low, factor.high)}",
        }
        for name, factor in zip(names, of, strict=True)
    ]
    base = chart(data).encode(x=_blocks("block (stage.block)"))
    spread = base.mark_rule(color=ACCENT, strokeWidth=1.5).encode(y=_share("low", "factor"), y2="high:Q")
    point = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(
        y=_share("value", "factor"), description="says:N"
    )
    return svg(alt.layer(spread, point).properties(width=_WIDTH, height=_HEIGHT))


def lesions(inspection: Inspection) -> str:
    """Accuracy without each block, with intervals; the intact accuracy as a line with its interval as a band."""
    intact = inspection.accuracy
    data: list[Datum] = [
        {
            "block": lesion.block,
            "value": lesion.accuracy.value,
            "low": lesion.accuracy.low,
            "high": lesion.accuracy.high,
            "kind": "transition" if lesion.transition else "identity",
            "says": f"without block {lesion.block}: {accuracy_text(lesion.accuracy)}, {signed(lesion.difference)}",
        }
        for lesion in inspection.lesions
    ]
    whole: list[Datum] = [{"value": intact.value, "low": intact.low, "high": intact.high}]
    y, low = _share("value", "accuracy"), _share("low", "accuracy")
    band = chart(whole).mark_rect(color=FAINT, opacity=0.8).encode(y=low, y2="high:Q")
    level = chart(whole).mark_rule(color=INK, strokeDash=[4, 3]).encode(y=y)
    base = chart(data).encode(x=_blocks("removed block (stage.block)"))
    spread = base.mark_rule(color=ACCENT, strokeWidth=1.5).encode(y=low, y2="high:Q")
    shapes = alt.Scale(domain=["identity", "transition"], range=["circle", "triangle-up"])
    point = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(
        y=y, shape=alt.Shape("kind:N", scale=shapes, legend=None), description="says:N"
    )
    return svg(alt.layer(band, level, spread, point).properties(width=_WIDTH, height=_HEIGHT))


def _blocks(title: str) -> alt.X:
    """An axis of blocks in their order."""
    return alt.X("block:N", sort=None, title=title, axis=alt.Axis(labelAngle=0, labelOverlap=True))


def _share(field: str, title: str) -> alt.Y:
    """An axis from 0 to 100 %."""
    axis = alt.Axis(format="%", tickCount=5)
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
