"""Charts as static SVG: Altair writes Vega-Lite, vl-convert draws it. Every mark carries its number in words.

Each panel is narrow enough for a phone; the page lays panels side by side where there is room. Colours are the
page's variables, so that a chart follows the colour scheme.
"""

from __future__ import annotations

import altair as alt
import numpy as np

from robustbench_aig.records import Evaluation, ModelRecord, Report
from robustbench_aig.reporting.drawing import ACCENT, FAINT, INK, Datum, chart, svg
from robustbench_aig.reporting.seed_series import Measured, SeedSeries, measured
from robustbench_aig.reporting.series import threats
from robustbench_aig.reporting.table_columns import Rows
from robustbench_aig.reporting.words import SUMMARIES, percent, threat_text
from robustbench_aig.threat import Threat

WIDTH = 360
_BINS = 24


def worst_case(report: Report, series: list[SeedSeries]) -> str:
    """The first screen's picture: clean accuracy, union accuracy at every epsilon and the mean over corruptions."""
    clean = "clean images"
    groups: list[tuple[str, str, Threat | None]] = [
        (clean, "union", None),
        *((threat_text(threat), "union", threat) for threat in threats(report)),
        (SUMMARIES["corruptions"], "corruptions", None),
    ]
    data = [
        _point(one, found, "clean" if name == clean else name) | {"group": name}
        for name, attack, threat in groups
        for one in series
        if (found := measured(report, one, attack, threat))
    ]
    order = list(dict.fromkeys(point["group"] for point in data))
    y = alt.Y("series:N", sort=None, axis=None)
    base = chart(data).encode(y=y)
    track = base.mark_rule(color=FAINT, strokeWidth=2).encode(x=alt.value(0), x2=alt.value(WIDTH))
    spread = base.mark_bar(height=9, opacity=0.35).encode(x=_along("low"), x2="high:Q", color=_colour(series))
    point = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=_along("value"), color=_colour(series), shape=_shape(series), description="says:N"
    )
    name = base.mark_text(align="left", dy=-13, fontSize=12, color=INK).encode(x=alt.value(0), text="series:N")
    value = base.mark_text(align="right", dy=-13, fontSize=12, fontWeight="bold", color=INK).encode(
        x=alt.value(WIDTH), text="short:N"
    )
    layers = alt.layer(track, spread, point, name, value).properties(width=WIDTH, height={"step": 38})
    header = alt.Header(
        title=None, labelOrient="top", labelAnchor="start", labelFontSize=13, labelFontWeight="bold", labelColor=INK
    )
    return svg(layers.facet(row=alt.Row("group:N", sort=order, header=header), spacing=6))


def accuracy(report: Report, series: list[SeedSeries], attack: str, norm: str) -> str | None:
    """Accuracy against epsilon under one attack, a line per series; None where nothing finished."""
    groups: list[Threat | None] = [None, *(t for t in threats(report) if t.norm == norm)]
    data = [
        _point(one, found, threat_text(threat)) | {"eps": "clean" if threat is None else threat.eps}
        for one in series
        for threat in groups
        if (found := measured(report, one, attack, threat))
    ]
    if all(point["eps"] == "clean" for point in data):
        return None
    order = [threat.eps if threat else "clean" for threat in groups]
    base = chart(data).encode(
        x=alt.X(
            "eps:N", sort=order, title="ε (steps not to scale)", axis=alt.Axis(labelAngle=0),
            scale=alt.Scale(type="band", paddingInner=0.6, paddingOuter=0.2),
        ),
        xOffset=alt.XOffset("series:N", sort=[one.label for one in series]),
        color=_colour(series),
    )  # fmt: skip
    line = base.mark_line(strokeWidth=1.5).encode(y=_share("value"), strokeDash=_dash(series))
    spread = base.mark_rule(strokeWidth=1.5).encode(y=_share("low"), y2="high:Q")
    point = base.mark_point(filled=True, size=55, opacity=1).encode(
        y=_share("value"), shape=_shape(series), description="says:N"
    )
    return svg(alt.layer(line, spread, point).properties(width=220, height=180))


