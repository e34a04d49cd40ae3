"""Coverage: a small part of the tables of docs/statistics.md here, all of them as evidence."""

import sys

import numpy as np
import pytest
from scipy.stats import norm, t

from robustbench_aig.statistics import Floats, Interval, wilson
from tools import interval_coverage
from tools.interval_coverage import (
    IMAGES,
    SCORES,
    SHARES,
    draws_coverage,
    paired_coverage,
    seed_coverage,
    wilson_coverage,
    worst_paired,
)


@pytest.mark.parametrize("share", [*SHARES, *(1 - share for share in SHARES)])
@pytest.mark.parametrize("n", [500, 1000])
def test_wilson_covers_within_one_point(n: int, share: float) -> None:
    assert wilson_coverage(n, share) == pytest.approx(0.95, abs=0.01)


def test_counted_coverage_is_what_drawing_gives() -> None:
    counts = np.random.default_rng(0).binomial(60, 0.03, 20_000)
    held = {int(count): wilson(int(count), 60) for count in np.unique(counts)}
    drawn = np.mean([held[int(count)].low <= 0.03 <= held[int(count)].high for count in counts])
    assert wilson_coverage(60, 0.03) == pytest.approx(drawn, abs=0.006)
    assert abs(drawn - 0.95) > 0.01  # few images: here it would not hold


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("n", [8, 20, 60])
def test_the_paired_interval_covers_everywhere(n: int, confidence: float) -> None:
    """Counted over all outcomes; drawn shares would miss the corners where an interval is at its worst."""
    assert worst_paired(n, confidence=confidence) >= confidence


def test_an_interval_that_covers_too_seldom_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wald's covers nothing where hardly an image is discordant."""

    def wald(first: int, second: int, n: int, *, confidence: float) -> Interval:
        value = (first - second) / n
        half = norm.ppf((1 + confidence) / 2) * np.sqrt(((first + second) / n - value**2) / n)
        return Interval(value - half, value + half)

    monkeypatch.setattr(interval_coverage, "paired_interval", wald)
    assert worst_paired(60) < 0.9


def test_it_is_not_much_longer_than_it_must_be() -> None:
    assert paired_coverage(500, 0.3, 0.35) < 0.965


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("n", [10, 50, 500])
def test_the_interval_of_a_mean_covers_from_ten_images_on(n: int, kind: str) -> None:
    """Within what 2000 studies tell; the bootstrap of ten images, all on one side, would hold 0.87 and less."""
    assert draws_coverage(n, kind, trials=2000) >= 0.945


def test_it_would_not_without_the_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    def student(values: Floats, *, bounds: tuple[float, float]) -> Interval:
        half = t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
        return Interval(values.mean() - half, values.mean() + half)

    monkeypatch.setattr(interval_coverage, "mean_interval", student)
    assert draws_coverage(20, "rare losses", trials=500) < 0.6


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("spread", [0.0, 0.005])
def test_three_seeds_whose_means_lie_close_cover(spread: float, paired: bool) -> None:
    """In all studies, and in those in which they lie closest by chance: Student's alone holds 82 % of these."""
    found = seed_coverage(3, 300, spread, paired=paired, trials=800)
    assert found.all_images >= 0.95
    assert found.close >= 0.95
    assert found.these_images == pytest.approx(0.95, abs=0.03)


def test_students_interval_covers_and_would_not_without_the_images() -> None:
    found = seed_coverage(7, 500, 0.005, paired=False, trials=400)
    assert found.these_images == pytest.approx(0.95, abs=0.03)
    assert found.all_images >= 0.95
    assert found.without_images < 0.92


def test_hierarchical_bootstrap_covers() -> None:
    assert seed_coverage(8, 200, 0.02, paired=True, trials=40, resamples=200).all_images > 0.85


def test_tables_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(interval_coverage, "image_table", lambda: [["500", "0.5", "95.1", "94.9"]])
    monkeypatch.setattr(interval_coverage, "worst_wilson", lambda _: (0.93, 0.96))
    monkeypatch.setattr(interval_coverage, "worst_table", lambda: [["5", "95.0", "96.0"]])
    monkeypatch.setattr(interval_coverage, "draws_table", lambda: [["10", "99.0", "98.0", "97.0", "96.0"]])
    monkeypatch.setattr(
        interval_coverage, "seed_table", lambda: [["3", "0.5", "paired", "95.0", "94.0", "96.0", "93.0"]]
    )
    interval_coverage.main()
    printed = capsys.readouterr().out
    assert "| 500 | 0.5 | 95.1 | 94.9 |" in printed
    assert "500 images, over p = 0.05, 0.051, ..., 0.95: 93.0 to 96.0" in printed
    assert "| 5 | 95.0 | 96.0 |" in printed
    assert "| 10 | 99.0 | 98.0 | 97.0 | 96.0 |" in printed
    assert "| 3 | 0.5 | paired | 95.0 | 94.0 | 96.0 | 93.0 |" in printed


@pytest.mark.evidence
@pytest.mark.timeout(3600)
def test_all_tables(capsys: pytest.CaptureFixture[str]) -> None:
    interval_coverage.main()
    printed = capsys.readouterr().out
    with capsys.disabled():
        sys.stdout.write(f"\n{printed}")
    rows = [
        line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ") and line[2].isdigit()
    ]
    of_images = [row for row in rows if len(row) == 4]
    assert len(of_images) == len(IMAGES) * len(SHARES)
    assert all(94 <= float(row[2]) <= 96 for row in of_images)
    assert all(95 <= float(row[3]) <= 97.5 for row in of_images)
    assert all(float(covered) >= float(nominal) for _, nominal, covered in (row for row in rows if len(row) == 3))
    assert all(float(cell) >= 94.5 for row in rows if len(row) == 5 for cell in row[1:])
    of_seeds = [row for row in rows if len(row) == 7]
    assert all(float(row[4]) >= 95 for row in of_seeds)
    assert all(float(row[5]) >= 95 for row in of_seeds if float(row[1]) <= 0.5)
