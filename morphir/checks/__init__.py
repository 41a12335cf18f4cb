"""The checkers; they import nothing from the passes, the frontend or the backend."""

from morphir.checks.calling import Arguments, Observation, double_copy, observe, private_copy
from morphir.checks.carried import Carried, belongings, check_carried
from morphir.checks.certificate import check_certificate
from morphir.checks.commits import Commits
from morphir.checks.differential import check_double, check_native
from morphir.checks.extended import Extended
from morphir.checks.inventory import Inventory
from morphir.checks.kept import Original, check_kept
from morphir.checks.learning import check_learning
from morphir.checks.measured import check_on_data, check_within
from morphir.checks.rounding import check_rounding, holding

__all__ = [
    "Arguments",
    "Carried",
    "Commits",
    "Extended",
    "Inventory",
    "Observation",
    "Original",
    "belongings",
    "check_carried",
    "check_certificate",
    "check_double",
    "check_kept",
    "check_learning",
    "check_native",
    "check_on_data",
    "check_rounding",
    "check_within",
    "double_copy",
    "holding",
    "observe",
    "private_copy",
]
