"""Layouts of calls, computed once for all calls of an op on the same shapes and numbers.

A network repeats itself: the thousand layers of one width have one layout. Its atoms belong to
nobody; a `BoundLayout` says which atoms of the program stand for them in one call.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from morphir.ops import Atom, Form, Layout, Op
from morphir.ops.forms import rename


@final
@dataclass(frozen=True, eq=False, slots=True)
class BoundLayout:
    """The layout of one call.

    Attributes:
        layout: The layout, which other calls may share.
        atoms: Each of its atoms to the atom of the program that stands for it here.
    """

    layout: Layout
    atoms: Mapping[Atom, Atom]

    def form(self, form: Form) -> Form:
        """A form of the layout in atoms of the program."""
        return rename(form, self.atoms)


def bind(
    layout: Layout, tensors: Iterable[tuple[Atom, ...]]
) -> tuple[BoundLayout, list[tuple[Atom, Form]]]:
    """Lets the atoms of a call's tensors stand for those of its layout.

    Args:
        layout: The layout.
        tensors: The atoms of the dimensions of each operand, then of each output.

    Returns:
        The bound layout, and what is left to be unified: dimensions with forms, both of the
        program.
    """
    atoms: dict[Atom, Atom] = {}
    rest: list[tuple[Atom, Form]] = []
    for dims, axes in zip(tensors, (*layout.operands, *layout.outputs), strict=True):
        for dim, form in zip(dims, axes, strict=True):
            if isinstance(form, Atom) and form not in atoms:
                atoms[form] = dim
            else:
                rest.append((dim, form))
    for atom in layout.roles:
        if atom not in atoms:  # it only stands in products and sums
            atoms[atom] = Atom(atom.name, atom.size)
    return BoundLayout(layout, atoms), [(dim, rename(form, atoms)) for dim, form in rest]


@final
class LayoutCache:
    """The layouts that were asked for so far."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Layout | str] = {}

    def layout(self, op: Op, arguments: Mapping[str, Any], outputs: Sequence[Any]) -> Layout:
        """Does what `Op.layout` does, once for calls that it cannot tell apart.

        Raises:
            ValueError: The shapes do not fit the declaration.
        """
        key = (
            op,
            tuple((name, _key(argument)) for name, argument in arguments.items()),
            tuple(output.shape for output in outputs),
        )
        found = self._known.get(key)
        if found is None:
            try:
                found = op.layout(arguments, outputs)
            except ValueError as error:
                found = str(error)
            self._known[key] = found
        if isinstance(found, str):
            raise ValueError(found)
        return found


def _key(argument: Any) -> Hashable:
    """What a layout can tell of an argument; with its type, as `1 == 1.0 == True`."""
    kind = type(argument)
    if kind is tuple:
        return tuple(map(_key, argument))
    if kind is slice:
        return slice, *map(_key, (argument.start, argument.stop, argument.step))
    shape = getattr(argument, "shape", None)
    return (kind, argument if shape is None else shape)
