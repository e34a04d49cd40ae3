"""`aigrob check` as a user types it, on networks trained in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig import checks
from robustbench_aig.checks import Case, Check, Finding
from robustbench_aig.checks.alone_and_together import AloneAndTogether
from robustbench_aig.checks.budget import HighEpsilon
from robustbench_aig.checks.counted_compute import CountedCompute
from robustbench_aig.checks.gate_gradients import GatePath
from robustbench_aig.checks.gate_randomness import Randomness
from robustbench_aig.checks.output import Logits
from robustbench_aig.checks.plausible import PlausibleInput
from robustbench_aig.checks.seen_in_training import SeenInTraining
from robustbench_aig.records import Checkup
from robustbench_aig.records.documents import load_report
from robustbench_aig.runs import read_run
from tests.command import aigrob_here, refused

FEW = (Logits(), Randomness(), HighEpsilon(32), GatePath())
SMALL = ["--limit", "80", "--attack", "apgd:steps=10"]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four checks instead of all, two of them in the quick form."""
    monkeypatch.setattr(checks, "ALL", FEW)
    monkeypatch.setattr(checks, "QUICK", FEW[:2])


def checked(where: Path, *arguments: str, code: int = 0) -> Checkup:
    result = aigrob_here(where, "check", *arguments, "--json")
    assert result.returncode == code, result.stderr
    return Checkup.model_validate_json(result.stdout)


def test_a_checkup_tells_what_was_asked_and_answered(pair: Path) -> None:
    found = checked(pair.parent, "gated", *SMALL, "--eps", "16/255")
    assert [finding.check for finding in found.findings] == [check.name for check in FEW]
    assert (found.run, found.policy, found.attack) == ("gated", "argmax", "apgd:steps=10")
    assert (found.threat.eps, found.chosen_threat, found.data.n, found.quick) == ("16/255", False, 80, False)
    logits = found.findings[0]
    assert (logits.status, logits.count, logits.n, logits.value) == ("pass", 0, 80, 0.0)
    assert found.findings[1].n == 80
    # The newest run of the twin's recipe lies beside it.
    assert found.others == (["plain"] if read_run(pair / "gated").recipe.twin else [])


def test_the_quick_form_chooses_its_ball_and_its_images(pair: Path) -> None:
    found = checked(pair.parent, "plain", "--quick", "--attack", "apgd:steps=10")
    assert [finding.check for finding in found.findings] == ["logits", "randomness"]
    assert found.quick
    assert found.chosen_threat
    assert found.data.n == 300
    assert found.policy == "none"


def test_table_and_words_on_the_terminal(pair: Path) -> None:
    result = aigrob_here(pair.parent, "check", "plain", *SMALL, "--limit", "20", "--eps", "8/255")
    assert result.returncode == 0, result.stderr
    out = result.stdout
    assert "plain: apgd:steps=10 attack at linf 8/255, 20 images of digits" in out.splitlines()[0]
    assert "too few images for: randomness (20; a pass needs 72 or more)" in out
    assert "n/a, gate-path: no gate looks at the image" in out
    assert out.splitlines()[-1].startswith("4 checks: ")
    told = [line for line in result.stderr.splitlines() if line]
    assert [line.split()[1] for line in told] == [check.name for check in FEW]
    assert aigrob_here(pair.parent, "check", "plain", *SMALL, "--eps", "8/255", "--quiet").stderr == ""


class Fails(Logits):
    name = "always-bad"

    def __call__(self, case: Case) -> Finding:
        return self.found(48, 48, "everything is broken")


