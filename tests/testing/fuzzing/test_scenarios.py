"""Scenarios: drawn from a seed, varied, and made simpler."""

from collections import Counter

from morphir.testing import Recipe, Step
from morphir.testing.fuzzing import Action, Scenario
from morphir.testing.fuzzing.optimizers import OPTIMIZERS
from morphir.testing.fuzzing.requests import REQUESTS
from morphir.testing.fuzzing.scenarios import SAVE, SILENCE, TRAIN, scenario, simpler
from morphir.testing.shrinking import simplest


def test_fuzz_6_a_seed_and_a_number_are_a_scenario():
    """FUZZ-6"""
    drawn = [scenario(3, number, [*REQUESTS]) for number in range(40)]
    assert drawn[7] == scenario(3, 7, [*REQUESTS])
    assert drawn[7] != scenario(4, 7, [*REQUESTS])
    assert len(set(drawn)) == 40
    names = Counter(action.what for each in drawn for action in each.actions)
    assert names.keys() == {*REQUESTS, TRAIN, SAVE, SILENCE}
    assert len({each.optimizer for each in drawn}) > len(OPTIMIZERS) / 2
    assert len({each.recipe.dtype for each in drawn}) == 3


def test_what_was_not_chosen_does_not_occur():
    names = {a.what for n in range(20) for a in scenario(0, n, ["merge"]).actions}
    assert names == {"widen", "merge", TRAIN, SAVE}, "a merge has nothing to do without copies"


def test_who_asks_for_heads_has_attention():
    for number in range(10):
        each = scenario(0, number, ["widen-heads"])
        asked = "widen-heads" in {action.what for action in each.actions}
        assert not asked or each.recipe.steps[0].op == "attention"


def test_fuzz_6_what_is_not_needed_goes():
    """FUZZ-6"""
    steps = tuple(Step(op, 1, 3) for op in ("linear", "relu", "cat", "gate"))
    actions = Action("train", 4, 5), Action("widen", 9, 8), Action("insert", 7, 6), Action("save")
    large = Scenario(Recipe(steps, "image", "random", "bfloat16", True, 9), actions, "asgd")

    def fails(each: Scenario) -> bool:
        ops = {step.op for step in each.recipe.steps}
        return "cat" in ops and "insert" in {action.what for action in each.actions}

    small = Scenario(Recipe((Step("cat"),)), (Action("insert"),))
    assert simplest(large, simpler, fails, 200) == small
    assert next(simpler(small)).recipe.steps == ()
