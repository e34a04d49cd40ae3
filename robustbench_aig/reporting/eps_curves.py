"""Curves over ε on a linear axis, with bands: the pictures of the first screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from robustbench_aig.reporting.drawing import Datum, chart, png, svg

_WIDTH, _HEIGHT = 300, 150
_SCALE = 3.0
_TICKS = 5


class Point(NamedTuple):
    """A value at one ε, with the ends of its band, and what it says."""

    eps: float
    name: str
    value: float
    low: float
    high: float
    says: str


class Line(NamedTuple):
    """How a line is drawn, and through which points, ascending in ε."""

    name: str
    colour: str
    dash: list[int]
    points: list[Point]


def over_eps(lines: Sequence[Line], title: str) -> str:
    """Draw at least one line of shares as SVG; the axis reaches from 0, or below, to the largest value."""
    return svg(_drawn(lines, title, None))


def over_eps_alone(lines: Sequence[Line], title: str, heading: str, told: Sequence[str]) -> bytes:
    """The same as a PNG that explains itself: with a heading, sentences under it, and a legend."""
    legend = alt.Legend(
        title=None, orient="bottom", direction="vertical", labelLimit=0,
        symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2, symbolSize=400,
    )  # fmt: skip
    above = alt.TitleParams(heading, subtitle=[*told], anchor="start", offset=12, subtitlePadding=6)
    return png(_drawn(lines, title, legend).properties(title=above), _SCALE)


def _drawn(lines: Sequence[Line], title: str, legend: alt.Legend | None) -> alt.LayerChart | alt.FacetChart:
    data: list[Datum] = [
        {"line": line.name, **point._asdict(), "said": _said(line)} for line in lines for point in line.points
    ]
    names = [line.name for line in lines]
    colour = alt.Color("line:N", legend=legend, scale=alt.Scale(domain=names, range=[line.colour for line in lines]))
    dash = alt.StrokeDash("line:N", legend=legend, scale=alt.Scale(domain=names, range=[line.dash for line in lines]))
    ticks = _ticks({point.eps: point.name for line in lines for point in line.points})
    labels = " : ".join(f"datum.value == {eps!r} ? '{name}'" for eps, name in ticks.items())
    x = alt.X(
        "eps:Q",
        title="ε",
        scale=alt.Scale(nice=False, domain=[0, max(point.eps for line in lines for point in line.points)]),
        axis=alt.Axis(values=list(ticks), labelExpr=f"{labels} : ''", labelFlush=True),
    )
    y = alt.Y("value:Q", title=title, axis=alt.Axis(format="%", tickCount=4, titlePadding=8))
    base = chart(data).encode(x=x, color=colour)
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title=title), y2="high:Q", description="said:N")
    line = base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash, description="said:N")
    point = base.mark_point(filled=True, size=28, opacity=1).encode(y=y, description="says:N")
    return alt.layer(band, line, point).properties(width=_WIDTH, height=_HEIGHT)


def _said(line: Line) -> str:
    """A line in words: its first and its last point."""
    ends = [point.says.removeprefix(f"{line.name}, ") for point in (line.points[0], line.points[-1])]
    return f"{line.name}: {'; '.join(dict.fromkeys(ends))}"


def _ticks(names: dict[float, str]) -> dict[float, str]:
    """Some of the budgets, no two so near that their names would touch."""
    widest = max(names) or 1.0
    kept: dict[float, str] = {}
    for eps in sorted(names, reverse=True):
        if all(abs(eps - other) >= widest / _TICKS for other in kept) or eps == 0:
            kept[eps] = names[eps]
    return dict(sorted(kept.items()))
