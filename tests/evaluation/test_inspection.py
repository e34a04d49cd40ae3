"""The inspection against counts in plain Python, and against networks whose block is really gone."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.data.images import ImageSet, resident
from robustbench_aig.evaluation import Network
from robustbench_aig.evaluation.inspection import inspect_network
from robustbench_aig.evaluation.lesions import removed
from robustbench_aig.gating import Argmax, Policy, PooledGate, Sampled, deployed_policy, gating
from robustbench_aig.gating.soft import SoftGate
from robustbench_aig.inspections import Inspection
from robustbench_aig.models import GatedBlock, profile_macs
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.models.preact_resnet import PreActResNet
from robustbench_aig.models.resnet import ResNet
from robustbench_aig.models.soft_gates import HighwayResNet, SEResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.models.torchvision import torchvision_resnet
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import Family
from robustbench_aig.records import DataRecord, GateRecord, ModelRecord
from robustbench_aig.reporting.findings import findings
from robustbench_aig.runs import EpochRecord, Score
from tests.networks import CHANNELS, blocks, gated, images, plain, stir
from tests.networks import gates as gates_of

SEED = 5
CLASSES = [f"class {label}" for label in range(10)]


def network(model: nn.Module, family: Family = "gated") -> Network:
    profile = profile_macs(model, (3, 12, 12))
    model.eval().to(memory_format=torch.channels_last)
    names = [branch.name for branch in residual_branches(model)]
    gates = [GateRecord(name=name, macs=macs) for name, macs in zip(names, profile.blocks, strict=False)]
    record = ModelRecord(
        name="made",
        recipe="test/made",
        family=family,
        parameters=1,
        total_macs=profile.total,
        gates=gates,
        rates=[0.5] * len(gates) if gates else None,
        weights_digest="0",
    )
    return Network(record, model, profile)


def image_set(count: int, labels: Tensor | None = None) -> ImageSet:
    """Images of very different colours and contrasts, so that gates and classes differ."""
    pixels, made, ids = images(count)
    generator = torch.Generator().manual_seed(1)
    colour, contrast = (torch.rand(count, channels, 1, 1, generator=generator) for channels in (3, 1))
    varied = (colour + contrast * (pixels - 0.5)).clamp(0, 1)
    return resident(varied, made if labels is None else labels, ids)


def balanced(model: nn.Module) -> nn.Module:
    """Shift every gate and class so that each is chosen for many of the images."""
    x = image_set(200).images
    gates = [module.gate for module in model.modules() if isinstance(module, GatedBlock)]
    with torch.no_grad():
        for position, gate in enumerate(gates):
            if isinstance(gate, PooledGate):
                with gating(model, Argmax()) as trace:
                    model(x)
                gate.fc2.bias[1].sub_(trace.probabilities[:, position].logit().median())
        head = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 10][-1]
        logits = model(x)
        head.bias.sub_(logits.mean(0))
        head.weight.div_(logits.std(0)[:, None])
        head.bias.div_(logits.std(0))
    return model


def inspected(
    of: Network,
    policy: str,
    tested: ImageSet,
    history: list[EpochRecord] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    data = DataRecord(
        name="made", split="test", n=len(tested), available=len(tested), shape=(3, 12, 12), classes=CLASSES, digest="0"
    )
    return inspect_network(
        of,
        policy,
        tested,
        data=data,
        history=history or [],
        seed=SEED,
        device=torch.device("cpu"),
        command="test",
        progress=progress,
    )


@dataclass
class Seen:
    """What one pass over one image showed."""

    image: int
    label: int
    prediction: int
    gates: list[bool]
    probability: float


def one_by_one(model: nn.Module, policy: str, tested: ImageSet) -> list[Seen]:
    """Every image alone, densely, without anything of the inspection."""
    found = []
    for position in range(len(tested)):
        part = slice(position, position + 1)
        noise = Stream.of(tested.ids[part], SEED, "judge")
        decides: Policy = Sampled(noise) if policy == "sampled" else deployed_policy(policy, noise, [0.5] * 9)
        with torch.no_grad(), gating(model, decides) as trace:
            logits = model(tested.images[part])
        decisions = trace.decisions[0] != 0 if trace.gates else torch.zeros(0)
        found.append(
            Seen(
                int(tested.ids[position]),
                int(tested.labels[position]),
                int(logits.argmax()),
                [bool(decision) for decision in decisions],
                float(trace.probabilities[0].sum()) if trace.gates else 0.0,
            )
        )
    return found


def answers(model: nn.Module, policy: str, tested: ImageSet) -> Tensor:
    """Classes (N,) that a dense pass over all images at once predicts."""
    noise = Stream.of(tested.ids, SEED, "judge")
    with torch.no_grad(), gating(model, deployed_policy(policy, noise, [0.5] * 9)):
        predictions: Tensor = model(tested.images).argmax(1)
    return predictions


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_gates_against_counting_image_by_image(policy: str) -> None:
    model, tested = balanced(gated()), image_set(70)
    report = inspected(network(model), policy, tested)
    assert report.gates is not None
    seen = one_by_one(model, policy, tested)
    assert report.accuracy.count == sum(one.prediction == one.label for one in seen)
    assert report.gates.rates == pytest.approx([sum(one.gates[gate] for one in seen) / 70 for gate in range(6)])
    assert 0 < min(report.gates.rates) < max(report.gates.rates) < 1
    histogram = Counter(sum(one.gates) for one in seen)
    assert report.gates.histogram == [histogram[blocks] for blocks in range(7)]
    assert len(report.gates.per_class) == len({one.label for one in seen})
    for of_class in report.gates.per_class:
        members = [one for one in seen if CLASSES[one.label] == of_class.label]
        assert of_class.n == len(members)
        assert of_class.rates == pytest.approx(
            [sum(one.gates[gate] for one in members) / len(members) for gate in range(6)]
        )
        assert of_class.histogram == [sum(sum(one.gates) == k for one in members) for k in range(7)]


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_fewest_and_most_against_sorting_image_by_image(policy: str) -> None:
    model, tested = balanced(gated()), image_set(70)
    report = inspected(network(model), policy, tested)
    assert report.gates is not None
    seen = one_by_one(model, policy, tested)
    for of_class in report.gates.per_class:
        members = [one for one in seen if CLASSES[one.label] == of_class.label]
        members.sort(key=lambda one: (sum(one.gates), one.probability, one.image))
        shown = min(3, len(members) // 2)
        assert [use.image for use in of_class.fewest] == [one.image for one in members[:shown]]
        assert [use.image for use in of_class.most] == [one.image for one in members[::-1][:shown]]
        by_image = {one.image: one for one in members}
        for use in [*of_class.fewest, *of_class.most]:
            one = by_image[use.image]
            assert use.executed == one.gates
            assert use.blocks == sum(one.gates)
            assert use.open_probability == pytest.approx(one.probability, abs=1e-4)
            assert (use.prediction, use.correct) == (CLASSES[one.prediction], one.prediction == one.label)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (SEResNet(14, 10, widths=(8, 12, 16), reduction=4, **CHANNELS), "fc2"),
        (HighwayResNet(14, 10, widths=(8, 12, 16), gate_bias=-1.0, **CHANNELS), "conv"),
    ],
    ids=["squeeze", "highway"],
)
def test_factors_of_soft_gates_are_what_their_last_layers_say(model: nn.Module, layer: str) -> None:
    """Images one by one, the sigmoid taken behind the gates' backs; percentiles by numpy."""
    stir(model)
    tested = image_set(70)
    last = [gate.get_submodule(layer) for gate in model.modules() if isinstance(gate, SoftGate)]
    for module in last:
        cast(Tensor, module.weight).data.mul_(100)  # a fresh gate hardly tells images apart
    found = inspected(network(model), "none", tested).gates
    assert found is not None
    assert found.factors is not None
    seen: list[float] = []
    for module in last:
        module.register_forward_hook(lambda *call: seen.append(float(call[2].sigmoid().mean())))
    with torch.no_grad():
        for position in range(70):
            model(tested.images[position : position + 1])
    by_image = np.array(seen).reshape(70, 6)
    assert [factor.mean for factor in found.factors] == pytest.approx(by_image.mean(0), abs=1e-5)
    assert [factor.low for factor in found.factors] == pytest.approx(np.quantile(by_image, 0.05, 0), abs=1e-5)
    assert [factor.high for factor in found.factors] == pytest.approx(np.quantile(by_image, 0.95, 0), abs=1e-5)
    assert np.median(by_image.std(0)) > 1e-3
    for of_class in found.per_class:
        members = (tested.labels == CLASSES.index(of_class.label)).numpy()
        assert of_class.factors == pytest.approx(by_image[members].mean(0), abs=1e-5)


