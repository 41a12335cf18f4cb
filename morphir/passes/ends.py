"""The axes of a program's inputs and outputs, and how they get longer at their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, final

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import FRESH, AxisMap, Batch, Extension, Program, Value, in_eval_mode
from morphir.ops.forms import Atom, Form, Product, Sum, atoms_in

Maps = Mapping[Atom, AxisMap]


@final
class MisfitError(RefusalError):
    """An axis that can't have the width that it is to have.

    Attributes:
        nearest: A width that its blocks add up to.
    """

    def __init__(self, reason: str, name: str, nearest: int) -> None:
        self.nearest = nearest
        super().__init__(reason, nodes=[name])


class End(NamedTuple):
    """One axis of an input or output of an entry point."""

    entry_point: str
    path: str
    value: Value
    axis: int

    def form(self, groups: AxisGroups) -> Form:
        """What the axis is made of."""
        return groups.axis(self.value, self.axis)

    def leaves(self, groups: AxisGroups) -> dict[Atom, None]:
        """The leaves that the axis is made of, each of them once."""
        return dict.fromkeys(atoms_in(self.form(groups)))


def inputs_of(program: Program) -> Iterator[End]:
    """The axes of all inputs of all entry points, but for the batch.

    Raises:
        RefusalError: An entry point was recorded without inputs.
    """
    for name, graph in program.graphs.items():
        for value in graph.inputs:
            yield from _ends(name, value.name, value)


def outputs_of(program: Program) -> Iterator[End]:
    """The axes of all outputs of all entry points, but for the batch.

    Raises:
        RefusalError: An entry point was recorded without inputs.
    """
    for name, graph in program.graphs.items():
        for path, value in graph.outputs:
            yield from _ends(name, path, value)


def _ends(name: str, path: str, value: Value) -> Iterator[End]:
    entry_point = in_eval_mode(name)
    if value.type is None:
        raise RefusalError(
            f"{entry_point!r} was recorded without inputs, so no shape is known there",
            suggestions=[f"example_inputs={{{entry_point!r}: (x,)}}"],
        )
    for axis, size in enumerate(value.type.shape):
        if not isinstance(size, Batch):
            yield End(entry_point, path, value, axis)


def axes_of(ends: Iterable[End]) -> frozenset[tuple[Value, int]]:
    """The values with their axes, as `Freed` has them."""
    return frozenset((end.value, end.axis) for end in ends)


def is_looked_up(modules: Sequence[str], program: Program) -> str:
    """The op by which one of the modules looks rows of its own weight up by number, or ""."""
    for graph in program.graphs.values():
        for node in graph.nodes:
            weight = node.arguments.get("weight")
            if node.op in ("embedding", "embedding_bag") and isinstance(weight, Value):
                entry = program.state.get(weight.name)
                names = (weight.name, *(entry.aliases if entry is not None else ()))
                if any(name.rpartition(".")[0] in modules for name in names):
                    return node.op
    return ""


def is_read_by(modules: Sequence[str], end: End, program: Program, groups: AxisGroups) -> bool:
    """Whether an axis of an input is one of the modules' own parameters or buffers."""
    names = (
        known
        for leaf in end.leaves(groups)
        for place in groups.groups[leaf].state
        if isinstance(place.tensor, str)
        for known in (place.tensor, *program.state[place.tensor].aliases)
    )
    return any(name.startswith(f"{module}.") for name in names for module in modules)


def longer(asked: Iterable[tuple[str, Form]], width: int) -> dict[Atom, AxisMap]:
    """The maps that give axes their new width, of the leaves that they end with.

    Args:
        asked: The axes, with a name for each.
        width: Their new width; what has it already does not change.

    Raises:
        MisfitError: One is longer already, or comes in blocks that do not add up to it.
    """
    maps: dict[Atom, AxisMap] = {}
    for name, form in asked:
        leaf, each = _last(form)
        more, rest = divmod(width - form.size, each)
        if more < 0 or rest:
            in_blocks = f", which come in blocks of {each}" if rest else ""
            raise MisfitError(
                f"{name!r} has {form.size} features{in_blocks}, and can't get longer to have "
                f"width={width}",
                name,
                form.size + each * max(more + 1, 1),
            )
        if more:
            maps[leaf] = AxisMap.copies(leaf.size, [*range(leaf.size), *[FRESH] * more])
    return maps


def _last(form: Form) -> tuple[Atom, int]:
    """The leaf whose new units make the axis longer at its end, by how many positions each."""
    match form:
        case Sum(terms=terms):
            return _last(terms[-1])
        case Product(factors=factors):
            leaf, each = _last(factors[0])
            return leaf, each * (form.size // factors[0].size)
        case _:
            return form, 1


def extensions(groups: AxisGroups, ends: Sequence[End], maps: Maps) -> tuple[Extension, ...]:
    """What the ends come to, once for both modes.

    Raises:
        RefusalError: The new positions would stand among the old ones, or two axes would change.
    """
    found: dict[Extension, None] = {}
    for end in ends:
        form = end.form(groups)
        leaf, each = _last(form)
        if [atom for atom in atoms_in(form) if atom in maps] != [leaf]:
            raise RefusalError(
                f"the new positions of {repr(end.path) if end.path else 'the output'} of "
                f"{end.entry_point!r} would not come after the old ones",
                nodes=[f"{end.path or 'output'}: {end.value.type}"],
                suggestions=["a forward that returns the parts one by one"],
            )
        more = (len(maps[leaf].source) - leaf.size) * each
        place = end.entry_point, end.path, end.axis
        found[Extension(*place, form.size, form.size + more)] = None
    changed = Counter((each.entry_point, each.path) for each in found)
    for (entry_point, path), count in changed.items():
        if count > 1:
            what = repr(path) if path else "the output"
            raise RefusalError(
                f"{count} axes of {what} of {entry_point!r} would have to get longer"
            )
    return tuple(found)
