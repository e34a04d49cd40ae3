"""Charts of what the blocks of one network do: rates over epochs, blocks per image, the lesion study."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt

from robustbench_aig.inspections import GateUse, History, Inspection
from robustbench_aig.reporting.drawing import ACCENT, FAINT, INK, Datum, chart, svg
from robustbench_aig.reporting.words import accuracy_text, percent, signed

_COLOURS = [f"var(--s{number})" for number in range(1, 7)]
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4])
_MOST_POINTS = 12
"""Epochs that carry a mark which can be pointed at; the line goes through all."""

_TICKS = 4
_WIDTH, _HEIGHT = 310, 180


class Stroke(NamedTuple):
    """How a line is drawn, so that colour is never the only difference; and what it means."""

    name: str
    colour: str
    dash: list[int]


class Panel(NamedTuple):
    """The chart of one stage."""

    stage: str
    svg: str


def strokes(gates: list[str]) -> list[Stroke]:
    """One per position of a block in its stage: the same in the panels of all stages."""
    names = list(dict.fromkeys(gate.partition(".")[2] for gate in gates))
    return [
        Stroke(name, _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]) for index, name in enumerate(names)
    ]


def epochs(history: History, gates: list[str]) -> list[Panel]:
    """Execution rate of every gate after each epoch, a panel per stage."""
    stages = list(dict.fromkeys(gate.partition(".")[0] for gate in gates))
    return [Panel(stage, _stage(history, gates, stage, strokes(gates))) for stage in stages]


def _stage(history: History, gates: list[str], stage: str, drawn: list[Stroke]) -> str:
    last = len(history.epochs) - 1
    step = max(1, -(-last // _MOST_POINTS))
    data: list[Datum] = [
        {
            "block": gate.partition(".")[2],
            "epoch": epoch,
            "rate": rates[index],
            "marked": (last - position) % step == 0,
            "says": f"gate {gate}, epoch {epoch}: executed for {percent(rates[index])}",
        }
        for index, gate in enumerate(gates)
        if gate.partition(".")[0] == stage
        for position, (epoch, rates) in enumerate(zip(history.epochs, history.rates, strict=True))
    ]
    names = [stroke.name for stroke in drawn]
    colours = alt.Scale(domain=names, range=[stroke.colour for stroke in drawn])
    dashes = alt.Scale(domain=names, range=[stroke.dash for stroke in drawn])
    base = chart(data).encode(
        x=alt.X(
            "epoch:Q",
            scale=alt.Scale(nice=False, domain=[history.epochs[0], max(history.epochs[-1], history.epochs[0] + 1)]),
            axis=alt.Axis(
                values=sorted({history.epochs[last * tick // _TICKS] for tick in range(_TICKS + 1)}), format="d"
            ),
        ),
        y=alt.Y(
            "rate:Q", title="execution rate", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)
        ),
        color=alt.Color("block:N", scale=colours, legend=None),
    )
    line = base.mark_line(strokeWidth=1.8, clip=False).encode(
        strokeDash=alt.StrokeDash("block:N", scale=dashes, legend=None)
    )
    point = (
        base.transform_filter("datum.marked").mark_point(filled=True, size=22, opacity=1).encode(description="says:N")
    )
    return svg(alt.layer(line, point).properties(width=220, height=_HEIGHT))


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
    axis = alt.Axis(format="%", tickCount=5)
    y = alt.Y("value:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=axis)
    low = alt.Y("low:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]), axis=axis)
    band = chart(whole).mark_rect(color=FAINT, opacity=0.8).encode(y=low, y2="high:Q")
    level = chart(whole).mark_rule(color=INK, strokeDash=[4, 3]).encode(y=y)
    base = chart(data).encode(
        x=alt.X(
            "block:N", sort=None, title="removed block (stage.block)", axis=alt.Axis(labelAngle=0, labelOverlap=True)
        )
    )
    spread = base.mark_rule(color=ACCENT, strokeWidth=1.5).encode(y=low, y2="high:Q")
    shapes = alt.Scale(domain=["identity", "transition"], range=["circle", "triangle-up"])
    point = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(
        y=y, shape=alt.Shape("kind:N", scale=shapes, legend=None), description="says:N"
    )
    return svg(alt.layer(band, level, spread, point).properties(width=_WIDTH, height=_HEIGHT))
