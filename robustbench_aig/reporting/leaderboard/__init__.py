"""Many reports in one table: ranked by `leaderboard`, written as CSV, Markdown or a page."""

from robustbench_aig.reporting.leaderboard.formats import board_csv, board_markdown, board_page, met, title
from robustbench_aig.reporting.leaderboard.ranking import leaderboard
from robustbench_aig.reporting.leaderboard.records import Group, Leaderboard

__all__ = [
    "Group",
    "Leaderboard",
    "board_csv",
    "board_markdown",
    "board_page",
    "leaderboard",
    "met",
    "title",
]
