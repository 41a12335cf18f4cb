"""Random lives of random models, and what holds against independent evidence in none of them."""

from morphir.testing.fuzzing.findings import Finding, FoundError
from morphir.testing.fuzzing.life import live
from morphir.testing.fuzzing.report import FuzzReport
from morphir.testing.fuzzing.running import fuzz
from morphir.testing.fuzzing.scenarios import Action, Scenario

__all__ = ["Action", "Finding", "FoundError", "FuzzReport", "Scenario", "fuzz", "live"]
