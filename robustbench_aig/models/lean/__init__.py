"""Fast execution of a network for inference and attacks."""

from robustbench_aig.models.lean.convert import lean

__all__ = ["lean"]
