"""Networks from images in [0, 1] to logits; normalisation is their first layer."""

from robustbench_aig.models.build import build_model
from robustbench_aig.models.gated_resnet import GatedBlock, GatedResNet
from robustbench_aig.models.macs import MacProfile, profile_macs
from robustbench_aig.models.resnet import ResNet

__all__ = ["GatedBlock", "GatedResNet", "MacProfile", "ResNet", "build_model", "profile_macs"]
