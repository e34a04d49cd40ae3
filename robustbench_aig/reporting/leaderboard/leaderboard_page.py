"""A leaderboard as one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from robustbench_aig.reporting.leaderboard.formats import UPPER_BOUND, report_name, title
from robustbench_aig.reporting.leaderboard.records import Leaderboard
from robustbench_aig.reporting.templating import template


def board_page(board: Leaderboard) -> str:
    """The leaderboard as HTML; a function of its argument."""
    return template("leaderboard.html").render(
        board=board,
        ranked=[group for group in board.groups if group.ranked],
        unranked=[entry for group in board.groups for entry in group.unranked],
        title=lambda group: title(group, board),
        report_name=report_name,
        upper_bound=UPPER_BOUND,
    )
