"""Networks as others write them, traced and attacked through the adapter without a change to their code."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from robustbench_aig.attacks import Pgd, run_attack
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, Frozen, Open, Sampled, gating
from robustbench_aig.models import UnknownMacs, adapt, adapted_blocks, profile_macs
from robustbench_aig.randomness import Stream
from robustbench_aig.recipes import PgdRecipe
from robustbench_aig.threat import Threat
from tests.models.foreign import (
    BLOCKS,
    CONV,
    HEAD,
    SIZE,
    STEM,
    WIDTH,
    GumbelSampler,
    adapted,
    adapted_planned,
    adapted_sampled,
    planned,
    recurrent,
    sampled,
)
from tests.networks import gated, images


def test_under_argmax_the_network_computes_what_its_own_code_computes() -> None:
    net = recurrent()
    x, _, _ = images(40)
    with torch.no_grad():
        logits, masks = net(x)
    own = torch.cat(masks, 1)
    assert 0.2 < own.mean() < 0.8
    assert (own.std(0) > 0).all()
    with torch.no_grad(), gating(adapted(net), Argmax()) as trace:
        assert torch.equal(net(x), logits)
    assert trace.gates == BLOCKS
    assert torch.equal(trace.decisions, own)
    with torch.no_grad():
        assert torch.equal(net(x), logits)


def test_a_gate_per_block_and_a_sequential_network() -> None:
    net = sampled()
    x, _, _ = images(40)
    with torch.no_grad():
        logits = net(x)
        with gating(adapted_sampled(net), Argmax()) as trace:
            assert torch.equal(net(x), logits)
        assert trace.gates == BLOCKS
        assert 0 < trace.decisions.mean() < 1
        assert torch.equal(net(x), logits)


def test_many_decisions_of_one_call() -> None:
    net = planned()
    x, _, _ = images(40)
    with torch.no_grad():
        logits = net(x)
        with gating(adapted_planned(net), Argmax()) as trace:
            assert torch.equal(net(x), logits)
    assert torch.equal(trace.decisions, (net.policy(x) > 0).float())
    assert 0 < trace.decisions.mean() < 1


def test_decisions_from_outside_are_obeyed() -> None:
    net = recurrent()
    x, _, _ = images(8)
    given = (torch.rand(8, BLOCKS, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    with torch.no_grad():
        y = net.stem((x - 0.5) / 0.03)
        for number, block in enumerate(net.blocks):
            y = y + given[:, number].view(-1, 1, 1, 1) * block(y).tanh()
        expected = net.head(y.mean((2, 3)))
        with gating(adapted(net), Frozen(given)) as trace:
            torch.testing.assert_close(net(x), expected)
        assert torch.equal(trace.decisions, given)
        with gating(net, Open()) as trace:
            net(x)
        assert trace.decisions.mean() == 1


def test_noise_is_that_of_the_policy() -> None:
    net = recurrent()
    x, _, ids = images(30)
    stream = Stream.of(ids, 5)
    with torch.no_grad(), gating(adapted(net), Sampled(stream)) as trace:
        net(x)
        first = trace.decisions
        net(x)
    assert not torch.equal(trace.decisions, first)
    noise = torch.stack([stream.child(1).child(gate).logistic() for gate in range(BLOCKS)], 1)
    assert torch.equal(trace.decisions, (trace.probabilities.logit() + noise > 0).float())


@pytest.mark.parametrize("make", [lambda: adapted(recurrent()), lambda: adapted_sampled(sampled())])
def test_gradient_reaches_the_input_through_the_gates(make: Callable[[], nn.Module]) -> None:
    net = make()
    x, _, _ = images(8)
    x.requires_grad_()
    with gating(net, Argmax()) as trace:
        (through,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    with gating(net, Frozen(trace.decisions)):
        (beside,) = torch.autograd.grad(net(x)[:, 0].sum(), x)
    assert beside.abs().sum() > 0
    assert (through - beside).abs().max() > 0.01 * beside.abs().max()
    with gating(net, Argmax()) as trace:
        net(x)
        (of_gate,) = torch.autograd.grad(trace.probabilities.sum(), x)
    assert of_gate.abs().sum() > 0


def test_the_guarded_attack_moves_the_gates() -> None:
    net = adapted(recurrent())
    x, y, ids = images(20)
    threat = Threat.parse("8/255")
    attack = Pgd(PgdRecipe(steps=3))
    with torch.no_grad(), gating(net, Argmax()) as trace:
        net(x)
        clean = trace.decisions
    done = run_attack(attack, net, Argmax(), x, y, threat, stream=Stream.of(ids, 0), seed=0)
    assert not done.failed.any()
    assert done.backwards == 3
    with torch.no_grad(), gating(net, Argmax()) as trace:
        net(done.images)
    assert (trace.decisions != clean).any()


def test_weights_keep_their_names() -> None:
    net = recurrent()
    before = net.state_dict()
    assert list(adapted(net).state_dict()) == list(before)
    adapted(recurrent()).load_state_dict(before)


def test_a_copy_asks_its_own_gates() -> None:
    net = adapted(recurrent())
    x, _, _ = images(6)
    twin = copy.deepcopy(net)
    closed, opened = Frozen(torch.zeros(6, BLOCKS)), Open()
    with torch.no_grad(), gating(net, closed) as here, gating(twin, opened) as there:
        one, other = net(x), twin(x)
    assert here.decisions.sum() == 0
    assert there.decisions.mean() == 1
    assert not torch.equal(one, other)
    assert {m for group in adapted_blocks(twin) for m in group} <= set(twin.modules())
    assert not {m for group in adapted_blocks(twin) for m in group} & set(net.modules())


def test_macs_by_hand() -> None:
    lstm = BLOCKS * (4 * 5 * (WIDTH + 5) + 5)
    profile = profile_macs(adapted(recurrent()), (3, SIZE, SIZE))
    assert profile.blocks == (CONV,) * BLOCKS
    assert profile.fixed == STEM + HEAD + lstm

    profile = profile_macs(adapted_sampled(sampled()), (3, SIZE, SIZE))
    assert profile.blocks == (CONV + WIDTH * WIDTH * SIZE**2,) * BLOCKS
    assert profile.fixed == STEM + HEAD + BLOCKS * 2 * WIDTH


def test_macs_of_a_network_that_looks_at_values() -> None:
    """It computes one black image, and is left as it was."""
    net = planned().train()
    net.stem.eval()
    profile = profile_macs(adapted_planned(net), (3, SIZE, SIZE))
    assert profile.blocks == (CONV,) * BLOCKS
    assert profile.fixed == STEM + HEAD + 9 * 3 * BLOCKS * (SIZE - 2) ** 2
    assert net.training
    assert not net.stem.training
    assert not any(m._forward_pre_hooks for m in net.modules())


def test_macs_after_a_pass_whose_graph_hangs_on_the_network() -> None:
    """A state that is kept on a module can't be copied."""
    net = adapted(recurrent())
    net(images(2)[0])
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(net)
    assert profile_macs(net, (3, SIZE, SIZE)).blocks == (CONV,) * BLOCKS


