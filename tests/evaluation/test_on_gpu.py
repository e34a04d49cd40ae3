"""Attack and judge on a GPU; skipped where there is none."""

import pytest
import torch

from robustbench_aig.attacks import Pgd, run_attack
from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.gating import Argmax
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat
from tests.networks import gated, images

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
EPS = Threat.parse("8/255")


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_attack_and_judge_stay_on_the_device(policy: str) -> None:
    model, (x, y, ids) = gated().cuda(), (t.cuda() for t in images(16))
    attacked = run_attack(Pgd(PgdRecipe(steps=3)), model, Argmax(), x, y, EPS, stream=Stream.of(ids, 0), seed=0)
    assert attacked.reason is None
    assert attacked.images.is_cuda
    subject = Subject("gated", model, profile_macs(model, (3, 12, 12)), policy)
    verdict = judge(subject, attacked.images, y, ids=ids, seed=0, draws=3)
    assert verdict.margins.is_cuda
    assert verdict.finite.all()
