"""Tables as tidy CSV: one number a line, exact, with what it is of. Shares are in [0, 1]."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from robustbench_aig.records import Report
from robustbench_aig.reporting.tables.table import Table, Value
from robustbench_aig.reporting.words import reading

COLUMNS = ("model", "policy", "threat", "attack", "quantity", "value", "low", "high", "n")
_FURTHER = ("against", "p", "p_holm", "verdict")


def to_csv(tables: Sequence[Table], report: Report) -> str:
    """Every number of the tables, then the comparisons with their p, and the claims with their verdicts.

    An empty field is a number that there is not. Lines end as on Unix.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, [*COLUMNS, *_FURTHER], restval="", lineterminator="\n")
    writer.writeheader()
    for cell in (cell for table in tables for row in table.rows for cell in row):
        if isinstance(cell, Value):
            writer.writerow({name: getattr(cell, name) for name in COLUMNS})
    for one in report.comparisons:
        failed = one.status == "error"
        writer.writerow(
            {
                "model": one.gated,
                "policy": one.gate_policy,
                "threat": one.threat or "none",
                "attack": one.attack,
                "quantity": "difference",
                **({} if failed else {"value": one.difference, "low": one.low, "high": one.high}),
                **({} if failed else {"p": one.p_value, "p_holm": one.holm_p}),
                "n": one.n,
                "against": one.plain,
                "verdict": reading(one),
            }
        )
    for claim in report.claims:
        for measured in claim.measurements:
            writer.writerow(
                {
                    "model": "; ".join(claim.gated),
                    "policy": claim.gate_policy,
                    "threat": measured.threat or "none",
                    "quantity": f"claim {claim.id}: {measured.what}",
                    "value": measured.value,
                    "low": measured.low,
                    "high": measured.high,
                    "n": measured.n,
                    "against": "; ".join(claim.plain),
                    "verdict": measured.verdict,
                }
            )
    return out.getvalue()
