"""Attacks that other providers compute, one file for each of them."""
