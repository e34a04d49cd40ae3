"""What every chart shares: from data to a Vega-Lite chart, and from that to SVG in the font and colours of the page."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
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
    """Draw with the page's font and colours, on no background.

    Raises:
        MemoryError: the process may not have as many addresses as drawing takes.
    """
    if not _may_draw():
        raise MemoryError("drawing takes more addresses than the limit of ulimit -v allows")
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


@cache
def _may_draw() -> bool:
    """Whether the engine that draws can start.

    It reserves tens of gigabytes of addresses, whatever it uses of them, and ends the process where a limit forbids
    that. So where there is a limit, another process tries it first.
    """
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return True
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return True
    trial = "import vl_convert; vl_convert.vegalite_to_svg({'mark': 'point', 'data': {'values': []}})"
    tried = subprocess.run([sys.executable, "-c", trial], capture_output=True, check=False)  # noqa: S603 - a fixed text
    return tried.returncode == 0