def test_a_failed_check_exits_with_1_after_all_is_told(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ALL", (Fails(), Logits()))
    result = aigrob_here(pair.parent, "check", "plain", *SMALL, "--eps", "8/255", "--quiet")
    assert result.returncode == 1
    assert result.stderr == "aigrob: 1 of 2 checks failed: always-bad\n"
    assert "fail always-bad (pass up to 5 % of images, fail above 50 %): everything is broken. Return" in result.stdout
    assert checked(pair.parent, "plain", *SMALL, "--eps", "8/255", code=1).named("fail") == ["always-bad"]


def test_the_same_answers_twice_and_others_for_another_seed(pair: Path) -> None:
    arguments = ["gated", *SMALL, "--policy", "sampled", "--eps", "16/255"]
    first, second = (timeless(checked(pair.parent, *arguments)) for _ in range(2))
    assert first == second
    assert checked(pair.parent, *arguments, "--seed", "1").data.digest != first["data"]["digest"]


def timeless(found: Checkup) -> dict[str, Any]:
    return found.model_dump(exclude={"created": True, "findings": {"__all__": {"seconds"}}})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["RUN", "--help"]),
        (["gatd"], ["no run", "did you mean 'gated'"]),
        (["gated", "--policy", "argmx"], ["unknown gate policy", "did you mean 'argmax'"]),
        (["plain", "--policy", "argmax"], ["plain network", "leave out --policy"]),
        (["gated", "--eps", "8"], ["8/255"]),
        (["gated", "--norm", "l7"], ["l7"]),
        (["gated", "--attack", "pdg"], ["did you mean 'pgd'"]),
        (["gated", "--attack", "transfer"], ["transfer", "--other"]),
        (["gated", "--other", "plan"], ["no run", "did you mean 'plain'"]),
        (["gated", "--limit", "0"], ["--limit"]),
        (["gated", "--model", "mine:network"], ["one network", "--model"]),
        (["gated", "--defence", "none", "--defence", "jpeg:75"], ["one network", "--defence"]),
        (["gated", "--defence", "jpg:75"], ["unknown defence 'jpg:75'"]),
        (["--model", "mine:network"], ["--model needs --data"]),
        (["--model", "absent_module:network", "--data", "digits"], ["cannot be built", "absent_module"]),
        (["gated", "--data", "digit"], ["unknown data set 'digit'", "did you mean 'digits'"]),
        (["gated", "--out", "somewhere"], ["--out", "--help"]),
    ],
)
def test_bad_arguments(pair: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    refused(aigrob_here(pair.parent, "check", *arguments), *words)


def test_an_own_network_with_its_classes_in_another_order_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded of it that a check could compare with."""
    code = (
        "import torch\n"
        "from robustbench_aig.data import load_data\n"
        "from tests.checks.planted import NextClass\n"
        "def network():  # the nearest of the classes' means\n"
        "    known, head = load_data('digits', seed=0).train, torch.nn.Linear(64, 10)\n"
        "    pixels, labels = known.batch(slice(None)).flatten(1), known.labels\n"
        "    means = torch.stack([pixels[labels == label].mean(0) for label in range(10)])\n"
        "    head.weight.data, head.bias.data = means, -means.square().sum(1) / 2\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), head)\n"
        "def shifted(): return NextClass(network())\n"
    )
    (tmp_path / "of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(checks, "ALL", (PlausibleInput(), SeenInTraining(), AloneAndTogether(), CountedCompute()))
    own = ["--data", "digits", "--eps", "8/255"]
    honest = checked(tmp_path, "--model", "of_mine:network", *own)
    assert [finding.status for finding in honest.findings] == ["pass"] * 4
    wrong = checked(tmp_path, "--model", "of_mine:shifted", *own, code=1)
    assert wrong.named("fail") == ["plausible-input"]
    assert {finding.count for finding in wrong.findings if finding.check == "seen-in-training"} == {0}


def test_ctrl_c_exits_with_3(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Logits):
        def __call__(self, case: Case) -> Finding:
            raise KeyboardInterrupt

    interrupted: tuple[Check, ...] = (Interrupted(),)
    monkeypatch.setattr(checks, "ALL", interrupted)
    result = aigrob_here(pair.parent, "check", "plain", *SMALL, "--eps", "8/255", "--quiet")
    assert result.returncode == 3
    assert "interrupted; try again: aigrob check plain" in result.stderr


def test_help_has_examples_and_the_exit_code(pair: Path) -> None:
    told = aigrob_here(pair.parent, "check", "--help").stdout
    for words in ("Examples:", "aigrob check digits-aig14-s0 --quick", "Exit code: 0 no check failed"):
        assert words in told
    assert "--out" not in told
    assert "check" in aigrob_here(pair.parent, "--help").stdout


def test_into_a_report_whose_claims_rest_on_it(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(pair)
    attacked = ["attack", "gated", "--attack", "fgsm", "--eps", "8/255", "--limit", "40", "--no-latency"]
    assert aigrob_here(tmp_path, *attacked, "--policy", "argmax", "--name", "r", "--quiet").returncode == 0
    into = ["check", "gated", "--quick", *SMALL, "--eps", "8/255", "--into", "reports/r"]
    result = aigrob_here(tmp_path, *into, "--quiet")
    assert result.stdout.splitlines()[-1] == "report: reports/r/report.html"
    assert result.returncode == 0, result.stderr
    report = load_report(tmp_path / "reports" / "r")
    assert [(c.run, c.policy, c.quick) for c in report.checks] == [("gated", "argmax", True)]
    assert all(f"{claim.ruled}  {claim.told}" in result.stdout for claim in report.claims)
    refused(aigrob_here(tmp_path, *into, "--policy", "sampled"), "reports/r", "argmax", "--policy")
    refused(aigrob_here(tmp_path, "check", "plain", "--into", "reports/r"), "not plain")
    refused(aigrob_here(tmp_path, "check", "plain", "--into", "runs"), "no report directory")
