"""The inspection against counts in plain Python."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_aig.gating.soft import SoftGate
from robustbench_aig.models.soft_gates import HighwayResNet, SEResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.reporting.findings import findings
from robustbench_aig.runs import EpochRecord, Score
from tests.evaluation.inspected import CLASSES, balanced, image_set, inspected, network, one_by_one
from tests.networks import CHANNELS, gated, plain, stir
from tests.networks import gates as gates_of


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
