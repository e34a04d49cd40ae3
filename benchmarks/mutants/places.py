"""The places whose rules carry the numbers, and the tests of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the checkout."""


@dataclass(frozen=True)
class Place:
    """A place of the package.

    Attributes:
        sources: its modules, as globs below the root of the checkout.
        tests: what has to notice a change of one, as paths below the root.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def modules(self, root: Path) -> list[Path]:
        """Its modules below a root, in order; a package's list of names holds no rule."""
        found = {path for pattern in self.sources for path in root.glob(pattern)}
        return sorted(path for path in found if path.name != "__init__.py")


PLACES = {
    "threat": Place(
        ("robustbench_aig/threat.py", "robustbench_aig/norms.py"), ("tests/test_threat.py", "tests/test_norms.py")
    ),
    "judge": Place(
        ("robustbench_aig/evaluation/*judge.py",),
        ("tests/evaluation/test_judge.py", "tests/evaluation/test_judge_parts.py"),
    ),
    "union": Place(
        ("robustbench_aig/statistics/worst_attack.py", "robustbench_aig/reporting/union.py"),
        ("tests/statistics/test_worst_attack.py", "tests/reporting/test_union.py"),
    ),
    "statistics": Place(("robustbench_aig/statistics/*.py",), ("tests/statistics",)),
    "verdicts": Place(("robustbench_aig/reporting/claims/*.py",), ("tests/reporting/claims",)),
}
