"""No adapter is believed untried: whatever it gets wrong is named, and none that is right is refused."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from examples import skipnet
from robustbench_aig.errors import InputError
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.models import adapt
from robustbench_aig.models.adapter_trial import Tried, try_adapter
from tests.models.foreign import BLOCKS, WIDTH, SampledBlock, adapted, recurrent, sampled
from tests.models.gated_by_others import RIGHT, SOFT, Gumbel, Scored, TwoLogits, right_scored, scored
from tests.networks import gated, images

X = images(16)[0]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_ones_are_accepted(name: str) -> None:
    net = RIGHT[name]()
    with torch.no_grad(), gating(net, Argmax()) as trace:
        net(X)
    assert try_adapter(net, X) == Tried(trace.gates, soft=name in SOFT)


def test_a_network_in_half_precision_may_be_read_so() -> None:
    """What is coarse is the network, not `read`."""
    net = right_scored().bfloat16()
    assert try_adapter(net, X.bfloat16()) == Tried(BLOCKS, soft=False)


def test_a_gate_whose_probability_is_saturated_throughout_is_told() -> None:
    net = scored()
    with torch.no_grad():
        net.gates[2].get_parameter("bias").add_(1e3)
    adapt(
        net,
        gates=list(net.gates),
        blocks=list(net.blocks),
        read=lambda _, s: s[:, 0].sigmoid().logit(1e-6),
        write=write,
    )
    tried = try_adapter(net, X)
    assert tried is not None
    assert 2 in tried.still


def test_the_example_is_accepted() -> None:
    torch.manual_seed(0)
    assert try_adapter(skipnet.network().eval(), torch.rand(8, 1, 8, 8)) == Tried(9, soft=True)


def test_networks_without_an_adapter_are_not_tried() -> None:
    assert try_adapter(gated(), X) is None
    assert try_adapter(nn.Flatten(), X) is None


def test_the_network_is_left_as_it_was() -> None:
    net = RIGHT["one recurrent gate"]().train()
    hooks = [len(module._forward_hooks) for module in net.modules()]
    state = torch.get_rng_state()
    try_adapter(net, X)
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert [len(module._forward_hooks) for module in net.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), state)


def read(_: object, s: Tensor) -> Tensor:
    return s[:, 0]


def write(_: object, z: Tensor) -> Tensor:
    return (2 * z - 1)[:, None]


Blocks = Callable[[Scored], Sequence[nn.Module | Sequence[nn.Module]]]

READS: dict[str, tuple[Callable[..., Tensor], str]] = {
    "the wrong sign": (lambda _, s: -s[:, 0], "read has the wrong sign"),
    "a probability": (lambda _, s: s[:, 0].sigmoid(), "read returns a probability instead of a logit"),
    "an offset": (lambda _, s: s[:, 0] + 0.5, "read returns an offset|was read as"),
    "an offset the other way": (lambda _, s: s[:, 0] - 0.5, "read returns an offset|was read as"),
    "no gradient": (lambda _, s: s[:, 0].detach(), "gradient of what read returns .* is zero for all 16 images"),
    "a saturated probability": (
        lambda _, s: (1e4 * s[:, 0]).sigmoid().logit(1e-6),
        "gradient of what read returns .* is zero for all",
    ),
    "a gradient of NaN": (
        lambda _, s: s[:, 0] + 0 * (s[:, 0] - s[:, 0]).sqrt(),
        "gradient of what read returns .* is NaN",
    ),
    "infinity": (lambda _, s: (1e4 * s[:, 0]).sigmoid().logit(), "returns NaN or infinity for decision 0"),
    "half precision": (lambda _, s: s[:, 0].half(), "read rounds decision 0 to half precision"),
    "half precision and back": (lambda _, s: s[:, 0].half().float(), "read rounds decision 0 to half precision"),
    "a probability in half precision": (
        lambda _, s: s[:, 0].sigmoid().half().float().logit(1e-6),
        "gradient of what read returns .* is NaN|is exactly 0",
    ),
    "a rounded score": (
        lambda _, s: s[:, 0] + (0.00173 * (500 * s[:, 0]).round() - s[:, 0]).detach(),
        "close to its threshold what read returns is exactly 0",
    ),
    "a decision": (lambda _, s: s[:, 0].sign(), "read rounds decision [123]"),
    "the batch": (lambda _, s: s[:, 0] - 0.1 * s.mean(), "depends on the other images of its batch"),
    "other images": (lambda _, s: s[:, 0].flip(0), "depends on the other images of its batch"),
    "a size": (lambda _, s: s[:, 0].abs(), "doesn't return its own logits"),
}


@pytest.mark.parametrize("name", READS)
def test_a_wrong_read_is_named(name: str) -> None:
    wrong, says = READS[name]
    _refused(says, read=wrong)


WRITES: dict[str, tuple[Callable[..., Tensor], str]] = {
    "nothing": (lambda s, _: s, "write ignores the decisions"),
    "a constant": (lambda s, _: torch.ones_like(s), "write ignores the decisions"),
    "the wrong sign": (
        lambda _, z: (1 - 2 * z)[:, None],
        r"write has the opposite sign: Scored runs block 0, 'blocks\.0'",
    ),
    "the first image's": (lambda _, z: (2 * z[:1] - 1).expand(len(z))[:, None], "doesn't return its own logits"),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_wrong_write_is_named(name: str) -> None:
    wrong, says = WRITES[name]
    _refused(says, write=wrong)


def test_two_wrong_signs_do_not_make_a_right() -> None:
    _refused(
        "read and write have the opposite sign", read=lambda _, s: -s[:, 0], write=lambda _, z: (1 - 2 * z)[:, None]
    )


def test_a_write_that_ignores_one_decision_is_named() -> None:
    """As one does that was written for a shared gate, and counts its calls wrongly."""

    def forgets(s: Tensor, z: Tensor) -> Tensor:
        calls.append(s)
        return torch.ones_like(s) if len(calls) % BLOCKS == 3 else write(s, z)

    calls: list[Tensor] = []
    _refused("write ignores decision 2", write=forgets)


BLOCK_LISTS: dict[str, tuple[Blocks, str]] = {
    "reversed": (lambda net: list(net.blocks)[::-1], r"another order .*: decision 0 skips block 3, 'blocks\.0'"),
    "shifted": (lambda net: [*list(net.blocks)[1:], net.blocks[0]], "blocks have another order"),
    "swapped": (
        lambda net: [net.blocks[number] for number in (0, 2, 1, 3)],
        r"decision 1 skips block 2, 'blocks\.1', and not 'blocks\.2'",
    ),
    "a part": (
        lambda net: [block.get_submodule("0") for block in net.blocks],
        r"block 0 is more than was named: 'blocks\.0\.2'",
    ),
    "the next gate": (
        lambda net: [[net.blocks[0], net.gates[1]], *list(net.blocks)[1:]],
        "the gate of decision 1 lies inside block 0",
    ),
    "what always runs": (
        lambda net: [[net.blocks[0], net.stem], *list(net.blocks)[1:]],
        "'blocks.0' and 'stem' can't be skipped by decision 0",
    ),
    "what comes after": (
        lambda net: [*list(net.blocks)[:3], [net.blocks[3], net.head]],
        "'blocks.3' and 'head' can't be skipped by decision 3",
    ),
}


@pytest.mark.parametrize("name", BLOCK_LISTS)
def test_wrong_blocks_are_named(name: str) -> None:
    blocks, says = BLOCK_LISTS[name]
    _refused(says, blocks=blocks)


def test_one_block_for_all_decisions_is_refused_although_it_is_said_so() -> None:
    _refused(r"block 1 is more than was named: 'blocks\.1", blocks=lambda net: [net.blocks[0]] * BLOCKS, shared=True)


@pytest.mark.parametrize("forgotten", range(BLOCKS))
def test_a_forgotten_gate_is_named(forgotten: int) -> None:
    """The first is open for every image here; it's a decision all the same."""
    others = [number for number in range(BLOCKS) if number != forgotten]
    net = scored()
    adapt(
        net,
        gates=[net.gates[number] for number in others],
        blocks=[net.blocks[number] for number in others],
        read=read,
        write=write,
    )
    with pytest.raises(InputError, match=rf"no gate is named for: .*'(gates|blocks)\.{forgotten}"):
        try_adapter(net, X)


