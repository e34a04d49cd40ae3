"""`make mutants` on a small checkout, whose rules and tests are known."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="make mutants needs cosmic-ray: pip install -e '.[dev]'")

RULES = '''
"""Rules."""
LIMIT = 3
UNUSED = 10


def beyond(x: int | None = 4) -> int:
    return x - LIMIT
'''
NOTICES = """
from robustbench_aig.rules import beyond


def test_beyond():
    assert [beyond(), beyond(7), beyond(-1)] == [1, 4, -4]
"""
SCRIPT = """
import sys
from pathlib import Path
from benchmarks.mutants.__main__ import run
from benchmarks.mutants.outcomes import read_same
from benchmarks.mutants.places import Place

root = Path(sys.argv[1])
place = Place(("robustbench_aig/*.py",), ("tests",))
try:
    same = read_same(root / "same.toml", root)
    print("enough:", run("rules", place, root, root / "kept.jsonl", same, int(sys.argv[2]), 0, 2))
except ValueError as error:
    print("refused:", error)
"""
SAME = """
[[same]]
module = "robustbench_aig/rules.py"
before = "{0} = {1}"
after = "{0} = {2}"
reason = "unused"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    texts = {"robustbench_aig/rules.py": RULES, "tests/test_rules.py": NOTICES, "same.toml": ""}
    texts["pytest.ini"] = "[pytest]\nfilterwarnings = error\n"
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "robustbench_aig/__init__.py").write_text("")
    return tmp_path


def mutants(root: Path, count: int = 100) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root), str(count)], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_what_no_test_notices_is_listed_until_somebody_says_why(root: Path) -> None:
    found = mutants(root)
    # Of the sign another, of each of three numbers one more and one less; none of the annotation.
    assert "5 of 7 noticed, 71.4 %" in found
    assert found.count("unnoticed: ") == 2
    assert "- UNUSED = 10\n    + UNUSED = 9" in found
    assert "enough: False" in found
    kept = (root / "kept.jsonl").read_text().splitlines()
    (root / "same.toml").write_text(SAME.format("UNUSED", 10, 9) + SAME.format("UNUSED", 10, 11))
    (root / "kept.jsonl").write_text("\n".join(kept[:4]) + '\n{"mutant": "cut o')
    again = mutants(root)
    assert "5 of 5 noticed, 100.0 %; 2 mean the same" in again
    assert "enough: True" in again
    assert len((root / "kept.jsonl").read_text().splitlines()) >= len(kept), "what was cut off is tried once more"


def test_a_list_that_says_what_is_no_more_is_refused(root: Path) -> None:
    (root / "same.toml").write_text(SAME.format("UNUSED", 12, 9))
    assert "refused: same.toml: robustbench_aig/rules.py has no line any more that reads: UNUSED = 12" in mutants(root)
    (root / "same.toml").write_text(SAME.format("LIMIT", 3, 4))
    assert "listed as the same, and noticed by tests/test_rules.py::test_beyond" in mutants(root)


def test_tests_that_fail_as_they_are_notice_nothing(root: Path) -> None:
    (root / "tests/test_rules.py").write_text("def test_wrong():\n    assert False\n")
    assert "refused: rules: its tests fail as they are: tests/test_rules.py::test_wrong" in mutants(root)
