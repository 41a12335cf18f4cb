"""Where a pass may be asked to act: names that a refusal may still decline, but that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, final

from torch import nn

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.frontend import trace
from morphir.ir import Program
from morphir.passes import MorphismPass
from morphir.testing.building import example_inputs, recipe_of


@final
@dataclass(frozen=True)
class Site:
    """A place in a module, as a factory of passes is given it.

    Attributes:
        at: Qualified name of a module that is called; "" for a pass that need not be told.
        width: How many output features it has; 0 where it has no axis of its own.
        seed: For the pass's `seed=`.

    Example:
        >>> from morphir import WiderPass
        >>> from morphir.testing import Site, check_pass
        >>> def doubled(site: Site) -> WiderPass:
        ...     return WiderPass(site.at, width=2 * site.width, init="fresh", seed=site.seed)
        >>> check_pass(doubled, modules=1, show=False).name
        'doubled'
    """

    at: str
    width: int
    seed: int = 0


def site_names(program: Program, pass_type: type[MorphismPass] | None = None) -> tuple[str, ...]:
    """The names at which a pass of a type may be asked, in the order of the first calls.

    A pass that need not be told `at=` has one site, the whole model: "". One that changes sizes is
    asked at modules that have an axis of output features, another one at any that is called.

    Args:
        program: What was recorded of a module.
        pass_type: The type; None stands for any.
    """
    if pass_type is not None and not wants_site(pass_type):
        return ("",)
    graphs = program.graphs.values()
    called = dict.fromkeys(call.module for graph in graphs for call in graph.calls)
    names = [name for name in called if name]
    if pass_type is not None and pass_type.resizes:
        groups = AxisGroups(program)
        return tuple(name for name in names if width_at(groups, name))
    return tuple(names)


def width_at(groups: AxisGroups, name: str) -> int:
    """How many output features a module has, 0 if it has no axis of its own."""
    try:
        return groups.features(name).size
    except RefusalError:
        return 0


def takes(pass_type: type[MorphismPass], option: str) -> bool:
    """Whether a pass has an option."""
    kind: Any = pass_type
    return option in {each.name for each in fields(kind)}


def wants_site(pass_type: type[MorphismPass]) -> bool:
    """Whether a pass has to be told where to act."""
    kind: Any = pass_type
    return any(each.name == "at" and each.default is MISSING for each in fields(kind))


def program_of(
    module: nn.Module, given: Any = None, entry_points: Sequence[str] | None = None
) -> Program:
    """Records a module on the inputs that are known, those of its recipe if it has one."""
    given, entry_points = known(module, given, entry_points)
    return trace(module, example_inputs=given, entry_points=entry_points)


def known(
    module: nn.Module, given: Any = None, entry_points: Sequence[str] | None = None
) -> tuple[Any, Sequence[str]]:
    """Example inputs and entry points: what is given, else what the recipe says."""
    recipe = recipe_of(module)
    if recipe is None:
        return given, ("forward",) if entry_points is None else entry_points
    chosen = recipe.entry_points if entry_points is None else entry_points
    if given is None:
        inputs = example_inputs(recipe)
        given = {name: inputs[name] for name in chosen if name in inputs}
    return given, chosen