OPEN: dict[str, Callable[..., Tensor]] = {
    "a probability": lambda _, s: (s[:, 1] - s[:, 0]).sigmoid(),
    "an offset": lambda _, s: s[:, 1] - s[:, 0] + 1,
    "a constant": lambda _, s: torch.ones_like(s[:, 0]),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_wrong_read_is_named_though_all_gates_are_open_for_all_images(name: str) -> None:
    torch.manual_seed(0)
    net = TwoLogits(bias=5.0).eval()
    with torch.no_grad():
        assert all(bool((gate(torch.zeros(1, WIDTH))[:, 1] > 4).all()) for gate in net.gates)
    adapt(
        net,
        gates=list(net.gates),
        blocks=list(net.blocks),
        read=OPEN[name],
        write=lambda _, z: torch.stack([1 - z, z], 1) * 4,
    )
    with pytest.raises(InputError, match="doesn't return its own logits"):
        try_adapter(net, X)


def test_a_wrong_read_is_named_though_the_network_draws() -> None:
    net = sampled()
    inner = [block for block in net if isinstance(block, SampledBlock)]
    for block in inner:
        block.sampler = Gumbel()
    adapt(
        net,
        gates=[block.sampler for block in inner],
        blocks=[[block.conv1, block.conv2] for block in inner],
        read=lambda inputs, _: (inputs[0][:, 0] - inputs[0][:, 1]).flatten(),
        write=lambda _, z: torch.stack([1 - z, z], 1)[..., None, None],
    )
    with pytest.raises(InputError, match="Sequential draws its decisions, and over 40 draws its mean logits are far"):
        try_adapter(net, X)


class SecondHead(nn.Module):
    """A gate without one small output: a convolution's mean against a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.looks, self.extra = scored(), nn.Conv2d(3, 8, 3), nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        bright = (x.mean((1, 2, 3)) > X.mean()).float()[:, None]
        logits: Tensor = self.inner(x) + bright * self.extra(x.mean((2, 3)))
        return logits


def test_what_matters_for_some_images_only_is_named() -> None:
    net = SecondHead().eval()
    inner = net.inner
    adapt(net, gates=list(inner.gates), blocks=list(inner.blocks), read=read, write=write)
    with pytest.raises(InputError, match=r"no gate .*: what 'extra' returns matters for \d+ of 64 images only"):
        try_adapter(net, X)


def test_a_gate_that_looks_at_what_a_closed_block_computed_is_named() -> None:
    class Peeks(Scored):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem((x - 0.5) * 8)
            score = self.gates[0](x.mean((2, 3)))
            for number, block in enumerate(self.blocks):
                computed = block(x)
                x = x + (score > 0).to(x)[..., None, None] * computed
                score = self.gates[(number + 1) % BLOCKS](computed.mean((2, 3))) if number < BLOCKS - 1 else score
            logits: Tensor = self.head(x.mean((2, 3)))
            return logits

    torch.manual_seed(0)
    net = Peeks().eval()
    adapt(net, gates=list(net.gates), blocks=list(net.blocks), read=read, write=write)
    with pytest.raises(InputError, match=r"'blocks\.0' can't be skipped by decision 0: .* its other gates say"):
        try_adapter(net, X)


def test_a_gate_that_is_asked_for_some_images_only_is_named() -> None:
    class Gathers(Scored):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem((x - 0.5) * 8)
            for gate, block in zip(self.gates, self.blocks, strict=True):
                bright = (x.mean((1, 2, 3)) > 0).nonzero()[:, 0]
                z = (gate(x[bright].mean((2, 3))) > 0).to(x)
                x = x.index_add(0, bright, z[..., None, None] * block(x[bright]))
            logits: Tensor = self.head(x.mean((2, 3)))
            return logits

    torch.manual_seed(0)
    net = Gathers().eval()
    adapt(net, gates=list(net.gates), blocks=list(net.blocks), read=read, write=write)
    with pytest.raises(InputError, match=r"decision 0 was made for \d+ of 16 images"):
        try_adapter(net, X)


def test_one_image_is_enough_to_be_tried_on() -> None:
    assert try_adapter(adapted(recurrent()), X[:1]) == Tried(BLOCKS, soft=True)


def _refused(
    says: str,
    *,
    read: Callable[..., Tensor] = read,
    write: Callable[..., Tensor] = write,
    blocks: Blocks = lambda net: list(net.blocks),
    shared: bool = False,
) -> None:
    net = scored()
    adapt(net, gates=list(net.gates), blocks=blocks(net), read=read, write=write, shared=shared)
    with pytest.raises(InputError, match=says):
        try_adapter(net, X)
