"""One rule: wherever a difference is shown, the word says "different" exactly where the shown interval excludes 0."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from robustbench_aig.cli.compare import _show
from robustbench_aig.records import Rung
from robustbench_aig.reporting import aggregate, words, write_report
from robustbench_aig.reporting.claims.robustness import Side, gap_of
from robustbench_aig.reporting.compare import compare_reports
from robustbench_aig.reporting.evidence import Evidence, load_evidence
from robustbench_aig.reporting.gated_vs_plain import CLEAN, Condition, Results, comparisons
from robustbench_aig.reporting.image_scores import Scores
from robustbench_aig.reporting.ladder_steps import ladder
from robustbench_aig.reporting.over_seeds import over_seeds
from robustbench_aig.reporting.table_columns import Ints
from robustbench_aig.statistics import mcnemar
from tests.reporting.synthetic import N, Study, make_study, repeated, threat, with_seeds

UNION = Condition("union", "", threat("8/255"))
_INTERVAL = re.compile(r"\[([−+]?[\d.]+),\s([−+]?[\d.]+)\]")


def excludes_zero(text: str) -> bool:
    """Whether the last interval that a text shows leaves out 0, by what is printed."""
    low, high = (float(end.replace("−", "-")) for end in _INTERVAL.findall(text.replace("\xa0", " "))[-1])
    return low > 0 or high < 0


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Scores, Scores]:
    """Two networks on the same images, alike or not, by one draw or by ten; often near the border of chance."""
    n, draws = draw(st.sampled_from([7, 40, 400, 3000])), draw(st.sampled_from([1, 10]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    discordant = draw(st.sampled_from([0.02, 0.1, 0.4, 1.0]))
    side = min(1.0, 0.5 + draw(st.floats(-1.5, 3.0)) / np.sqrt(max(n * discordant, 1)))
    both = rng.binomial(draws, rng.random(n)) if draws > 1 else rng.integers(0, 2, n)
    change = (rng.random(n) < discordant) * np.where(rng.random(n) < side, 1, -1)
    other = np.clip(both - change, 0, draws)
    return scores(both, draws), scores(other, draws)


def scores(correct: Ints, draws: int) -> Scores:
    return Scores(np.ones(correct.size, bool), correct, np.full(correct.size, draws), 2 * correct > draws)


@pytest.fixture(scope="module")
def evidence(directory: Path) -> Evidence:
    return load_evidence(directory)


@settings(max_examples=200, deadline=None)
@given(pair=pairs())
def test_comparisons_and_steps_of_the_ladder(evidence: Evidence, pair: tuple[Scores, Scores]) -> None:
    gated, plain = pair
    results: Results = {
        ("aig-digits", "argmax"): {CLEAN: gated, UNION: gated},
        ("resnet-digits", "none"): {CLEAN: plain, UNION: plain},
    }
    for c in comparisons(evidence, results):
        apart = not c.low <= 0 <= c.high
        assert (words.reading(c) != words.SAME) == apart
        assert (c.equivalence in {"different", "different but within the margin"}) == apart
        assert c.p_value is None or (c.p_value < 0.05) == apart
        if c.both_correct and c.threat:
            said = words.verdict(c, ("gated", c.both_correct.gated), ("plain", c.both_correct.plain))
            assert excludes_zero(said) == (words.SAME not in said) == apart
    rungs = [
        Rung(key="R0", title="plain", model="resnet-digits", policy="none"),
        Rung(key="R3", title="argmax", model="aig-digits", policy="argmax"),
    ]
    found = ladder(evidence.plan.model_copy(update={"ladder": rungs}), results)
    assert found is not None
    for step in found.steps:
        shown = words.around(step.low, step.high)
        assert words.distinct(step) == excludes_zero(shown) == (not step.low <= 0 <= step.high)


@settings(max_examples=200, deadline=None)
@given(pair=pairs(), seeds=st.integers(1, 4))
def test_gaps_behind_claims(pair: tuple[Scores, Scores], seeds: int) -> None:
    """Of one pair of networks, of two, and over training seeds, which here are the same network over and over."""
    exact = pair[0].deterministic
    sides = [Side(np.stack([one.share] * seeds), np.stack([one.majority] * seeds), True, exact) for one in pair]
    found = gap_of(*sides, paired=True, seed=0)
    assert found.above(0) == (found.low > 0) == (excludes_zero(str(found)) and found.value > 0)
    if seeds == 1 and exact:
        each = pair[0].share - pair[1].share
        significant = mcnemar(int((each > 0).sum()), int((each < 0).sum())) < 0.05
        assert significant == (not found.low <= 0 <= found.high)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two reports of the same networks' other answers, enough of them for some to be different; one has a ladder."""
    rungs = [
        Rung(key="R0", title="plain", model="resnet-digits", policy="none"),
        Rung(key="R3", title="argmax", model="aig-digits", policy="argmax"),
        Rung(key="R4", title="sampled", model="aig-digits", policy="sampled"),
    ]
    folders = []
    for seed in (0, 1):
        study = repeated(make_study(seed), 3)
        for name, rows in study.rows.items():
            for row in rows[: (90 if "argmax-pgd" in name else 20) * seed]:
                row.update(correct_draws=row["draws"], choice_correct=row["draws"], prediction=row["label"])
        plan = study.plan.model_copy(update={"ladder": rungs, "digest": f"{seed}f" * 32})
        folders.append(Study(plan, study.rows).write(tmp_path_factory.mktemp(f"report{seed}"), images=False))
        write_report(folders[-1])
    return folders[0], folders[1]


