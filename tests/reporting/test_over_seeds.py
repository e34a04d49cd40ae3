"""With three training seeds the first screen speaks of them together, and not of the first pair."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.records import Report
from robustbench_aig.reporting import aggregate, write_report
from robustbench_aig.reporting.over_seeds import over_seeds
from robustbench_aig.reporting.words import gates_text
from tests.reporting.synthetic import EPSILONS, make_study, with_seeds


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = with_seeds(make_study(), 3).write(tmp_path_factory.mktemp("seeds"), images=False)
    write_report(path)
    return path


def mean(report: Report, network: str, policy: str, eps: str) -> float:
    """Of the unions' accuracies over the seeds, in percent."""
    names = {f"{network}-s{seed}" for seed in range(3)}
    found = [
        w.accuracy.value
        for w in report.worst_case
        if w.model in names and (w.gate_policy, w.threat.eps) == (policy, eps)
    ]
    assert len(found) == 3
    return 100 * float(np.mean(found))


def test_every_policy_and_strength_has_its_means_and_difference(directory: Path) -> None:
    report = aggregate(directory)
    told = [sentence.replace("\xa0", " ") for sentence in over_seeds(report)]
    assert len(told) == 2 * len(EPSILONS)
    for policy in ("argmax", "sampled"):
        (claim,) = (c for c in report.claims if (c.id, c.gate_policy) == ("more-robust", policy))
        for eps, one in zip(EPSILONS, claim.measurements, strict=True):
            (sentence,) = (s for s in told if f"ε = {eps} " in s and f"with {gates_text(policy)}" in s)
            keeps = [mean(report, "aig-digits", policy, eps), mean(report, "resnet-digits", "none", eps)]
            assert re.findall(r"([\d.]+) %", sentence) == [f"{value:.1f}" for value in keeps]
            assert "over 3 training seeds" in sentence
            assert f"{abs(100 * one.value):.1f} points" in sentence
            assert (one.n == report.data.n) == ("that all of them classify right" not in sentence)
            if one.n == report.data.n:
                assert 100 * one.value == pytest.approx(keeps[0] - keeps[1])


def test_sentences_on_networks_say_these_and_nothing_of_one_pair(directory: Path) -> None:
    page = (directory / "report.html").read_text().replace("&nbsp;", " ").replace("\xa0", " ")
    screen = page.partition('id="networks"')[2].partition("</details>")[0]
    assert screen.count("over 3 training seeds") == 2 * len(EPSILONS)
    assert "Under the strongest of these attacks" not in screen
    moved = set(re.findall(r"gate decisions of (aig-digits-s\d) ", screen))
    assert moved == {"aig-digits-s0"}
    assert "The other seeds: see" in screen


def test_failed_images_are_no_verdict(directory: Path) -> None:
    report = aggregate(directory)
    worst = [w.model_copy(update={"status": "error"}) if w.model == "aig-digits-s2" else w for w in report.worst_case]
    failed = over_seeds(report.model_copy(update={"worst_case": worst}))
    assert all("this is no verdict" in sentence for sentence in failed)
    assert not any("no verdict" in sentence for sentence in over_seeds(report))


def test_the_table_of_accuracies_has_one_column_for_all_seeds_and_single_ones_folded(directory: Path) -> None:
    """Mean and range, counted here from the report; the networks by themselves stand in a table of their own."""
    report = aggregate(directory)
    html = (directory / "report.html").read_text()
    page = html[html.index('id="accuracy"') : html.index('id="rates"')].replace("\xa0", " ")
    together, single = page.split("The same for every training seed by itself")
    for policy, name in (("none", "plain, 3 seeds"), ("argmax", "gated · argmax, 3 seeds")):
        assert f'<th scope="col">{name}</th>' in together
        for eps in EPSILONS:
            same = [w for w in report.worst_case if (w.gate_policy, w.threat.eps) == (policy, eps)]
            values = [100 * w.accuracy.value for w in same]
            told = (
                f'<strong>{np.mean(values):.1f} %</strong> <span class="ci">{min(values):.1f}–{max(values):.1f}</span>'
            )
            assert told in together
            assert told not in single
            assert all(f"[{100 * w.accuracy.low:.1f}, {100 * w.accuracy.high:.1f}]" in single for w in same)
    names = [model.name for model in report.models]
    assert all(name in single for name in names)
    assert not any(name in together for name in names)


def test_two_seeds_are_too_few(tmp_path: Path) -> None:
    report = aggregate(with_seeds(make_study(), 2).write(tmp_path, images=False))
    assert over_seeds(report) == []
