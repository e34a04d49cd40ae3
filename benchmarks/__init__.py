"""Benchmarks of a checkout, which `aigrob bench` runs; they aren't part of the installed package."""
