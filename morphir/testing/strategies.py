"""Hypothesis strategies: modules that are valid by construction and shrink to a few steps.

TESTING-1  every draw builds, runs and trains
TESTING-3  every draw is recorded
TESTING-4  sites and inputs fit the module that they are drawn for
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import torch
from hypothesis import note
from hypothesis import strategies as st
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import Program
from morphir.passes import MorphismPass
from morphir.tensors import map_tensors
from morphir.testing.building import build, example_inputs, recipe_of
from morphir.testing.places import known, program_of, site_names
from morphir.testing.recipe import OPS, Dtype, Inputs, Recipe, Step, Weights
from morphir.testing.source import to_source

_SCALES: Final = (1.0, 0.0, 1e-3, 10.0, 1e3)


def recipes(
    *,
    inputs: Sequence[Inputs] = get_args(Inputs),
    dtypes: Sequence[Dtype] = get_args(Dtype),
    min_steps: int = 0,
    max_steps: int = 8,
) -> st.SearchStrategy[Recipe]:
    """Recipes; draw these rather than modules to have shorter examples printed.

    Args:
        inputs: What the modules may take.
        dtypes: The types that their numbers may have.
        min_steps: How many steps they have at least.
        max_steps: How many steps they have at most.

    Example:
        >>> from hypothesis import find
        >>> from morphir.testing import recipes
        >>> find(recipes(), lambda recipe: "cat" in {step.op for step in recipe.steps}).steps
        (Step(op='cat', source=0, number=0),)
    """
    return st.sampled_from(inputs).flatmap(
        lambda kind: st.builds(
            Recipe,
            steps=st.lists(_steps(kind), min_size=min_steps, max_size=max_steps).map(tuple),
            inputs=st.just(kind),
            weights=st.sampled_from(get_args(Weights)),
            dtype=st.sampled_from(dtypes),
            value=st.booleans(),
            seed=st.integers(0, 99),
        )
    )


def _steps(kind: Inputs) -> st.SearchStrategy[Step]:
    back = st.just(0) | st.integers(0, 4)
    return st.builds(Step, st.sampled_from(OPS[kind]), back, st.integers(0, 15))


def modules(**options: Any) -> st.SearchStrategy[nn.Module]:
    """Modules, in train mode as torch makes them; of a failing test the source is printed.

    Args:
        **options: As for `recipes`.

    Example:
        >>> from hypothesis import given
        >>> from morphir.testing import modules
        >>> @given(modules(inputs=("image",), max_steps=3))
        ... def test_it_has_a_head(module):
        ...     assert module.head.out_features == 3
        >>> test_it_has_a_head()
    """
    return recipes(**options).map(_noted)


def _noted(recipe: Recipe) -> nn.Module:
    note(to_source(recipe))
    return build(recipe)


def graphs(**options: Any) -> st.SearchStrategy[Program]:
    """Programs that were recorded from such modules.

    Args:
        **options: As for `recipes`.

    Example:
        >>> from hypothesis import find
        >>> from morphir.testing import graphs
        >>> [*find(graphs(), lambda program: True).graphs]
        ['forward']
    """
    return modules(**options).map(program_of)


def sites(
    module: nn.Module,
    pass_type: type[MorphismPass],
    *,
    example_inputs: Any = None,
    entry_points: Sequence[str] | None = None,
) -> st.SearchStrategy[str]:
    """The names at which a pass of a type may be asked; it may still refuse them.

    Args:
        module: A module, drawn before.
        pass_type: The class of the pass.
        example_inputs: As for `morphir.trace`; not needed for modules of this kit.
        entry_points: As for `morphir.trace`.

    Raises:
        RefusalError: There is none.

    Example:
        >>> from hypothesis import find
        >>> from morphir import DeeperPass
        >>> from morphir.testing import Recipe, build, sites
        >>> find(sites(build(Recipe()), DeeperPass), lambda name: True)
        'head'
    """
    names = site_names(program_of(module, example_inputs, entry_points), pass_type)
    if not names:
        raise RefusalError(
            f"{type(module).__name__} has no place at which a {pass_type.__name__} may be asked",
            suggestions=["entry_points= with a method that calls submodules"],
        )
    return st.sampled_from(names)


def inputs_for(
    module: nn.Module,
    *,
    example_inputs: Any = None,
    entry_points: Sequence[str] | None = None,
) -> st.SearchStrategy[Mapping[str, Any]]:
    """Inputs for a module in the form of `example_inputs`: of several scales, zeros among them.

    Args:
        module: A module, drawn before.
        example_inputs: Inputs that are like those to draw; not needed for modules of this kit, nor
            where they follow from what is known about the module.
        entry_points: The methods to draw arguments for.

    Example:
        >>> from hypothesis import find
        >>> from morphir.testing import Recipe, build, inputs_for
        >>> found = find(inputs_for(build(Recipe())), lambda inputs: True)
        >>> [x.shape for x in found["forward"]]
        [torch.Size([2, 4])]
    """
    scales, seeds = st.sampled_from(_SCALES), st.integers(0, 99)
    recipe = recipe_of(module)
    if recipe is not None and example_inputs is None:
        chosen = recipe.entry_points if entry_points is None else entry_points
        rows = st.integers(2, 5)  # BatchNorm in train mode needs two
        drawn = st.builds(_drawn, st.just(recipe), rows, scales, seeds)
        return drawn.map(lambda inputs: {name: inputs[name] for name in chosen})
    given, chosen = known(module, example_inputs, entry_points)
    like = record(module, example_inputs=given, entry_points=chosen).inputs
    return st.builds(_redrawn, st.just(like), scales, seeds)


def _drawn(recipe: Recipe, rows: int, scale: float, seed: int) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = _scaled(example_inputs(recipe, rows, seed), scale)
    return inputs


def _redrawn(like: Mapping[str, Any], scale: float, seed: int) -> Mapping[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    def redraw(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point():
            return torch.randn(tensor.shape, generator=generator).to(tensor)
        if tensor.dtype is torch.bool or tensor.is_complex() or not tensor.numel():
            return tensor
        low, high = int(tensor.min()), int(tensor.max())  # what may be an index stays one
        return torch.randint(low, high + 1, tensor.shape, generator=generator).to(tensor)

    inputs: Mapping[str, Any] = _scaled(map_tensors(like, redraw), scale)
    return inputs


def _scaled(inputs: Any, scale: float) -> Any:
    def scaled(tensor: torch.Tensor) -> torch.Tensor:
        return tensor * scale if tensor.is_floating_point() else tensor

    return map_tensors(inputs, scaled)
