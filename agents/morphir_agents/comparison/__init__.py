"""Runs beside each other: curves of every seed, figures with intervals, and how to repeat them."""

from morphir_agents.comparison.writing import compare

__all__ = ["compare"]
