"""The templates of the pages, strict about names and safe about text."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from robustbench_aig.reporting import clean_match_words, words
from robustbench_aig.reporting.glossary import glossary

_FOLDER = Path(__file__).parent / "templates"


def template(name: str) -> Template:
    """A page's template; it knows the glossary, the `words`, and those on nearest clean accuracy as `matching`."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"words": words, "matching": clean_match_words, "glossary": glossary()}
    return environment.get_template(name)
