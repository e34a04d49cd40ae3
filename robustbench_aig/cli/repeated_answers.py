"""What a random network's answers to one image have in common, as a table on the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from robustbench_aig.records import EXACT, Report
from robustbench_aig.reporting.words import gates_text, times_asked


def asking_table(report: Report) -> Table:
    """Worst-case accuracy of random networks against an attacker who may ask several times, and by vote."""
    random = [w for w in report.worst_case if w.accuracy.when_asked]
    draws, times = random[0].accuracy.draws, times_asked(random)
    of_draws = [] if draws == EXACT else [f"every draw of {draws}"]
    table = Table(
        title="Stochastic gates, worst case over attacks, %: right in all of k answers to an attacker who asks k times",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for name in ("threat", "network"):
        table.add_column(name, overflow="fold")
    vote = "likeliest answer" if draws == EXACT else "majority"
    for name in ("once", *(f"{k} times" for k in times), vote, *of_draws):
        table.add_column(name, justify="right")
    for w in random:
        found = w.accuracy
        asked = found.when_asked or {}
        shares = [found.value, *(asked[k] for k in times), found.majority, *([found.all_right] if of_draws else [])]
        name = f"{w.model}, {gates_text(w.gate_policy)}" if w.gate_policy != "none" else w.model
        table.add_row(str(w.threat), name, *("–" if share is None else f"{100 * share:.1f}" for share in shares))
    return table
