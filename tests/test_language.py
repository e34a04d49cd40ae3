"""Readers meet the field's words: idioms that readers stumbled over don't come back."""

import re
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
    "deserve belief": "can be trusted",
    "deserves belief": "can be trusted",
    "ladder of controls": "ablation",
    "random corners": "random-sign noise",
    "how far this goes": "limits of these numbers",
    "change their mind": "flip",
    "keeps least": "has the lowest robust accuracy",
    "nobody has checked": "the checks were not run",
    "count as lost": "count as misclassified",
    "counts as lost": "counts as misclassified",
    "images hold": "images are still right",
    "worst case (union)": "worst case over attacks",
    "attack's doing": "an effect of the attack",
}
"""What was said, and what to say: in docs, templates and code alike."""

LABELS = {
    "corners": "random-sign noise",
    "permuted": "shuffled perturbations",
    "rung": "network of the ablation",
    "the ladder": "the ablation",
    "strength": "perturbation budget",
    "could show": "detectable",
}
"""Recorded or typed names, which readers see in code alone: `corners`, `--suite strength`."""

PROSE = sorted(
    path
    for pattern in (
        *("*.md", "docs/*.md", "docs/adr/*.md", "*/README.md", "*/*/README.md", "claims/*.toml", "attacks/*.toml"),
    )
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
PROGRAM = sorted(path for ending in ("*.py", "*.html", "*.js") for path in (ROOT / "robustbench_aig").rglob(ending))


CODE = re.compile(r"```.*?```|`[^`]*`|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\]\([^)]*\)|<!--.*?-->", re.DOTALL)
"""Of Markdown and of templates: what readers see as code, as the target of a link, or not at all."""


def words_of(path: Path) -> str:
    """Lower-case, with one space between words, wherever lines end."""
    return " ".join(path.read_text(encoding="utf-8").lower().split())


@pytest.mark.parametrize("path", [*PROSE, *PROGRAM], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_idiom(path: Path) -> None:
    text = words_of(path)
    found = {idiom: instead for idiom, instead in IDIOMS.items() if idiom in text}
    assert not found, f"say instead: {found}"


READ = [path for path in [*PROSE, *PROGRAM] if path.suffix in {".md", ".html"}]


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_recorded_name_for_what_has_a_label(path: Path) -> None:
    text = CODE.sub(" ", words_of(path))
    found = {name: label for name, label in LABELS.items() if name in text}
    assert not found, f"say instead: {found}"


def test_a_forbidden_word_is_found_in_prose_and_not_in_code() -> None:
    seen = CODE.sub(" ", "`corners` [x](#the-ladder) {{ rung.key }} ```\nstrength\n``` permuted")
    assert [name for name in LABELS if name in seen] == ["permuted"]
