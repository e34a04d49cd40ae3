"""Adversarial robustness of networks that choose their own computation."""

__version__ = "0.1.0"