def test_only_scaled_blocks_have_factors() -> None:
    model, tested = balanced(gated()), image_set(20)
    chosen, scaled = (inspected(network(model), policy, tested).gates for policy in ("argmax", "expected"))
    assert chosen is not None
    assert scaled is not None
    assert chosen.factors is None
    assert {of_class.factors for of_class in chosen.per_class} == {None}
    assert scaled.factors is not None
    total = sum(factor.mean for factor in scaled.factors)
    assert total == pytest.approx(sum(one.probability for one in one_by_one(model, "expected", tested)) / 20, abs=1e-5)


def test_equal_images_are_ordered_by_id_and_lone_ones_are_shown_twice() -> None:
    """Gates that do not look at the image: all images are equal, under `expected` as in every probability."""
    model = stir(StochasticDepthResNet(8, 10, widths=(8, 12, 16), survivals=[0.9, 0.7, 0.5], **CHANNELS))
    labels = torch.tensor([2] * 9 + [7])
    tested = image_set(10, labels)
    report = inspected(network(model, "stochastic"), "expected", tested)
    assert report.gates is not None
    assert [of_class.label for of_class in report.gates.per_class] == ["class 2", "class 7"]
    ids = sorted(tested.ids[:9].tolist())
    many, lone = report.gates.per_class
    assert [use.image for use in many.fewest] == ids[:3]
    assert [use.image for use in many.most] == ids[:-4:-1]
    assert [use.image for use in lone.fewest] == [use.image for use in lone.most] == [int(tested.ids[9])]
    assert many.fewest[0].open_probability == pytest.approx(2.1, abs=1e-5)
    assert report.gates.histogram == [0, 0, 0, 10]
    assert not report.gates.selective


