"""The checkers; they import nothing from the passes, the frontend or the backend."""

from morphir.checks.calling import Arguments, Observation, double_copy, observe, private_copy
from morphir.checks.carried import Carried, belongings, check_carried
from morphir.checks.certificate import check_certificate
from morphir.checks.commits import Commits
from morphir.checks.compiled import check_compiled
from morphir.checks.differential import check_double
from morphir.checks.extended import Extended
from morphir.checks.given import Given, check_given
from morphir.checks.gradients import check_gradients
from morphir.checks.inventory import Inventory
from morphir.checks.kept import Original, check_kept
from morphir.checks.learning import check_learning
from morphir.checks.measured import check_drift, check_on_data, check_within
from morphir.checks.native import check_native
from morphir.checks.renewed import Renewed, check_renewed, kept_of
from morphir.checks.round_trip import check_round_trip
from morphir.checks.rounding import check_rounding, holding
from morphir.checks.statistics import check_statistics

__all__ = [
    "Arguments",
    "Carried",
    "Commits",
    "Extended",
    "Given",
    "Inventory",
    "Observation",
    "Original",
    "Renewed",
    "belongings",
    "check_carried",
    "check_certificate",
    "check_compiled",
    "check_double",
    "check_given",
    "check_gradients",
    "check_kept",
    "check_learning",
    "check_drift",
    "check_native",
    "check_on_data",
    "check_renewed",
    "check_round_trip",
    "check_rounding",
    "check_statistics",
    "check_within",
    "double_copy",
    "holding",
    "kept_of",
    "observe",
    "private_copy",
]