def flips(evaluation: Evaluation) -> str | None:
    """Flip rate of every gate as a bar, the noise control as a line across it; None where no gate was seen."""
    if evaluation.gates is None:
        return None
    data: list[Datum] = []
    for shift in evaluation.gates.per_gate:
        noise = shift.noise_flip_rate
        beside = "" if noise is None else f", {percent(noise)} under noise"
        data.append(
            {
                "gate": shift.gate,
                "flips": shift.flip_rate,
                "noise": noise,
                "says": f"gate {shift.gate}: {percent(shift.flip_rate)} flip{beside}",
            }
        )
    x = alt.X("gate:N", sort=None, title="gate (stage.block)", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    base = chart(data).encode(x=x, description="says:N")
    bars = base.mark_bar(color=ACCENT, opacity=0.8).encode(y=_rate("flips"))
    noise_line = base.transform_filter("datum.noise !== null").mark_tick(color=INK, thickness=2.5)
    # A layer without a single mark would be an image that nothing describes.
    seen = any(shift.noise_flip_rate is not None for shift in evaluation.gates.per_gate)
    layers = [bars, noise_line.encode(y=_rate("noise"))] if seen else [bars]
    return svg(alt.layer(*layers).properties(width=WIDTH - 50, height=180))


def compute(rows: Rows, model: ModelRecord) -> str | None:
    """Executed share of the model's compute, over images: bars clean, outlines attacked; None for nothing."""
    if not rows.ok.any() or not model.total_macs:
        return None
    before, after = rows.macs_clean[rows.ok] / model.total_macs, rows.macs_adv[rows.ok] / model.total_macs
    both = np.concatenate([before, after])
    # At least 4 % wide, so that one path for all images is a bar, not a line.
    centre, half = (both.max() + both.min()) / 2, max((both.max() - both.min()) / 2, 0.02)
    edges = np.linspace(centre - half, centre + half, _BINS + 1)
    layers = []
    for name, values, style in (
        ("clean", before, {"color": "var(--soft)"}),
        ("attacked", after, {"fill": None, "stroke": ACCENT, "strokeWidth": 2}),
    ):
        counts, _ = np.histogram(values, edges)
        data = [
            {
                "from": float(low),
                "to": float(high),
                "images": int(count) / values.size,
                "zero": 0,
                "says": f"{name}: {count} images run {percent(low)} to {percent(high)} of the compute",
            }
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            if count
        ]
        x = alt.X("from:Q", title="executed share of all-open compute", axis=alt.Axis(format="%", tickCount=5))
        layers.append(
            chart(data)
            .mark_bar(**style)
            .encode(
                x=x.scale(domain=[float(edges[0]), float(edges[-1])]),
                x2="to:Q",
                y=_rate("images", "share of images"),
                y2="zero:Q",
                description="says:N",
            )
        )
    return svg(alt.layer(*layers).properties(width=WIDTH - 50, height=180))


def _point(series: SeedSeries, found: Measured, name: str) -> Datum:
    """One accuracy, under the name of what was done to the images."""
    failed = " (with failed images)" if found.failed else ""
    return {
        "series": series.label,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "short": percent(found.value),
        "says": f"{series.label}, {name}: {found.told}{failed}",
    }


def _along(field: str) -> alt.X:
    """A share along a row, without an axis: the number stands beside it."""
    return alt.X(f"{field}:Q", scale=alt.Scale(domain=[0, 1]), axis=None)


def _share(field: str) -> alt.Y:
    axis = alt.Axis(format="%", tickCount=5)
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[0, 1]), title="accuracy", axis=axis)


def _rate(field: str, title: str = "decisions changed") -> alt.Y:
    return alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format="%", tickCount=4))


def _colour(series: list[SeedSeries]) -> alt.Color:
    scale = alt.Scale(domain=[one.label for one in series], range=[one.look.colour for one in series])
    return alt.Color("series:N", scale=scale, legend=None)


def _shape(series: list[SeedSeries]) -> alt.Shape:
    scale = alt.Scale(domain=[one.label for one in series], range=[one.look.shape for one in series])
    return alt.Shape("series:N", scale=scale, legend=None)


def _dash(series: list[SeedSeries]) -> alt.StrokeDash:
    scale = alt.Scale(domain=[one.label for one in series], range=[one.look.dash for one in series])
    return alt.StrokeDash("series:N", scale=scale, legend=None)
