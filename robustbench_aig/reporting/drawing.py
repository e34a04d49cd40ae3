"""What every chart shares: from data to a Vega-Lite chart, and from that to SVG in the font and colours of the page."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert

INK, FAINT, ACCENT = "currentColor", "var(--line)", "var(--s1)"
"""Colours of the page, so that a chart follows its colour scheme."""

Datum = dict[str, Any]


def chart(data: list[Datum]) -> alt.Chart:
    """A chart over inline data, without marks yet."""
    return alt.Chart(alt.InlineData(values=data))


def svg(drawn: alt.LayerChart | alt.FacetChart) -> str:
    """Draw with the page's font and colours, on no background."""
    styled = (
        drawn.configure(background="transparent", font="system-ui, sans-serif", padding=4)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            gridColor=FAINT,
            domainColor=FAINT,
            tickColor=FAINT,
        )
    )
    return str(vl_convert.vegalite_to_svg(styled.to_dict()))
