"""From recipes to modules, and back to the recipe that a module was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import torch
from torch import nn

from morphir.testing.recipe import Recipe
from morphir.testing.source import to_source

_RECIPE: Final = "_morphir_recipe"


def build(recipe: Recipe) -> nn.Module:
    """Builds the module by running its source; two of one recipe are of one class.

    Args:
        recipe: The recipe.

    Example:
        >>> import torch
        >>> from morphir.testing import Recipe, build
        >>> first, second = build(Recipe()), build(Recipe())
        >>> torch.equal(first.head.weight, second.head.weight)
        True
    """
    module: nn.Module = _namespace(recipe)["make"]()
    return module


def recipe_of(module: nn.Module) -> Recipe | None:
    """The recipe from which a module or the one that it grew out of was built, if it was.

    Args:
        module: Any module.

    Example:
        >>> from morphir.testing import Recipe, build, recipe_of
        >>> recipe_of(build(Recipe(inputs="image"))).inputs
        'image'
    """
    found = getattr(type(module), _RECIPE, None)
    return found if isinstance(found, Recipe) else None


def example_inputs(
    recipe: Recipe, rows: int = 3, seed: int = 0
) -> dict[str, tuple[torch.Tensor, ...]]:
    """Arguments for every entry point of a recipe's module.

    Args:
        recipe: The recipe.
        rows: How many rows the batch has.
        seed: Seed of the numbers.

    Example:
        >>> from morphir.testing import Recipe, example_inputs
        >>> {name: x.shape for name, (x,) in example_inputs(Recipe(value=True), rows=2).items()}
        {'forward': torch.Size([2, 4]), 'value': torch.Size([2, 4])}
    """
    given: dict[str, tuple[torch.Tensor, ...]] = _namespace(recipe)["example_inputs"](rows, seed)
    return given


@lru_cache(maxsize=256)
def _namespace(recipe: Recipe) -> Mapping[str, Any]:
    source = to_source(recipe)
    # Programs and messages name lines of it.
    name = f"recipe_{hashlib.sha256(source.encode()).hexdigest()[:8]}.py"
    namespace: dict[str, Any] = {"__name__": name.removesuffix(".py")}
    exec(compile(source, name, "exec"), namespace)
    setattr(namespace["Net"], _RECIPE, recipe)
    return namespace
