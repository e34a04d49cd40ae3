"""Where a number was made: versions, machine, threads, device."""

from __future__ import annotations

import platform
from typing import Any

import torch

from robustbench_aig import __version__
from robustbench_aig.precision import IEEE


def environment(device: torch.device) -> dict[str, Any]:
    """The provenance that runs and reports carry."""
    return {
        "robustbench_aig": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "float32": IEEE,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
