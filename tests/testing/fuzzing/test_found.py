"""What `morphir fuzz` has found, each as the small life that it came down to.

They are lived through again here; beside each stands what was wrong.
"""

from typing import Final

import pytest

from morphir.testing import Recipe, Step
from morphir.testing.fuzzing import Action, Scenario, live
from morphir.testing.fuzzing.life import Tally

FOUND: Final = {
    # "KEPT-7: ax did not go along with the units": fresh units have random numbers, and a mean of
    # parameters starts where they do. No fresh widening with ASGD went through.
    "a mean of parameters at fresh units": (
        Scenario(
            Recipe((Step("conv", number=15), Step("grouped_conv", number=5)), inputs="image"),
            (Action("widen-fresh", number=1),),
            "asgd",
        ),
        ("widen-fresh", "PROVED"),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_fuzz_1_what_was_found_is_mended(name: str):
    """FUZZ-1"""
    (scenario, outcome), tally = FOUND[name], Tally()
    live(scenario, tally=tally)
    assert outcome in tally.outcomes
