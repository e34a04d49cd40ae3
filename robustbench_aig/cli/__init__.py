"""The command line; the only room that knows click and rich."""

from robustbench_aig.cli.app import main

__all__ = ["main"]
