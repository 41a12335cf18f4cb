"""Makes a trial simpler as long as it fails: any step may be left out, any number may be 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from morphir.testing.recipe import Recipe, Step
from morphir.testing.trials import Trial

_SIMPLE = (("inputs", "features"), ("weights", "integers"), ("dtype", "float32"),
           ("value", False), ("seed", 0))  # fmt: skip
Tried = TypeVar("Tried")


def shrunk(trial: Trial, fails: Callable[[Trial], bool], *, limit: int = 60) -> Trial:
    """The simplest trial that was found to fail.

    Args:
        trial: One that fails.
        fails: Whether another one fails in the same way.
        limit: How many to try at most.
    """
    return simplest(trial, _simpler, fails, limit)


def simplest(
    found: Tried,
    simpler: Callable[[Tried], Iterable[Tried]],
    fails: Callable[[Tried], bool],
    limit: int,
) -> Tried:
    """The simplest of what was found to fail.

    Args:
        found: What fails.
        simpler: What is simpler than something, the simplest first.
        fails: Whether another one fails in the same way.
        limit: How many to try at most.
    """
    tried = 0
    going = True
    while going:
        going = False
        for each in simpler(found):
            tried += 1
            if tried > limit:
                return found
            if fails(each):
                found, going = each, True
                break
    return found


def _simpler(trial: Trial) -> Iterator[Trial]:
    """Simpler trials, those that are simpler by most first."""
    for recipe in simpler_recipes(trial.recipe):
        yield replace(trial, recipe=recipe)
    for place in range(min(trial.place, 3)):
        yield replace(trial, place=place)
    if trial.seed:
        yield replace(trial, seed=0)


def simpler_recipes(recipe: Recipe) -> Iterator[Recipe]:
    """Simpler recipes, those that are simpler by most first.

    Args:
        recipe: The recipe.
    """
    count = len(recipe.steps)
    if count > 2:
        yield replace(recipe, steps=recipe.steps[: count // 2])
        yield replace(recipe, steps=recipe.steps[count // 2 :])
    for number in reversed(range(count)):
        yield replace(recipe, steps=(*recipe.steps[:number], *recipe.steps[number + 1 :]))
    for name, value in _SIMPLE:
        if getattr(recipe, name) != value:
            yield replace(recipe, **{name: value})  # type: ignore[arg-type]
    for number, step in enumerate(recipe.steps):
        for plain in _simpler_steps(step):
            yield replace(
                recipe, steps=(*recipe.steps[:number], plain, *recipe.steps[number + 1 :])
            )


def _simpler_steps(step: Step) -> Iterator[Step]:
    if step.source:
        yield replace(step, source=0)
    if step.number:
        yield replace(step, number=0)
