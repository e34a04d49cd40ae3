"""What is said of two plans that aren't the same: what the user has changed, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_aig.attacks import attack_factory
from robustbench_aig.errors import RunError
from robustbench_aig.evaluation import Store, make_plan
from robustbench_aig.evaluation.plan_differences import differences
from robustbench_aig.records import CorruptionRecord, DataRecord, Plan
from tests.evaluation.conftest import make

AS_OF_0_1_0 = "3f996175b65d96c82d99f870c7294073ab15a076386402d04c9c5460de685433"
"""The digest that version 0.1.0 gave the plan of the last test."""

FOG = CorruptionRecord(name="fog", severity=1, source="computed")


def again(plan: Plan, **changes: Any) -> Plan:
    """The plan of the same evaluation but for some of what `make_plan` is told."""
    told = {"data", "models", "evaluations", "seed", "chunk", "draws", "cascade", "precision", "environment"}
    return make_plan(**{name: getattr(plan, name) for name in told} | {"command": "again"} | changes)


def data(plan: Plan, **changes: Any) -> DataRecord:
    return plan.data.model_copy(update=changes)


CHANGES: dict[str, tuple[Callable[[Plan], Plan], list[str]]] = {
    "--seed": (lambda plan: again(plan, seed=1), ["seed"]),
    "--amp": (lambda plan: again(plan, precision="bf16"), ["precision"]),
    "--chunk": (lambda plan: again(plan, chunk=7), ["chunk size"]),
    "--draws": (lambda plan: again(plan, draws=7), ["number of draws"]),
    "another torch": (lambda plan: again(plan, environment={"torch": "9"}), ["version of torch"]),
    "--limit": (
        lambda plan: again(plan, data=data(plan, n=20, digest="1")),
        ["number of images, 25 then and 20 now"],
    ),
    "other images": (lambda plan: again(plan, data=data(plan, digest="1")), ["images"]),
    "--data": (lambda plan: again(plan, data=data(plan, name="cifar10", digest="1")), ["data"]),
    "other weights": (
        lambda plan: again(plan, models=[m.model_copy(update={"weights_digest": "1"}) for m in plan.models]),
        ["weights"],
    ),
    "--attack": (lambda _: make(attacks=("fgsm",)), ["attacks", "settings of an attack", "versions of providers"]),
    "--eps": (lambda _: make(eps=("2/255",)), ["threats"]),
    "--eps, spelled otherwise": (lambda _: make(eps=("4/510", "16/510")), ["spelling of epsilon"]),
    "--corruption": (lambda _: make(corruptions=[FOG]), ["attacks", "settings of an attack", "corruptions"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_named(change: str, tmp_path: Path) -> None:
    before = make()
    changed, names = CHANGES[change]
    after = changed(before)
    assert differences(before, after) == names
    Store(tmp_path).open(before, resume=False)
    with pytest.raises(RunError, match=", ".join(names)):
        Store(tmp_path).check(after, resume=True)


def test_a_later_version_goes_on_with_what_an_earlier_one_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a provider's code the version decides numbers; of ours what `NUMBERS_SINCE` says."""
    attacks = ("fgsm", "pgd-torchattacks", "corners", "apgd", "compute-up")
    before = again(make(attacks), environment={"torch": "2.14.1"})
    assert before.digest == AS_OF_0_1_0
    Store(tmp_path).open(before, resume=False)
    monkeypatch.setattr(attack_factory, "__version__", "9")
    after = again(make(attacks), environment={"torch": "2.14.1"})
    assert {e.provider_version for e in after.evaluations if e.provider == "aigrob"} == {"9"}
    Store(tmp_path).check(after, resume=True)
    assert before.digest == after.digest
    others = [e.model_copy(update={"provider_version": "9"}) for e in before.evaluations]
    assert differences(before, again(before, evaluations=others)) == ["versions of providers"]
