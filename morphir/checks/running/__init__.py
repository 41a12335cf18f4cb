"""Running error analysis: how far rounding may have moved each element of what a model computes."""

from morphir.checks.running.mode import RunningError

__all__ = ["RunningError"]