def silence(module: nn.Module) -> None:
    """Weights of a block's last layer to zero, so that its residual branch gives zeros."""
    assert isinstance(module, nn.BatchNorm2d | nn.Conv2d)
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def own_last_layers(model: nn.Module) -> list[nn.Module]:
    assert isinstance(model, ResNet)
    residuals = [module for name, module in model.named_modules() if name.endswith("residual")]
    return [list(residual.children())[-1] for residual in residuals]


def torchvision_last_layers(model: nn.Module) -> list[nn.Module]:
    assert isinstance(model, nn.Sequential)
    return [
        block.bn3 if hasattr(block, "bn3") else block.bn2
        for stage in (1, 2, 3, 4)
        for block in getattr(model.network, f"layer{stage}")
    ]


def preact() -> nn.Module:
    torch.manual_seed(0)
    return stir(PreActResNet(14, 10, widths=(8, 12, 16), **CHANNELS))


def stochastic() -> nn.Module:
    torch.manual_seed(0)
    return stir(
        StochasticDepthResNet(14, 10, widths=(8, 12, 16), survivals=[0.95, 0.9, 0.8, 0.7, 0.6, 0.5], **CHANNELS)
    )


def partly_forced() -> nn.Module:
    """The first and the fourth gate are forced open."""
    model = gated()
    forced = gated(target=1.0)
    for position in (0, 3):
        blocks(model)[position].gate = blocks(forced)[position].gate
    return model


