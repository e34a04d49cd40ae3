"""A report directory, opened by a program: its record, its answers, its numbers as a table, its rows. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_aig.errors import InputError
from robustbench_aig.records import Answer, Report
from robustbench_aig.records.documents import load_report as read_report
from robustbench_aig.reporting.tidy_rows import tidy_rows
from robustbench_aig.sample_table import ROW

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow.dataset import FileSystemDataset


@dataclass(frozen=True)
class OpenedReport:
    """What `load_report` gives.

    Attributes:
        directory: of the report.
        record: all of `report.json`.
    """

    directory: Path
    record: Report

    @property
    def answers(self) -> list[Answer]:
        """The three questions that the page answers first; none in reports of versions before 0.2."""
        return self.record.answers

    def to_frame(self) -> pd.DataFrame:
        """One row per evaluation, and one per worst case over attacks, whose attack is "union".

        Raises:
            InputError: pandas isn't installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - an extra
        except ImportError:
            raise InputError("to_frame needs pandas: pip install pandas") from None
        return pd.DataFrame(tidy_rows(self.record))

    def samples(self) -> FileSystemDataset:
        """Every row of every evaluation, one per image, as an Arrow dataset; nothing is read before it's asked for.

        What tables of earlier versions lack is null. Rows are not verified; `aigrob report` does that.

        Raises:
            InputError: the sample tables are not there.
        """
        from pyarrow import dataset  # noqa: PLC0415 - takes a moment

        tables = [self.directory / "samples" / f"{e.id}.parquet" for e in self.record.evaluations]
        missing = [table.name for table in tables if not table.is_file()]
        if missing or not tables:
            raise InputError(f"{self.directory}: sample tables are missing: {', '.join(missing[:3]) or 'all'}")
        return dataset.dataset([str(table) for table in tables], schema=ROW, format="parquet")


def load_report(path: Path | str) -> OpenedReport:
    """Open a report directory, or a `report.json` that came alone.

    Raises:
        RunError: it is missing, damaged, or of a newer version.
    """
    where = Path(path)
    return OpenedReport(where.parent if where.is_file() else where, read_report(where))
