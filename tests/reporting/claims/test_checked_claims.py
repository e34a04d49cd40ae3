"""Claims and the checks of the networks that they rest on."""

from pathlib import Path

import pytest

from robustbench_aig.errors import InputError, RunError
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.checkups import add_checkup, refuse_foreign
from robustbench_aig.reporting.evidence import load_evidence
from tests.reporting.claims.studies import check_all, checkup, claims, kept
from tests.reporting.synthetic import (
    make_study,
)


def test_not_while_a_check_of_its_evidence_fails(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    check_all(directory, "fail")
    found = claims(directory)
    failed = found["more-robust", "argmax"]
    assert (failed.verdict, failed.checks) == ("inconclusive", "failed")
    assert failed.failed_checks == ["aig-digits (argmax): logits"]
    assert "aig-digits (argmax): logits" in failed.reason
    assert found["more-robust", "sampled"].verdict == "not refuted", "it rests on other evidence"
    assert found["gates-cost-nothing", None].checks == "not needed"


def test_a_checkup_of_other_weights_is_none(tmp_path: Path) -> None:
    directory = kept(0.2, 0.9, 0.9).write(tmp_path)
    check_all(directory, weights_digest="00" * 32)
    assert claims(directory)["more-robust", "argmax"].checks == "not run"


def test_a_checkup_is_put_beside_its_report(tmp_path: Path) -> None:
    directory = make_study().write(tmp_path)
    plan = load_evidence(directory).plan
    for status in ("pass", "fail"):
        add_checkup(directory, checkup(plan.models[1], "argmax", status, plan.data))
    page = (directory / "report.html").read_text()
    assert 'id="claims"' in page
    assert "<td>logits</td>" in page
    assert len(load_report(directory).checks) == 1, "the later one replaces the earlier one"


def test_what_no_claim_could_rest_on_is_refused(directory: Path) -> None:
    digest = "ef56" * 16
    refuse_foreign(directory, "aig-digits", digest, None)
    refuse_foreign(directory, "aig-digits", digest, "sampled")
    for arguments, words in (
        (("other", digest, None), "resnet-digits, aig-digits, not other"),
        (("aig-digits", "00", None), "other weights of aig-digits"),
        (("aig-digits", digest, "open"), "under argmax, sampled"),
    ):
        with pytest.raises(InputError, match=words):
            refuse_foreign(directory, *arguments)


def test_a_damaged_checkup_does_not_vanish(tmp_path: Path) -> None:
    directory = make_study().write(tmp_path)
    (directory / "checks").mkdir()
    (directory / "checks" / "aig-digits.argmax.json").write_text('{"run": "aig-digits"}')
    with pytest.raises(RunError, match="no checkup"):
        aggregate(directory)
