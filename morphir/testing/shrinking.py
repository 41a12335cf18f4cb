"""Makes a trial simpler as long as it fails: any step may be left out, any number may be 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from morphir.testing.recipe import Recipe, Step
from morphir.testing.trials import Trial

_SIMPLE = (("inputs", "features"), ("weights", "integers"), ("dtype", "float32"),
           ("value", False), ("seed", 0))  # fmt: skip


def shrunk(trial: Trial, fails: Callable[[Trial], bool], *, limit: int = 60) -> Trial:
    """The simplest trial that was found to fail.

    Args:
        trial: One that fails.
        fails: Whether another one fails in the same way.
        limit: How many to try at most.
    """
    tried = 0
    going = True
    while going:
        going = False
        for simpler in _simpler(trial):
            tried += 1
            if tried > limit:
                return trial
            if fails(simpler):
                trial, going = simpler, True
                break
    return trial


def _simpler(trial: Trial) -> Iterator[Trial]:
    """Simpler trials, those that are simpler by most first."""
    recipe = trial.recipe
    count = len(recipe.steps)
    if count > 2:
        yield _with(trial, steps=recipe.steps[: count // 2])
        yield _with(trial, steps=recipe.steps[count // 2 :])
    for number in reversed(range(count)):
        yield _with(trial, steps=(*recipe.steps[:number], *recipe.steps[number + 1 :]))
    for name, value in _SIMPLE:
        if getattr(recipe, name) != value:
            yield _with(trial, **{name: value})
    for place in range(min(trial.place, 3)):
        yield replace(trial, place=place)
    if trial.seed:
        yield replace(trial, seed=0)
    for number, step in enumerate(recipe.steps):
        for simpler in _simpler_steps(step):
            steps = (*recipe.steps[:number], simpler, *recipe.steps[number + 1 :])
            yield _with(trial, steps=steps)


def _simpler_steps(step: Step) -> Iterator[Step]:
    if step.source:
        yield replace(step, source=0)
    if step.number:
        yield replace(step, number=0)


def _with(trial: Trial, **changes: object) -> Trial:
    recipe: Recipe = replace(trial.recipe, **changes)  # type: ignore[arg-type]
    return replace(trial, recipe=recipe)
