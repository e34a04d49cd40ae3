"""The example from its own training to a judged attack, in a few seconds."""

import inspect
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from examples import skipnet
from robustbench_aig.attacks import Pgd, run_attack
from robustbench_aig.data import load_data
from robustbench_aig.evaluation import Subject, judge
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.models import profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat

COUNT, GATES = 100, 9


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of fewer epochs than a user's, in which blocks are dearer."""
    path = tmp_path_factory.mktemp("skipnet") / "skipnet.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["skipnet.py", "--epochs", "6", "--price", "0.3", "--out", str(path)])
        skipnet.main()
    return path


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    data = load_data("digits", seed=0).test.limit(COUNT, 0)
    return data.images, data.labels, data.ids


def test_the_adapter_takes_no_more_than_fifteen_lines() -> None:
    assert len(inspect.getsource(skipnet.network).splitlines()) <= 15


def test_weights_of_the_network_itself_fit_and_give_its_own_decisions(
    weights: Path, digits: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    own, adapted = skipnet.SkipNet(), skipnet.network()
    own.load_state_dict(load_file(weights))
    adapted.load_state_dict(load_file(weights))
    with torch.no_grad(), gating(adapted.eval(), Argmax()) as trace:
        logits, masks, probabilities = own.eval()(digits[0])
        assert torch.equal(adapted(digits[0]), logits)
    assert torch.equal(trace.decisions, torch.stack(masks, 1))
    torch.testing.assert_close(trace.probabilities, torch.stack(probabilities, 1))


def test_cost_by_hand() -> None:
    """Images of 8, 4 and 2 pixels' side in the three stages."""
    profile = profile_macs(skipnet.network(), (1, 8, 8))
    widths, pixels = (16, 24, 32), (64, 16, 4)
    assert profile.blocks == tuple(2 * 9 * w * w * p for w, p in zip(widths, pixels, strict=True) for _ in range(3))
    openings = sum(9 * before * w * p for before, w, p in zip((1, 16, 24), widths, pixels, strict=True))
    gates = sum(3 * (w * 10 + 4 * 10 * 20 + 10) for w in widths)
    assert profile.fixed == openings + gates + 32 * 10


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_an_attack_is_judged_like_one_on_our_own_networks(
    weights: Path, digits: tuple[torch.Tensor, torch.Tensor, torch.Tensor], policy: str
) -> None:
    model = skipnet.network()
    model.load_state_dict(load_file(weights))
    model.eval()
    x, y, ids = digits
    subject = Subject("skipnet", model, profile_macs(model, (1, 8, 8)), policy)
    threat, noise = Threat.parse("32/255"), Stream.of(ids, 1)
    attacked = run_attack(
        Pgd(PgdRecipe(steps=5)), model, subject.deployed(noise), x, y, threat, stream=Stream.of(ids, 2), seed=0
    )
    assert attacked.reason is None
    assert attacked.backwards == 5
    clean, verdict = (judge(subject, pixels, y, ids=ids, seed=0, draws=3) for pixels in (x, attacked.images))
    assert verdict.correct.sum() < clean.correct.sum()
    for judged in (clean, verdict):
        assert judged.decisions.shape == (COUNT, GATES)
        assert 0.2 < judged.decisions.float().mean() < 0.9
    if policy == "argmax":
        # Training knew no noise, so its gates stay near a half, where noise moves more of them than an attack does.
        assert (verdict.decisions != clean.decisions).float().mean() > 0.03
        assert (verdict.macs != clean.macs).any()
