"""`aigrob attack --defence`, as a user types it: what stands before a network is known to all that read the report."""

import json
from pathlib import Path

import pytest

from robustbench_aig.records import Claim, Report
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting.claims import groups
from robustbench_aig.reporting.evidence import load_plan
from robustbench_aig.training import train
from tests.command import aigrob_here
from tests.tiny import job

THREE = ["--eps", "0.5/255", "--eps", "1/255", "--eps", "2/255"]
CHEAP = ["--attack", "fgsm", "--limit", "100", "--no-latency", "--quiet"]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`reports/` of a pair that has learned something: `alone` behind JPEG, `beside` without it, and behind two."""
    root = tmp_path_factory.mktemp("defended")
    for name in ("plain", "gated"):
        list(train(job(root / "runs" / name, gated=name == "gated", epochs=12, lr=0.3)))
    for name, defences in (("alone", ["jpeg:75"]), ("beside", ["none", "jpeg:75", "jpeg:50"])):
        options = [word for defence in defences for word in ("--defence", defence)]
        result = aigrob_here(root, "attack", "plain", "gated", *options, *THREE, *CHEAP, "--name", name)
        assert result.returncode == 0, result.stderr
    return root / "reports"


def judged(report: Report) -> list[Claim]:
    return [claim for claim in report.claims if claim.id == "adds-to-jpeg"]


def test_the_claim_on_jpeg_has_a_verdict(where: Path) -> None:
    report = load_report(where / "alone")
    claims = judged(report)
    assert [(claim.gate_policy, claim.gated, claim.plain) for claim in claims] == [
        (policy, ["gated+jpeg75"], ["plain+jpeg75"]) for policy in ("sampled", "argmax")
    ]
    for claim in claims:
        assert claim.told == "Its robustness adds to that of JPEG compression, behind jpeg:75"
        assert [one.threat.eps for one in claim.measurements if one.threat] == ["0.5/255", "1/255", "2/255"]
    assert "more-robust" not in {claim.id for claim in report.claims}, "that one is about undefended networks"
    assert claims[0].told in (where / "alone" / "report.html").read_text()


def test_each_quality_is_a_defence_of_its_own(where: Path) -> None:
    report = load_report(where / "beside")
    assert {(str(claim.defence), *claim.gated, *claim.plain) for claim in judged(report)} == {
        ("jpeg:75", "gated+jpeg75", "plain+jpeg75"),
        ("jpeg:50", "gated+jpeg50", "plain+jpeg50"),
    }
    assert {claim.defence for claim in report.claims if claim.id == "more-robust"} == {None}
    defences = {model.name: model.defence for model in report.models}
    assert all(defences[one.gated] == defences[one.plain] for one in report.comparisons)
    assert len({group.defence for group in groups(load_plan(where / "beside"))}) == 3


def test_the_record_says_which(where: Path) -> None:
    models = json.loads((where / "alone" / "report.json").read_text())["models"]
    assert [model["defence"] for model in models] == [{"kind": "jpeg", "quality": 75}] * 2
    assert [model["training"]["seed"] for model in models] == [0, 0]
