"""What a model lives through, as data: it can be drawn, made simpler, and written as source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from hypothesis import strategies as st

from morphir.randomness import derive_seed
from morphir.testing.drawing import drawn
from morphir.testing.fuzzing.optimizers import OPTIMIZERS
from morphir.testing.recipe import Recipe, Step
from morphir.testing.shrinking import simpler_recipes
from morphir.testing.strategies import recipes

TRAIN: Final = "train"
SAVE: Final = "save"
SILENCE: Final = "silence"
_BETWEEN: Final = (TRAIN, TRAIN, SAVE)  # for each four passes that there are to choose from
_MAKES_WORK: Final = {  # without which the other would mostly have nothing to do
    "prune": SILENCE,
    "prune-on-data": SILENCE,
    "recycle": SILENCE,
    "mask-grow": "sparsify",
    "mask-prune": "sparsify",
    "compact": SILENCE,
    "merge": "widen",
    "shallower": "insert",
}


@final
@dataclass(frozen=True)
class Action:
    """One thing that happens to a model.

    Attributes:
        what: A name of `REQUESTS`, `"train"` (two steps), `"save"` (and load) or
            `"silence"` (some units do nothing).
        place: Which of the sites, modulo how many there are.
        number: What else there is to choose: options, and whether it is done in place.
    """

    what: str
    place: int = 0
    number: int = 0


@final
@dataclass(frozen=True)
class Scenario:
    """A model with its optimizer, and what happens to it.

    Attributes:
        recipe: The model.
        actions: What happens, in order.
        optimizer: A name of `OPTIMIZERS`.
    """

    recipe: Recipe
    actions: tuple[Action, ...]
    optimizer: str = "adam"


def scenario(seed: int, number: int, requests: Sequence[str]) -> Scenario:
    """The scenario of a number; those of one seed resemble each other no more than others.

    Args:
        seed: Seed of all scenarios.
        number: Which of them.
        requests: The passes to choose from.
    """
    between = _BETWEEN * max(1, len(requests) // 4)
    groups: list[tuple[str, ...]] = [(name,) for name in (*requests, *between)]
    groups += [(_MAKES_WORK[name], name) for name in requests if name in _MAKES_WORK]
    numbers = st.tuples(st.integers(0, 19), st.integers(0, 59))
    group = st.tuples(st.sampled_from(groups), numbers, numbers).map(_actions)
    strategy = st.builds(
        Scenario,
        recipes(min_steps=2, max_steps=7),
        st.lists(group, min_size=2, max_size=6).map(lambda found: tuple(sum(found, ()))),
        st.sampled_from([*OPTIMIZERS]),
    )
    return drawn(strategy.map(_with_heads), derive_seed(seed, "fuzz", number))


def _with_heads(scenario: Scenario) -> Scenario:
    """Attention for those who ask for heads, which few models have."""
    recipe = scenario.recipe
    if "widen-heads" not in {each.what for each in scenario.actions}:
        return scenario
    steps = (Step("attention", number=recipe.seed), *recipe.steps[1:])
    return replace(scenario, recipe=replace(recipe, steps=steps, inputs="sequence"))


def _actions(
    drawn: tuple[tuple[str, ...], tuple[int, int], tuple[int, int]],
) -> tuple[Action, ...]:
    names, *numbers = drawn
    return tuple(Action(name, *each) for name, each in zip(names, numbers, strict=False))


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Simpler scenarios, those that are simpler by most first.

    Args:
        scenario: The scenario.
    """
    actions = scenario.actions
    for number in reversed(range(len(actions) if len(actions) > 1 else 0)):
        yield replace(scenario, actions=(*actions[:number], *actions[number + 1 :]))
    for recipe in simpler_recipes(scenario.recipe):
        yield replace(scenario, recipe=recipe)
        last = actions[-1]
        if len(recipe.steps) < len(scenario.recipe.steps) and last.place:
            # A layer less is often a site less.
            moved = (*actions[:-1], replace(last, place=last.place - 1))
            yield replace(scenario, recipe=recipe, actions=moved)
    if scenario.optimizer != "adam":
        yield replace(scenario, optimizer="adam")
    for number, action in enumerate(actions):
        for plain in _simpler_actions(action):
            yield replace(scenario, actions=(*actions[:number], plain, *actions[number + 1 :]))


def _simpler_actions(action: Action) -> Iterator[Action]:
    for place in range(min(action.place, 3)):
        yield replace(action, place=place)
    for number in range(min(action.number, 3)):
        yield replace(action, number=number)