def test_a_block_that_serves_several_decisions_costs_each_a_share() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.block, self.head = nn.Conv2d(3, 1, SIZE), nn.Conv2d(3, 3, 3, padding=1), nn.Flatten()

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = x + (self.gate(x) > 0) * self.block(x)
            out: Tensor = self.head(x)
            return out

    net = Loop()
    adapt(
        net,
        gates=[net.gate],
        blocks=[net.block, [], net.block],
        read=lambda _, output: output.flatten(),
        write=lambda output, z: z.view_as(output),
        shared=True,
    )
    profile = profile_macs(net, (3, SIZE, SIZE))
    conv = 9 * 3 * 3 * SIZE**2
    assert profile.blocks == (3 * conv // 2, 0, 3 * conv // 2)


def test_native_and_plain_networks_have_what_they_had() -> None:
    assert adapted_blocks(gated()) == []
    plain = resnet18(num_classes=10)
    assert adapted_blocks(plain) == []
    profile = profile_macs(plain, (3, 224, 224))
    assert profile.blocks == ()
    # Torchvision's documentation gives 1.81 GMACs, of which 512 · 990 belong to classes that aren't here.
    assert profile.total == pytest.approx(1.814e9, rel=1e-3)


def test_wrong_blocks_are_told_in_one_line() -> None:
    net = recurrent()
    choices: dict[str, Any] = {
        "read": lambda _, output: output[1].squeeze(1).logit(1e-6),
        "write": lambda output, z: (z[:, None], output),
    }
    adapt(net, gates=[net.gate], blocks=list(net.blocks)[:-1], **choices)
    with pytest.raises(InputError, match="made 4 decisions in one pass, but 3 blocks are named"):
        profile_macs(net, (3, SIZE, SIZE))

    net = recurrent()
    adapt(net, gates=[net.gate], blocks=[[], [], [], net.blocks], **choices)
    with pytest.raises(InputError, match="block 3 of Recurrent was never called"):
        profile_macs(net, (3, SIZE, SIZE))


def test_a_shared_gate_may_be_named_for_each_block() -> None:
    net = recurrent()
    adapt(
        net,
        gates=[net.gate] * BLOCKS,
        blocks=list(net.blocks),
        read=lambda _, output: output[1].squeeze(1).logit(1e-6),
        write=lambda output, z: (z.unsqueeze(1), output[1]),
    )
    assert profile_macs(net, (3, SIZE, SIZE)).blocks == (CONV,) * BLOCKS


def test_what_is_no_part_of_the_network_is_refused() -> None:
    net, other = recurrent(), recurrent()
    with pytest.raises(InputError, match="SharedGate"):
        adapt(net, gates=[other.gate], blocks=[], read=lambda _, output: output, write=lambda _, z: z)
    with pytest.raises(InputError, match="adapted already"):
        adapted(adapted(net))  # type: ignore[arg-type]


def test_a_difference_of_another_shape_is_refused() -> None:
    net = sampled()
    samplers = [module for module in net.modules() if isinstance(module, GumbelSampler)]
    adapt(net, gates=samplers, blocks=[], read=lambda inputs, _: inputs[0], write=lambda _, z: z)
    with pytest.raises(InputError, match=r"\(B,\) or \(B, K\), got \(1, 2, 1, 1\) from GumbelSampler"):
        profile_macs(net, (3, SIZE, SIZE))


def test_a_module_is_named_once_unless_said_so() -> None:
    net = recurrent()
    choices: dict[str, Any] = {
        "gates": [net.gate],
        "read": lambda _, output: output[1],
        "write": lambda output, _: output,
    }
    with pytest.raises(InputError, match=r"'blocks.0' is named for the decisions 0, 3: .* shared=True"):
        adapt(net, blocks=[net.blocks[0], net.blocks[1], net.blocks[2], net.blocks[0]], **choices)
    with pytest.raises(InputError, match=r"'blocks.1' of decision 1 lies inside 'blocks' of decision 0"):
        adapt(net, blocks=[net.blocks, net.blocks[1]], shared=True, **choices)
    with pytest.raises(InputError, match=r"block 0 names 'blocks.1' 2 times"):
        adapt(net, blocks=[[net.blocks[1], net.blocks[1]]], shared=True, **choices)
    with pytest.raises(InputError, match="at least one gate"):
        adapt(net, **choices | {"gates": []}, blocks=[])


def test_read_is_told_the_gate_where_it_asks() -> None:
    def by_position(_: object, output: tuple[Tensor, Tensor], number: int) -> Tensor:
        told.append(number)
        return output[1].squeeze(1).logit(1e-6)

    def by_name(_: object, output: tuple[Tensor, Tensor], scale: float = 1.0, *, gate: int) -> Tensor:
        told.append(gate)
        return scale * output[1].squeeze(1).logit(1e-6)

    x, _, _ = images(5)
    for read in (by_position, by_name):
        net, told = recurrent(), list[int]()
        own = net(x)[0]
        adapt(
            net, gates=[net.gate], blocks=list(net.blocks), read=read, write=lambda output, z: (z[:, None], output[1])
        )
        with gating(net, Argmax()):
            assert torch.equal(net(x), own)
            net(x)
        assert told == [*range(BLOCKS), *range(BLOCKS)]


def test_read_with_a_default_of_its_own_is_asked_as_ever() -> None:
    net = planned()
    x, _, _ = images(5)
    own = net(x)
    scaled = lambda _, output, scale=2.0: scale * output  # noqa: E731
    adapt(net, gates=[net.policy], blocks=list(net.blocks), read=scaled, write=lambda _, z: z - 0.5)
    with gating(net, Argmax()):
        assert torch.equal(net(x), own)


def test_compute_without_named_blocks_is_unknown() -> None:
    net = recurrent()
    adapt(
        net,
        gates=[net.gate],
        blocks=None,
        read=lambda _, output: output[1].squeeze(1).logit(1e-6),
        write=lambda output, z: (z[:, None], output[1]),
    )
    with pytest.raises(UnknownMacs, match=f"no block is named for any of the {BLOCKS} decisions") as told:
        profile_macs(net, (3, SIZE, SIZE))
    assert (told.value.cause, told.value.decisions) == ("unnamed", BLOCKS)
