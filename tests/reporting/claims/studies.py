"""Report directories that were made so that the answer to a claim is known."""

from functools import cache
from pathlib import Path

from robustbench_aig.recipes import ClaimRecipe
from robustbench_aig.records import Checkup, Claim, FindingRecord, ModelRecord
from robustbench_aig.reporting.claims import claims as judged
from robustbench_aig.reporting.corruptions import means
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.reporting.gated_vs_plain import results_of
from robustbench_aig.reporting.union import unions
from robustbench_aig.zoo import claim_names, find_claim
from tests.reporting import synthetic
from tests.reporting.synthetic import (
    EPSILONS,
    Study,
    evaluation,
    make_study,
    repeated,
)
from tests.reporting.synthetic import N as FEW

N = 7 * FEW
"""Images; claims say nothing of one point from fewer than 368."""


POLICIES = {"resnet-digits": ("none",), "aig-digits": ("argmax", "sampled")}


def hardened(study: Study) -> Study:
    """Claims on hardened networks are judged at the strengths of this study."""
    models = [model.model_copy(update={"training": synthetic.trained(hardened=True)}) for model in study.plan.models]
    return Study(study.plan.model_copy(update={"models": models}), study.rows)


def keeps(study: Study, policy: str, attack: str, share: float, draws: float = 1.0) -> None:
    """Let a network get the first images right, on a share of the draws, at every strength."""
    model = "resnet-digits" if policy == "none" else "aig-digits"
    for eps in [None] if attack == "clean" else EPSILONS:
        role = "clean" if attack == "clean" else "attack"
        for row in study.rows[evaluation(model, policy, attack, role, eps).id]:  # type: ignore[arg-type]
            count = round(row["draws"] * draws) if row["image"] < share * N else 0
            majority = 2 * count > row["draws"]
            row.update(correct_draws=count, choice_correct=count, prediction=row["label"] if majority else -1)


def kept(none: float, argmax: float, sampled: float, *, fgsm: tuple[float, float, float] | None = None) -> Study:
    """All right unattacked; under attack plain, argmax and, on a share of the draws, sampled gates keep so much."""
    study = hardened(repeated(make_study(), N // FEW))
    for policy, share, first in zip(("none", "argmax", "sampled"), (none, argmax, sampled), fgsm or (), strict=False):
        keeps(study, policy, "clean", 1)
        keeps(study, policy, "pgd", share)
        keeps(study, policy, "fgsm", first)
    if fgsm is None:
        for policy, share in zip(("none", "argmax", "sampled"), (none, argmax, sampled), strict=True):
            for attack in ("clean", "fgsm", "pgd"):
                keeps(study, policy, attack, 1 if attack == "clean" else share)
    return study


Asked = tuple[str, str | None]


@cache
def recipes() -> list[tuple[str, ClaimRecipe]]:
    return [find_claim(name) for name in claim_names()]


def claims(directory: Path) -> dict[Asked, Claim]:
    """By name and policy; no more of the report is made."""
    evidence = load_evidence(directory)
    found = judged(evidence, results_of(evidence, unions(evidence), means(evidence)), recipes(), set())
    by_name: dict[Asked, Claim] = {(c.id, c.gate_policy): c for c in found}
    assert len(by_name) == len(found)
    return by_name


def checkup(model: ModelRecord, policy: str, status: str, data: object) -> Checkup:
    finding = FindingRecord.model_validate(
        {
            "check": "logits",
            "title": "Logits",
            "status": status,
            "value": 0.0,
            "low": 0.0,
            "high": 0.1,
            "count": 0,
            "n": 60,
            "needs": 30,
            "threshold": "",
            "evidence": "",
            "numbers": {},
            "advice": "",
            "seconds": 1.0,
        }
    )
    return Checkup.model_validate(
        {
            "created": "2026-11-24",
            "command": "aigrob check",
            "run": model.name,
            "policy": policy,
            "seed": 0,
            "weights_digest": model.weights_digest,
            "attack": "apgd",
            "chosen_threat": True,
            "others": [],
            "threat": {"norm": "linf", "eps": "1/255", "value": 1 / 255},
            "data": data,
            "quick": True,
            "findings": [finding],
        }
    )


def check_all(directory: Path, status: str = "pass", **changes: str) -> None:
    """Every network under every policy; `status` is what one check finds under argmax gates."""
    (directory / "checks").mkdir()
    plan = load_evidence(directory).plan
    for model in plan.models:
        for policy in POLICIES[model.name]:
            found = checkup(model, policy, status if policy == "argmax" else "pass", plan.data)
            path = directory / "checks" / f"{model.name}.{policy}.json"
            path.write_text(found.model_copy(update=changes).model_dump_json())
