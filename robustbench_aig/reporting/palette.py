"""Colours of heat-map cells: eleven steps from calm to strong, for light and for dark pages, always legible."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_STYLE = Path(__file__).parent / "templates" / "style.css"

Colour = tuple[int, int, int]

STEPS = 11
_SEQUENTIAL = {"light": ((247, 249, 252), (8, 69, 148)), "dark": ((30, 36, 44), (126, 194, 255))}
_DIVERGING = {
    "light": ((33, 102, 172), (248, 248, 248), (179, 88, 6)),
    "dark": ((92, 164, 232), (34, 38, 44), (240, 150, 70)),
}


def light_colours() -> dict[str, str]:
    """The style sheet's variables on a light page: `--ink` to `#15181c`."""
    root = _STYLE.read_text(encoding="utf-8").partition("}")[0]
    return dict(re.findall(r"(--[\w-]+): ([^;]+);", root))


def heat_css() -> str:
    """CSS classes h0…h10 (a rate from 0 to 1) and d0…d10 (a change; d5 is none), in both colour schemes."""
    return _in_both_schemes(lambda name, background, text: f".{name}{{background:{background};color:{text}}}")


def stroke_css() -> str:
    """The same colours for the lines of a drawing in an element of class "map"."""
    return _in_both_schemes(lambda name, background, _: f".map .{name}{{stroke:{background}}}")


def steps(scheme: str) -> list[tuple[str, Colour, Colour]]:
    """(class, background, text) of every cell colour of a scheme, "light" or "dark"."""
    low, high = _SEQUENTIAL[scheme]
    minus, none, plus = _DIVERGING[scheme]
    half = STEPS // 2
    cells = [(f"h{step}", _mix(low, high, step / (STEPS - 1))) for step in range(STEPS)]
    cells += [(f"d{half - step}", _mix(none, minus, step / half)) for step in range(half, 0, -1)]
    cells += [(f"d{half + step}", _mix(none, plus, step / half)) for step in range(half + 1)]
    return [(name, background, _text_on(background)) for name, background in cells]


def contrast(first: Colour, second: Colour) -> float:
    """Contrast ratio, 1 to 21. Source: WCAG 2.2, "contrast ratio"."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _in_both_schemes(rule: Callable[[str, str, str], str]) -> str:
    light, dark = (
        "\n".join(rule(name, _hex(background), _hex(text)) for name, background, text in steps(scheme))
        for scheme in ("light", "dark")
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _mix(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


def _text_on(background: Colour) -> Colour:
    """Black or white, whichever stands out more: at least 4.5 against any colour."""
    return max(((0, 0, 0), (255, 255, 255)), key=lambda text: contrast(text, background))


def _luminance(colour: Colour) -> float:
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hex(colour: Colour) -> str:
    return "#" + bytes(colour).hex()
