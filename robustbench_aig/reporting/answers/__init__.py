"""The three questions that a report answers first, of every gated recipe under every gate policy."""

from robustbench_aig.reporting.answers.answering import answers

__all__ = ["answers"]
