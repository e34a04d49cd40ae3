"""Networks from images in [0, 1] to logits; normalisation is their first layer."""

from robustbench_aig.models.adapt import ForeignGate, adapt
from robustbench_aig.models.defended import defended
from robustbench_aig.models.foreign import ForeignNetwork
from robustbench_aig.models.fused import fused
from robustbench_aig.models.gated_resnet import GatedBlock, GatedResNet, shares_draws
from robustbench_aig.models.macs import MacProfile, UnknownMacs, adapted_blocks, profile_macs
from robustbench_aig.models.network_factory import build_model
from robustbench_aig.models.network_figures import matched_depth, measure
from robustbench_aig.models.own import load_own
from robustbench_aig.models.resnet import ResNet

__all__ = [
    "ForeignGate",
    "ForeignNetwork",
    "GatedBlock",
    "GatedResNet",
    "MacProfile",
    "ResNet",
    "UnknownMacs",
    "adapt",
    "adapted_blocks",
    "build_model",
    "defended",
    "fused",
    "load_own",
    "matched_depth",
    "measure",
    "profile_macs",
    "shares_draws",
]
