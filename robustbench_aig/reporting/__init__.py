"""From a report directory to its numbers and its page.

    from robustbench_aig.reporting import aggregate, write_report
    report = write_report(Path("reports/mine"))    # report.json, report.schema.json, report.html
    report = aggregate(Path("reports/mine"))       # the same numbers; writes nothing

Imports no torch: a report can be made and read where the models cannot run.
"""

from robustbench_aig.reporting.aggregation import aggregate
from robustbench_aig.reporting.evidence import load_plan
from robustbench_aig.reporting.report_files import write_report

__all__ = ["aggregate", "load_plan", "write_report"]
