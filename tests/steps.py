"""Steps of training, of every kind of network by every method, on any device."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustbench_aig.data.images import resident
from robustbench_aig.distributed import World
from robustbench_aig.models import GatedResNet, ResNet
from robustbench_aig.models.preact_resnet import PreActResNet
from robustbench_aig.models.stochastic_depth import StochasticDepthResNet
from robustbench_aig.models.torchvision import torchvision_resnet
from robustbench_aig.recipes import Adversarial, Augment, Optimizer, RateLoss, Training
from robustbench_aig.training import Hardware
from robustbench_aig.training.batches import Batches
from robustbench_aig.training.epoch_sums import Tally
from robustbench_aig.training.learner import Learner
from tests.networks import CHANNELS, images

NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[float]]] = {
    "plain": (lambda: ResNet(8, 10, **CHANNELS), []),
    "preact": (lambda: PreActResNet(8, 10, **CHANNELS), []),
    "torchvision": (lambda: torchvision_resnet("resnet18", 10, **CHANNELS), []),
    "stochastic": (lambda: StochasticDepthResNet(8, 10, survivals=[0.9, 0.7, 0.5], **CHANNELS), [0.9, 0.7, 0.5]),
    "gated": (lambda: GatedResNet(8, 10, targets=[0.6, 0.6, 0.6], **CHANNELS), [0.6, 0.6, 0.6]),
    "forced": (lambda: GatedResNet(8, 10, targets=[1.0, 0.5, 1.0], **CHANNELS), [1.0, 0.5, 1.0]),
}
"""By name, a network and its target rates."""

METHODS = {
    "standard": None,
    "pgd": Adversarial(method="pgd", steps=2),
    "pgd, l2": Adversarial(method="pgd", steps=2, norm="l2", eps="0.5"),
    "trades": Adversarial(method="trades", steps=2),
    "fast": Adversarial(method="fast"),
}


def learner_of(name: str, method: str, hardware: Hardware) -> Learner:
    """Of a network with the same initial weights on every device, in training mode."""
    build, targets = NETWORKS[name]
    training = Training(
        epochs=1,
        batch=8,
        optimizer=Optimizer(lr=0.05, nesterov=True),
        label_smoothing=0.1,
        rate_loss=RateLoss() if name in ("gated", "forced") else None,
        adversarial=METHODS[method],
    )
    torch.manual_seed(0)
    network = build().to(hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Learner(network.train(), training, torch.tensor(targets, device=hardware.device), hardware)


def batches_on(device: torch.device, count: int) -> Batches:
    """An epoch of so many batches of eight images, which are stored as bytes."""
    pixels, labels, ids = images(8 * count)
    stored = resident((pixels * 255).byte().to(device), labels.to(device), ids.to(device))
    return Batches(stored, 8, Augment(crop=0.125, flip=True), seed=0, world=World())


def tally_of(learner: Learner) -> Tally:
    """An empty one."""
    return Tally.empty(len(learner.targets), learner.hardware.device)


def learned(learner: Learner, steps: int) -> dict[str, Tensor]:
    """The network's state after so many steps."""
    for batch in batches_on(learner.hardware.device, steps).epoch(0):
        learner.update(batch, lr=0.05)
    return {name: value.detach().cpu() for name, value in learner.model.state_dict().items()}
