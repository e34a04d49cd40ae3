"""Trials of recipes whose gates choose, and their judge."""
