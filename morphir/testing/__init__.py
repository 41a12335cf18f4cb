"""A kit to test passes with: random modules, laws that every pass keeps, readable failures."""

from importlib.util import find_spec as _find_spec

if _find_spec("hypothesis") is None:
    raise ModuleNotFoundError(
        "morphir.testing needs hypothesis: pip install 'morphir[testing]'", name="hypothesis"
    )

from morphir.testing.building import build, example_inputs, recipe_of
from morphir.testing.checking import LawReport, PassReport, check_pass
from morphir.testing.failures import Case, PreservationError
from morphir.testing.fuzzing import FuzzReport, fuzz
from morphir.testing.machine import pass_machine
from morphir.testing.places import Site
from morphir.testing.preserving import assert_preserves
from morphir.testing.profiles import register_profiles
from morphir.testing.recipe import Recipe, Step
from morphir.testing.reproduction import write_reproduction
from morphir.testing.source import to_source
from morphir.testing.strategies import graphs, inputs_for, modules, recipes, sites

__all__ = [
    "Case",
    "FuzzReport",
    "LawReport",
    "PassReport",
    "PreservationError",
    "Recipe",
    "Site",
    "Step",
    "assert_preserves",
    "build",
    "check_pass",
    "example_inputs",
    "fuzz",
    "graphs",
    "inputs_for",
    "modules",
    "pass_machine",
    "recipe_of",
    "recipes",
    "register_profiles",
    "sites",
    "to_source",
    "write_reproduction",
]
