"""How networks of public hubs are named: `timm:NAME`, `hf:OWNER/REPO`, `hub:OWNER/REPO:NAME`. No torch."""

from __future__ import annotations

from typing import Literal, get_args

Hub = Literal["timm", "hf", "hub"]
"""timm, the Hugging Face hub, torch.hub."""


def of_hub(name: str) -> bool:
    """Whether a name is that of a network of a hub, and not of a function."""
    return name.partition(":")[0] in get_args(Hub)
