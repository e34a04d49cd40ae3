"""Fast execution of a network for inference and attacks."""

from robustbench_aig.models.fused.convert import fused

__all__ = ["fused"]