def from_torchvision(name: str) -> nn.Module:
    torch.manual_seed(0)
    return stir(torchvision_resnet(name, 10, **CHANNELS))


@pytest.mark.parametrize(
    ("build", "family", "policy", "last_layers"),
    [
        (plain, "plain", "none", own_last_layers),
        (preact, "plain", "none", own_last_layers),
        (lambda: from_torchvision("resnet18"), "plain", "none", torchvision_last_layers),
        (lambda: from_torchvision("resnet50"), "plain", "none", torchvision_last_layers),
        (stochastic, "stochastic", "expected", own_last_layers),
        (stochastic, "stochastic", "random", own_last_layers),
        (gated, "gated", "argmax", own_last_layers),
        (gated, "gated", "sampled", own_last_layers),
        (gated, "gated", "expected", own_last_layers),
        (partly_forced, "gated", "argmax", own_last_layers),
        (partly_forced, "gated", "sampled", own_last_layers),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_lesions_against_networks_without_the_block(
    build: Callable[[], nn.Module], family: Family, policy: str, last_layers: Callable[[nn.Module], list[nn.Module]]
) -> None:
    model = balanced(build())
    # The labels are the intact network's own answers, but for a third of them.
    labels = answers(model, policy, image_set(30))
    labels[::3] = (labels[::3] + 1) % 10
    tested = image_set(30, labels)
    report = inspected(network(model, family), policy, tested)
    assert report.accuracy.count == 20
    assert len(report.lesions) == len(last_layers(model))
    for position, lesion in enumerate(report.lesions):
        without = copy.deepcopy(model)
        silence(last_layers(without)[position])
        right = (answers(without, policy, tested) == labels).tolist()
        assert lesion.accuracy.count == sum(right)
        assert lesion.lost == sum(not right[i] for i in range(30) if i % 3)
        assert lesion.gained == sum(right[i] for i in range(0, 30, 3))
        assert lesion.difference == pytest.approx((sum(right) - 20) / 30)
        assert lesion.accuracy.low < lesion.accuracy.value < lesion.accuracy.high or sum(right) in (0, 30)
    assert any(lesion.lost for lesion in report.lesions)


def test_blocks_are_named_like_gates_and_transitions_are_known() -> None:
    for model in (plain(), gated(), preact()):
        found = [(branch.name, branch.transition) for branch in residual_branches(model)]
        stages = [("1.1", False), ("1.2", False), ("2.1", True), ("2.2", False), ("3.1", True), ("3.2", False)]
        assert found == stages
    found = [(branch.name, branch.transition) for branch in residual_branches(from_torchvision("resnet50"))]
    assert [name for name, _ in found] == [f"{s}.{b}" for s, n in enumerate((3, 4, 6, 3), 1) for b in range(1, n + 1)]
    assert [name for name, transition in found if transition] == ["1.1", "2.1", "3.1", "4.1"]


def test_a_block_that_does_nothing_is_not_missed_under_random_gates() -> None:
    """Intact network and lesion meet the same noise; with fresh noise some of 200 answers would differ."""
    model = balanced(gated())
    silence(own_last_layers(model)[2])
    report = inspected(network(model), "sampled", image_set(200, answers(model, "sampled", image_set(200))))
    assert (report.lesions[2].lost, report.lesions[2].gained, report.lesions[2].p_value) == (0, 0, 1.0)
    assert report.lesions[1].lost > 0


def test_the_network_is_as_before_even_after_a_crash() -> None:
    model = balanced(gated(target=1.0))
    x = image_set(4).images
    before = model(x)
    branch = residual_branches(model)[0]

    def crash() -> None:
        with removed(branch):
            assert not torch.equal(model(x), before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    inspected(network(model), "argmax", image_set(12))
    torch.testing.assert_close(model(x), before)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(block.gate.trace is None for block in model.modules() if isinstance(block, GatedBlock))


def test_a_plain_network_has_no_gates_and_progress_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []
    report = inspected(network(plain(), "plain"), "none", image_set(130), progress=lambda *pair: told.append(pair))
    assert report.gates is None
    assert told[0] == (100, 7 * 130)
    assert told[-1] == (7 * 130, 7 * 130)
    assert report.accuracy.interval == "wilson"


def epoch(number: int, **rates: list[float]) -> EpochRecord:
    return EpochRecord(
        epoch=number,
        lr=0.1,
        cross_entropy=1.0,
        rate_loss=0.1,
        train_accuracy=0.5,
        train_mean_rate=0.5,
        train_rates=[0.0] * 6,
        validation={p: Score(accuracy=0.5, n=10, draws=1, mean_rate=0.5, rates=r) for p, r in rates.items()},
        seconds=1.0,
        images_per_second=1.0,
    )


def test_history_is_that_of_the_policy_or_else_of_sampled_gates() -> None:
    trained = [epoch(n, argmax=[0.1 * n] * 6, sampled=[0.2 * n] * 6) for n in (1, 2, 3)]
    of = network(gated())
    for policy, expected, rate in (("argmax", "argmax", 0.1), ("sampled", "sampled", 0.2), ("random", "sampled", 0.2)):
        report = inspected(of, policy, image_set(12), trained)
        assert report.gates is not None
        assert report.gates.history is not None
        assert report.gates.history.policy == expected
        assert report.gates.history.epochs == [1, 2, 3]
        assert report.gates.history.rates == [[pytest.approx(rate * n)] * 6 for n in (1, 2, 3)]
    imported = inspected(of, "argmax", image_set(12))
    assert imported.gates is not None
    assert imported.gates.history is None


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_coins_are_not_said_to_decide_by_the_image(policy: str) -> None:
    """Nor is a gate that is forced open counted."""
    model = gated(depth=8)
    for gate in gates_of(model):
        nn.init.zeros_(gate.fc2.weight)
        gate.fc2.bias.data = torch.tensor([0.0, 0.4])
    of = network(model)
    forced = [gate.model_copy(update={"target": float(g == 0)}) for g, gate in enumerate(of.record.gates)]
    of = replace(of, record=of.record.model_copy(update={"gates": forced}))
    found = inspected(of, policy, image_set(150))
    assert found.gates is not None
    depends = found.gates.dependence
    assert depends is not None
    assert (depends.n, depends.deciding, depends.looks, len(depends.gates)) == (150, 0, False, 2)
    said = " ".join(findings(found))
    assert ("0 of 2 gates decide by the image" in said) == (policy == "sampled"), "argmax gates run every block"


@pytest.mark.parametrize("policy", ["argmax", "sampled"])
def test_gates_that_look_are_said_to(policy: str) -> None:
    model = balanced(gated(depth=8))
    for gate in gates_of(model):
        gate.fc2.weight.data *= 20
        gate.fc2.bias.data *= 20
    found = inspected(network(model), policy, image_set(150))
    assert found.gates is not None
    depends = found.gates.dependence
    assert depends is not None
    assert (depends.deciding, depends.looks) == (3, True)
    assert "3 of 3 gates decide by the image" in " ".join(findings(found))


@pytest.mark.parametrize("policy", ["random", "open", "expected"])
def test_of_policies_that_do_not_choose_nothing_is_said(policy: str) -> None:
    found = inspected(network(gated(depth=8)), policy, image_set(30))
    assert found.gates is not None
    assert found.gates.dependence is None
