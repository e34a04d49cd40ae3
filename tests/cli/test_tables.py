"""Tables on the terminal against the rows that they are of."""

from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.cli.tables import compute_table, show
from robustbench_aig.records import Asked, Named
from robustbench_aig.reporting import aggregate
from tests.reporting.synthetic import Study, make_study


def test_compute_is_told_of_gated_networks_alone_beside_the_controls(tmp_path: Path) -> None:
    study = make_study()
    planned = [e.model_copy(update={"role": "compute"}) if e.attack == "pgd" else e for e in study.plan.evaluations]
    report = aggregate(
        Study(study.plan.model_copy(update={"evaluations": planned}), study.rows).write(tmp_path, images=False)
    )
    table = compute_table(report)
    assert [str(column.header) for column in table.columns[2:]] == [
        "aig-digits\nargmax gates",
        "aig-digits\nsampled gates",
    ]
    threats, attacks, argmax, _ = (list(column.cells) for column in table.columns)
    assert attacks[:2] == ["pgd (on the compute)", "random-sign noise (control)"]
    assert threats[:2] == ["linf 4/255", ""]
    rows = next(study.rows[e.id] for e in planned if (e.policy, e.role) == ("argmax", "compute"))
    before, after = (np.mean([row[key] for row in rows]) for key in ("macs_clean", "macs_adv"))
    saved = next(model.total_macs for model in report.models if model.name == "aig-digits") - before
    assert argmax[0] == f"{100 * (after / before - 1):+.1f} ({round(100 * (after - before) / saved)} %)"


def test_a_network_that_guesses_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = aggregate(make_study().write(tmp_path, images=False))
    for commonest, lines in ((0.2, 0), (0.99, 3)):
        show(report.model_copy(update={"commonest": commonest}), tmp_path, as_json=False)
        assert capsys.readouterr().out.count("is not significantly better than always predicting") == lines


def test_the_way_on_is_named_for_every_network_that_a_claim_waits_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = aggregate(make_study().write(tmp_path, images=False))
    networks = {model.name: Named(run=model.name) for model in report.models}
    asked = Asked(runs="runs", norm="linf", seed=0, device="auto", networks=networks)
    named = {"aig-digits --policy argmax", "aig-digits --policy sampled", "resnet-digits"}
    for state, lines in (("not needed", set[str]()), ("no fail", set[str]()), ("not run", named)):
        claims = [one.model_copy(update={"checks": state}) for one in report.claims if one.gate_policy and one.plain]
        assert claims
        show(report.model_copy(update={"claims": claims, "asked": asked}), tmp_path, as_json=False)
        found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
        assert {line.removeprefix("next: aigrob check ").removesuffix(f" --into {tmp_path}") for line in found} == lines
        assert len(found) == len(lines)
