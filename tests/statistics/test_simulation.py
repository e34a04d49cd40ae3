"""Coverage: a small part of the tables of docs/statistics.md here, all of them as evidence."""

import sys

import numpy as np
import pytest

from robustbench_aig.statistics import simulation, wilson
from robustbench_aig.statistics.simulation import (
    IMAGES,
    SHARES,
    paired_coverage,
    seed_coverage,
    wilson_coverage,
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


def test_paired_bootstrap_covers_within_one_point() -> None:
    assert paired_coverage(500, 0.05, 0.05, resamples=2000) == pytest.approx(0.95, abs=0.01)


def test_paired_bootstrap_of_few_discordant_images_would_be_caught() -> None:
    assert paired_coverage(60, 0.02, 0.04, resamples=1000) < 0.94


def test_students_interval_covers_and_would_not_without_the_images() -> None:
    found = seed_coverage(7, 500, 0.005, paired=False, trials=800)
    assert found.these_images == pytest.approx(0.95, abs=0.03)
    assert found.all_images == pytest.approx(0.95, abs=0.03)
    assert found.without_images < 0.92


def test_hierarchical_bootstrap_covers() -> None:
    assert seed_coverage(8, 200, 0.02, paired=True, trials=40, resamples=200).all_images > 0.85


def test_tables_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(simulation, "image_table", lambda: [["500", "0.5", "95.1", "94.9"]])
    monkeypatch.setattr(simulation, "worst_wilson", lambda _: (0.93, 0.96))
    monkeypatch.setattr(simulation, "draws_coverage", lambda *_, **__: 0.9512)
    monkeypatch.setattr(simulation, "seed_table", lambda: [["3", "0.5", "paired", "95.0", "94.0", "93.0"]])
    simulation.main()
    printed = capsys.readouterr().out
    assert "| 500 | 0.5 | 95.1 | 94.9 |" in printed
    assert "500 images, over p = 0.05, 0.051, ..., 0.95: 93.0 to 96.0" in printed
    assert "10 draws each, p = 0.05: 95.1" in printed
    assert "| 3 | 0.5 | paired | 95.0 | 94.0 | 93.0 |" in printed


@pytest.mark.evidence
@pytest.mark.timeout(3600)
def test_all_tables(capsys: pytest.CaptureFixture[str]) -> None:
    simulation.main()
    printed = capsys.readouterr().out
    with capsys.disabled():
        sys.stdout.write(f"\n{printed}")
    rows = [
        line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ") and line[2].isdigit()
    ]
    of_images = [row for row in rows if len(row) == 4]
    assert len(of_images) == len(IMAGES) * len(SHARES)
    assert all(94 <= float(cell) <= 96 for row in of_images for cell in row[2:])
    of_seeds = [row for row in rows if len(row) == 6]
    assert all(float(row[4]) >= 92 for row in of_seeds)
