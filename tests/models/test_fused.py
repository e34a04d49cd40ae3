"""Fused networks against the networks that they are copies of."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robustbench_aig.gating import Argmax, Execution, Frozen, Open, gating
from robustbench_aig.models import GatedResNet, defended, fused
from robustbench_aig.models.adapt import only_logits
from robustbench_aig.models.fused import convolution
from robustbench_aig.models.fused.fused_network import FusedResNet
from tests.models.fusable import COUNT, GATED, PLAIN, POLICIES, assert_same, far, of_torchvision, passes
from tests.networks import gated, gates, images, plain, stir


@pytest.fixture(params=["fused", "public"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With torch's private fused convolutions, and without."""
    if request.param == "public":
        monkeypatch.setattr(convolution, "fuses", lambda *_: False)
    elif not convolution.fuses("cpu", torch.float32):
        pytest.skip("this torch has no fused convolutions")
    return str(request.param)


@pytest.mark.parametrize("execution", ["dense", "sparse"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", GATED)
def test_a_gated_copy_computes_the_same(name: str, policy: str, execution: Execution, form: str) -> None:
    """Logits, the gradient, through the gates where the policy has one, probabilities and decisions."""
    model = GATED[name]()
    assert isinstance(fused(model), FusedResNet)
    assert_same(model, fused(model), POLICIES[policy](), execution, images(COUNT)[0])


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_copy_computes_the_same(name: str, form: str) -> None:
    """Seeds are such that no ReLU's input is within rounding of zero."""
    model = PLAIN[name]()
    assert_same(model, fused(model), Argmax(), "dense", images(2 if name == "resnet50" else COUNT, 33)[0])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 16), (9, 7)])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_of_any_shape_and_number(size: tuple[int, int], count: int, dtype: torch.dtype, form: str) -> None:
    model = gated()
    x = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(2))
    for execution in ("dense", "sparse"):
        wanted, found = (passes(m, Open(), execution, x)[0] for m in (model, fused(model, dtype)))
        assert far(found, wanted) < (1e-4 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("channels", [1, 4])
def test_networks_of_any_number_of_channels(channels: int, form: str) -> None:
    statistics = [0.5] * channels
    model = stir(GatedResNet(8, 10, widths=(1, 3, 5), targets=[0.5] * 3, mean=statistics, std=statistics))
    x = torch.rand(COUNT, channels, 8, 8, generator=torch.Generator().manual_seed(3))
    for execution in ("dense", "sparse"):
        wanted, found = (passes(m, Argmax(), execution, x) for m in (model, fused(model)))
        assert far(found[0], wanted[0]) < 1e-4
        assert far(found[2], wanted[2]) < 1e-4
        fused(model, torch.bfloat16)(x)


@pytest.mark.parametrize("name", [*GATED, "plain", "preact", "resnet18"])
def test_bfloat16_is_close(name: str, form: str) -> None:
    """By the reference's decisions, because a gate near zero may decide otherwise."""
    model, (x, _, _) = {**GATED, **PLAIN}[name](), images(COUNT, 16)
    copied = fused(model, torch.bfloat16)
    assert any(parameter.dtype == torch.bfloat16 for parameter in copied.parameters())
    with torch.no_grad(), gating(model, Argmax()) as trace:
        model(x)
    policy = Frozen(trace.decisions) if trace.gates else Argmax()
    for execution in ("dense", "sparse"):
        wanted, found = (passes(m, policy, execution, x) for m in (model, copied))
        assert found[0].dtype == torch.float32
        for a, b in ((found[0], wanted[0]), (found[1], wanted[1])):
            assert 1e-7 < far(a, b) < 0.05
        assert F.cosine_similarity(found[2].flatten(), wanted[2].flatten(), 0) > 0.9
        if trace.gates:
            assert (found[3] - wanted[3]).abs().max() < 0.1


def test_gates_of_a_bfloat16_copy_compute_in_float32() -> None:
    copied, (x, _, _) = fused(gated(), torch.bfloat16), images(COUNT)
    with gating(copied, Argmax()) as trace:
        copied(x)
    assert trace.probabilities.dtype == trace.decisions.dtype == torch.float32
    assert len(set(trace.probabilities.flatten().tolist())) > 0.9 * trace.probabilities.numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_reaches_closed_gates_in_dense_execution_alone(dtype: torch.dtype) -> None:
    model, (x, y, _) = gated(), images(COUNT)
    for gate in gates(model):
        gate.fc2.weight.data *= 0.1
        gate.fc2.bias.data = torch.tensor([1.5, -1.5])
    found = {}
    for execution in ("dense", "sparse"):
        for policy in (Argmax(), Frozen(torch.zeros(COUNT, 6))):
            with gating(copied := fused(model, dtype), policy, execution=execution) as trace:
                tracked = x.clone().requires_grad_()
                loss = F.cross_entropy(copied(tracked), y)
                assert not trace.decisions.any()
            found[execution, policy.name] = torch.autograd.grad(loss, tracked)[0]
    assert far(found["dense", "argmax"], found["dense", "frozen"]) > 1e-3
    assert far(found["sparse", "argmax"], found["sparse", "frozen"]) < 1e-6 + 0.02 * (dtype == torch.bfloat16)


def test_a_pass_and_its_gradient_are_the_same_each_time(form: str) -> None:
    copied, (x, _, _) = fused(gated()), images(COUNT)
    for execution in ("dense", "sparse"):
        first, second = (passes(copied, Argmax(), execution, x) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_images_stay_as_they_are() -> None:
    x = images(COUNT)[0].contiguous(memory_format=torch.channels_last)
    before = x.clone()
    for model in (fused(gated()), fused(nn.Sequential(of_torchvision("resnet18")[1]))):  # type: ignore[index]
        with torch.no_grad(), gating(model, Argmax(), execution="sparse"):
            model(x)
    assert torch.equal(x, before)


def test_copy_and_original_are_independent() -> None:
    model, (x, _, _) = gated().train(), images(COUNT)
    copied = fused(model)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in copied.modules())
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    mine, its = ({p.data_ptr() for p in m.state_dict().values()} for m in (copied, model))
    assert not mine & its
    before = copied(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(copied(x), before)
    with gating(model, Open()) as of_model, gating(copied, Argmax()) as of_copy:
        copied(x)
    assert (of_model.gates, of_copy.gates) == (0, 6)


def test_a_copy_of_a_copy_and_on_the_meta_device() -> None:
    copied, (x, _, _) = fused(gated()), images(COUNT)
    assert torch.equal(copy.deepcopy(copied)(x), copied(x))
    assert torch.equal(fused(copied)(x), copied(x))
    assert copied.to("meta")(x.to("meta")).shape == (COUNT, 10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_laid_out_for_one_image_serve_many_and_a_copy(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not convolution.fuses("cpu", dtype):
        pytest.skip("torch fuses no such convolutions here")
    x, _, _ = images(5)
    with monkeypatch.context() as patch:
        patch.setattr(convolution, "packed", lambda weight, *_: weight)
        with torch.no_grad():
            wanted = [fused(plain(), dtype)(x[:count]) for count in (1, 5)]
    copied = fused(plain(), dtype)
    with torch.no_grad():
        for count, logits in zip((1, 5), wanted, strict=True):
            assert torch.equal(copied(x[:count]), logits)
        assert torch.equal(copy.deepcopy(copied)(x), wanted[1])


def test_a_part_of_a_traced_network_is_copied_without_the_trace() -> None:
    model, (x, _, _) = gated(), images(COUNT)
    whole = nn.Sequential(model)
    with gating(whole, Argmax()) as trace:
        whole(x.clone().requires_grad_())
        copied = fused(model)
        with gating(copied, Open()):
            copied(x)
        assert not bool((trace.decisions == 1).all())
        with pytest.raises(RuntimeError, match="make the copy first"):
            fused(whole)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_behind_a_defence_and_a_hook_that_picks_logits(dtype: torch.dtype) -> None:
    model, (x, _, _) = gated(), images(COUNT, 16)
    model.register_forward_hook(only_logits)
    behind = defended(model, "jpeg:75")
    copied = fused(behind, dtype)
    assert isinstance(copied.network, FusedResNet)
    wanted, found = (passes(m, Open(), "sparse", x) for m in (behind, copied))
    assert far(found[0], wanted[0]) < (1e-4 if dtype == torch.float32 else 0.05)
    assert far(found[0], passes(model, Open(), "sparse", x)[0]) > 1e-4 or dtype == torch.bfloat16


def test_nan_stays_nan() -> None:
    """Nothing may look robust because it was computed faster."""
    x = images(2)[0]
    x[0, 0, 0, 0] = torch.nan
    for dtype in (torch.float32, torch.bfloat16):
        for model in (plain(), gated()):
            with torch.no_grad(), gating(copied := fused(model, dtype), Open(), execution="sparse"):
                assert copied(x).isnan().all(1).tolist() == [True, False]
    model = plain()
    model.stages[1][0].residual.conv1.weight.data[0] = torch.inf  # type: ignore[index]
    assert fused(model)(images(2)[0]).isnan().all()
