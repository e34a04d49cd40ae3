"""Readers meet the field's words: idioms that readers stumbled over don't come back."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IDIOMS = {
    "unattacked": "clean",
    "keeps more": "has higher robust accuracy",
    "keep more": "have higher robust accuracy",
    "told from": "differs significantly from, or can be separated from",
    "part over": "disagree on",
    "look past the gates": "gate-unaware",
    "aims at the gates": "gate-aware",
    "has nothing to lose": "cannot be lost: it is already misclassified",
    "nobody attacked": "no attacks were run",
    "must be believed": "can be trusted",
}
"""What was said, and what to say."""

PROSE = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "*/README.md", "models/released/README.md", "claims/*.toml")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
PROGRAM = sorted(path for ending in ("*.py", "*.html", "*.js") for path in (ROOT / "robustbench_aig").rglob(ending))


@pytest.mark.parametrize("path", [*PROSE, *PROGRAM], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_idiom(path: Path) -> None:
    text = " ".join(path.read_text(encoding="utf-8").lower().split())
    found = {idiom: instead for idiom, instead in IDIOMS.items() if idiom in text}
    assert not found, f"say instead: {found}"
