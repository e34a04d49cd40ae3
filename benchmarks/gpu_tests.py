"""Tests marked gpu, in the files that are named; one JSON document with their number."""

from __future__ import annotations

import json
import sys
from collections import Counter

import pytest


class Counts:
    """How many tests ended how."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pytest's hook: a test passes when it's called, and is skipped or fails at any stage."""
        if report.outcome != "passed" or report.when == "call":
            self.ended[report.outcome] += 1


def main() -> None:
    """Run them; the exit status is pytest's."""
    counts = Counts()
    code = pytest.main(["-v", "-m", "gpu", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[counts])
    document: dict[str, object] = dict(counts.ended)
    if set(counts.ended) == {"skipped"}:
        document["skipped"] = f"all {counts.ended['skipped']} tests need a CUDA device"
    print(json.dumps(document))
    sys.exit(code)


if __name__ == "__main__":
    main()
