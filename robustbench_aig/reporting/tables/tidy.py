"""Tables as tidy CSV: one number a line, exact, with what it is of. Shares are in [0, 1]."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from robustbench_aig.reporting.tables.table import Table, Value

COLUMNS = ("model", "policy", "threat", "attack", "quantity", "value", "low", "high", "n")


def to_csv(tables: Sequence[Table]) -> str:
    """Every number of the tables; an empty field is a number that there is not. Lines end as on Unix."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in (cell for table in tables for row in table.rows for cell in row):
        if isinstance(cell, Value):
            writer.writerow([getattr(cell, name) for name in COLUMNS])
    return out.getvalue()
