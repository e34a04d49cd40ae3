"""Curves over the epochs of a training: drawn in the same way on the pages of runs and of inspections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import altair as alt

from robustbench_aig.reporting.drawing import INK, Datum, chart, svg

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4])
_MOST_POINTS = 12
"""Epochs that carry a mark which can be pointed at; the line goes through all."""

_TICKS = 4
_HEIGHT = 180


class Stroke(NamedTuple):
    """How a line is drawn, so that colour is never the only difference; and what it means."""

    name: str
    colour: str
    dash: list[int]


class Curve(NamedTuple):
    """One value per epoch; None where nothing was measured, which isn't drawn.

    Attributes:
        stroke: how it is drawn; its name is unique in a chart.
        label: how the text of a mark calls it.
        values: by epoch.
    """

    stroke: Stroke
    label: str
    values: Sequence[float | None]


def over_epochs(
    epochs: Sequence[int],
    curves: Sequence[Curve],
    y: alt.Y,
    tell: Callable[[float], str],
    *,
    rule: int | None = None,
    width: int = 220,
) -> str:
    """Draw curves as SVG.

    Args:
        epochs: what the values belong to, ascending; at least one.
        curves: what is drawn.
        y: the vertical axis, of the field "value".
        tell: a value in words, for the text of a mark.
        rule: an epoch to mark with a vertical line.
        width: of the drawing, without axes.
    """
    data = [point for curve in curves for point in _points(epochs, curve, tell)]
    strokes = [curve.stroke for curve in curves]
    names = [stroke.name for stroke in strokes]
    colours = alt.Scale(domain=names, range=[stroke.colour for stroke in strokes])
    dashes = alt.Scale(domain=names, range=[stroke.dash for stroke in strokes])
    last = len(epochs) - 1
    x = alt.X(
        "epoch:Q",
        scale=alt.Scale(nice=False, domain=[epochs[0], epochs[-1]] if last else [epochs[0] - 1, epochs[0] + 1]),
        axis=alt.Axis(values=sorted({epochs[last * tick // _TICKS] for tick in range(_TICKS + 1)}), format="d"),
    )
    base = chart(data).encode(x=x, y=y, color=alt.Color("curve:N", scale=colours, legend=None))
    line = base.mark_line(strokeWidth=1.8, clip=False).encode(
        strokeDash=alt.StrokeDash("curve:N", scale=dashes, legend=None), detail="piece:N", description="line:N"
    )
    point = (
        base.transform_filter("datum.marked").mark_point(filled=True, size=22, opacity=1).encode(description="says:N")
    )
    layers: list[alt.Chart] = [line, point]
    if rule is not None:
        layers.append(chart([{"epoch": rule}]).mark_rule(color=INK, strokeDash=[3, 3]).encode(x=x))
    return svg(alt.layer(*layers).properties(width=width, height=_HEIGHT))


def _points(epochs: Sequence[int], curve: Curve, tell: Callable[[float], str]) -> list[Datum]:
    """What there is of a curve, piece by piece: a line never bridges a gap."""
    last = len(epochs) - 1
    step = max(1, -(-last // _MOST_POINTS))
    points: list[Datum] = []
    for number, piece in enumerate(_pieces(curve.values)):
        ends = [f"{tell(value)} in epoch {epochs[position]}" for position, value in (piece[0], piece[-1])]
        points += [
            {
                "curve": curve.stroke.name,
                "piece": number,
                "line": f"{curve.label}: {', '.join(dict.fromkeys(ends))}",
                "epoch": epochs[position],
                "value": value,
                "marked": len(piece) == 1 or (last - position) % step == 0,
                "says": f"{curve.label}, epoch {epochs[position]}: {tell(value)}",
            }
            for position, value in piece
        ]
    return points


def _pieces(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """(position, value) of what was measured, cut where something wasn't."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for position, value in enumerate(values):
        if value is not None:
            pieces[-1].append((position, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]
