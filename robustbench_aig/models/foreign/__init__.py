"""The one entry for networks that aren't ours: copied, wrapped, tried. What fails does so here, in one line."""

from robustbench_aig.models.foreign.entry import enter
from robustbench_aig.models.foreign.torch_settings import Defaults, neutral
from robustbench_aig.models.foreign.wrapper import ForeignNetwork

__all__ = ["Defaults", "ForeignNetwork", "enter", "neutral"]
