"""What every chart shares: from data to a Vega-Lite chart, and from that to SVG in the font and colours of the page."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from robustbench_aig.reporting.palette import light_colours

INK, FAINT, ACCENT = "currentColor", "var(--line)", "var(--s1)"
"""Colours of the page, so that a chart follows its colour scheme."""

Datum = dict[str, Any]


def chart(data: list[Datum]) -> alt.Chart:
    """A chart over inline data, without marks yet."""
    return alt.Chart(alt.InlineData(values=data))


def png(drawn: alt.LayerChart | alt.FacetChart, scale: float) -> bytes:
    """Draw as `svg` does, in the page's light colours on white, for what knows no page.

    Args:
        drawn: the chart.
        scale: pixels of the picture for one of the chart.

    Raises:
        MemoryError: as `svg`.
    """
    colours, text = light_colours(), svg(drawn, background="white")
    for name, value in [*((f"var({name})", value) for name, value in colours.items()), (INK, colours["--ink"])]:
        text = text.replace(name, value)
    return bytes(vl_convert.svg_to_png(text, scale=scale))


def svg(drawn: alt.LayerChart | alt.FacetChart, background: str = "transparent") -> str:
    """Draw with the page's font and colours.

    Raises:
        MemoryError: the process may not have as many addresses as drawing takes.
    """
    if not _may_draw():
        raise MemoryError("drawing takes more addresses than the limit of ulimit -v allows")
    styled = (
        drawn.configure(background=background, font="system-ui, sans-serif", padding=4)
        .configure_view(stroke=None)
        .configure_title(color=INK, subtitleColor=INK)
        .configure_legend(labelColor=INK)
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