def test_the_page(reports: tuple[Path, Path]) -> None:
    """The table of the answer, the first screen's sentences and the ladder, as a reader sees them."""
    seen = set()
    for folder in reports:
        page = (folder / "report.html").read_text().replace("&nbsp;", " ")
        answer = page[page.index('id="answer"') :]
        steps = page[page.index("Steps of the ablation") :].partition("</table>")[0]
        table = re.findall(r'<span class="ci">([^<]*)</span></td><td>([\w ]*)</td></tr>', answer)
        assert len(table) == 2 * 3
        seen |= {word != words.SAME for _, word in table}
        assert all(excludes_zero(shown) == (word != words.SAME) for shown, word in table)
        sentences = re.findall(r"<p>(Under the strongest.*?)</p>", answer)
        assert sentences
        assert all(excludes_zero(sentence) == (words.SAME not in sentence) for sentence in sentences)
        cells = re.findall(r'<td class="num">(<strong>)?[−+\d.]+(?:</strong>)? <span class="ci">([^<]*)</span>', steps)
        assert cells
        assert all(bool(bold) == excludes_zero(shown) for bold, shown in cells)
    assert seen == {True, False}


def test_the_terminal_of_compare(reports: tuple[Path, Path]) -> None:
    found = compare_reports(*reports)
    seen = set()
    for change in found.changes:
        apart = not change.low <= 0 <= change.high
        assert change.significant == apart == (change.reading in {"B significantly higher", "B significantly lower"})
        assert change.adjusted_p is None or (change.adjusted_p < 0.05) == apart
        seen.add((apart, change.p_value is None))
    assert seen == {(True, True), (True, False), (False, True), (False, False)}
    printed = io.StringIO()
    _show(found, Console(file=printed, width=300))
    rows = [line for line in printed.getvalue().splitlines() if "B significantly" in line or words.SAME in line]
    assert len(rows) == len(found.changes)
    assert all(excludes_zero(row) == ("B significantly" in row) for row in rows)


def test_without_sample_tables_too(reports: tuple[Path, Path], tmp_path: Path) -> None:
    alone = tmp_path / "report.json"
    alone.write_bytes((reports[1] / "report.json").read_bytes())
    changes = compare_reports(reports[0], alone).changes
    assert {change.paired for change in changes} == {False}
    for change in changes:
        assert (change.reading == words.SAME) == (change.low <= 0 <= change.high) == (not change.significant)


def test_over_training_seeds(tmp_path: Path) -> None:
    study = with_seeds(make_study(), 3)
    for name, rows in study.rows.items():
        for row in rows if "resnet" in name and "pgd-8" in name else []:
            row.update(correct_draws=0, choice_correct=0, prediction=-1)
    told = over_seeds(aggregate(study.write(tmp_path, images=False)))
    seen = set()
    for sentence in told:
        different = "significantly higher" in sentence
        assert different != (words.SAME in sentence)
        assert excludes_zero(sentence) == different
        seen.add(different)
    assert seen == {True, False}


def test_the_same_network_is_the_same(reports: tuple[Path, Path], tmp_path: Path) -> None:
    """By its weights and every verdict; other weights with the same verdicts aren't."""
    alone = tmp_path / "report.json"
    alone.write_bytes((reports[0] / "report.json").read_bytes())
    for other in (reports[0], alone):
        assert {change.reading for change in compare_reports(reports[0], other).changes} == {"the same"}
    study = repeated(make_study(0), 3)
    models = [model.model_copy(update={"weights_digest": "00" * 32}) for model in study.plan.models]
    plan = study.plan.model_copy(update={"models": models, "digest": "77" * 32})
    trained = Study(plan, study.rows).write(tmp_path / "trained", images=False)
    write_report(trained)
    found = compare_reports(reports[0], trained).changes
    assert {change.reading for change in found} == {words.SAME}
    assert all(change.n == 3 * N for change in found)
