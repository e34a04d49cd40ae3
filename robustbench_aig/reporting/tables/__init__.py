"""A report's tables for a paper: built once, written as CSV, LaTeX or Markdown.

    from robustbench_aig.records.documents import load_report
    from robustbench_aig.reporting.tables import write_tables
    print(write_tables(load_report(Path("reports/mine")), "latex"))

Reads the report alone, never its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from robustbench_aig.records import Report
from robustbench_aig.reporting.tables.accuracy_table import accuracy_table
from robustbench_aig.reporting.tables.csv_lines import to_csv
from robustbench_aig.reporting.tables.gate_table import movement_table
from robustbench_aig.reporting.tables.latex import to_latex
from robustbench_aig.reporting.tables.markdown import to_markdown
from robustbench_aig.reporting.tables.table import Table

Format = Literal["csv", "latex", "markdown"]

_WRITERS: dict[Format, Callable[[Sequence[Table]], str]] = {"latex": to_latex, "markdown": to_markdown}


def write_tables(report: Report, form: Format) -> str:
    """All tables of a report as text; those without rows are left out. CSV has comparisons and verdicts, too."""
    tables = [table for table in (accuracy_table(report), movement_table(report)) if table.rows]
    return to_csv(tables, report) if form == "csv" else _WRITERS[form](tables)
