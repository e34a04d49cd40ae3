"""The glossary of docs/glossary.md, for the foot of every page."""

from __future__ import annotations

import re
from functools import cache

from markupsafe import Markup, escape

from robustbench_aig.files import data_folder

_ROW = re.compile(r"\| (?P<term>.+?) \| (?P<meaning>.+) \|")
_CODE = re.compile(r"`([^`]+)`")


@cache
def glossary() -> list[tuple[Markup, Markup]]:
    """(term, meaning) of each row of the table."""
    text = (data_folder("docs") / "glossary.md").read_text(encoding="utf-8")
    # The first two rows are the head of the table and its rule.
    rows = [match.group("term", "meaning") for match in map(_ROW.fullmatch, text.splitlines()) if match][1:]
    return [(_html(term), _html(meaning)) for term, meaning in rows]


def _html(markdown: str) -> Markup:
    """The only Markdown of the table's cells is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(markdown))))  # noqa: S704 - escaped in the same line
