"""The released networks on real images: none fails a check. What was found is left in `reports/checks/`."""

from pathlib import Path

import pytest

from robustbench_aig.records import Checkup
from robustbench_aig.runs import RECORD, read_run, released
from tests.checks.grounds import DATA
from tests.command import aigrob_here

OUT = Path(__file__).parents[2] / "reports" / "checks"
POLICIES = {"plain": ["none"], "gated": ["argmax", "sampled"], "stochastic": ["random", "expected"]}
RUNS = [
    (path.parent.name, policy)
    for path in sorted(released().glob(f"*/{RECORD}"))
    for policy in POLICIES[read_run(path.parent).family]
]


@pytest.mark.evidence
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not DATA, reason="needs the images of the released networks: make evidence DATA=DIR")
@pytest.mark.parametrize(("name", "policy"), RUNS)
def test_a_released_network_fails_nothing(tmp_path: Path, name: str, policy: str) -> None:
    gates = [] if policy == "none" else ["--policy", policy]
    result = aigrob_here(tmp_path, "check", name, "--data", str(Path(DATA).absolute()), *gates, "--json")
    assert result.stdout, result.stderr
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}-{policy}.json").write_text(result.stdout)
    found = Checkup.model_validate_json(result.stdout)
    assert not {finding.check: finding.evidence for finding in found.findings if finding.status == "fail"}
