"""Sphinx builds the documentation from the whole checkout, so that pages stay where they belong: `make docs`."""

import sys
from pathlib import Path

from robustbench_aig import __version__

sys.path.insert(0, str(Path(__file__).parent))

project, author = "aigrob", "the aigrob authors"
release = version = __version__
copyright = author  # noqa: A001 - Sphinx's name

extensions = ["myst_parser", "sphinx_click", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "fields"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "*/README.md",
    "benchmarks/choosing/README.md",
    "models/released/README.md",
    "reports/reference/README.md",
    "models/released/*/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
smartquotes = False  # -- begins an option
myst_heading_anchors = 3
# Links lead to folders, too, which are no pages (tests/test_docs.py follows them); cards are reached by their table.
suppress_warnings = ["myst.xref_missing", "toc.not_included"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"aigrob {version}"
html_copy_source = False
