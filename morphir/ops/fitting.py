"""Fits a layout to a call of other sizes: which size each of its atoms has there.

    AXIS-11  what a layout says of its own call it says of every call that has other sizes of its
             atoms, and the numbers that follow

It may say more than the layout of that call: of a view of two heads that lost one, the call's own
layout has no factor left (AXIS-6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from morphir.ops.axes import Layout
from morphir.ops.forms import Atom, Form, Product, atoms_in, parts_of, rename
from morphir.ops.paths import read_path

Shapes = Sequence[tuple[int, ...]]


def fitted(
    layout: Layout, operands: Shapes, outputs: Shapes, arguments: Mapping[str, Any]
) -> dict[Atom, Atom]:
    """Each atom of a layout as it is in another call of the same op.

    Args:
        layout: The layout of the one call.
        operands: The shapes of the other one's operands.
        outputs: Those of its results.
        arguments: All of its arguments, defaults filled in.

    Raises:
        ValueError: It is no call of this layout, or a size can't be told.
    """
    sizes = {atom: atom.size for atom, role in layout.roles.items() if role.maps == "identity"}
    pending = [*_equations(layout, operands, outputs, arguments)]
    while pending:
        left = [(form, size) for form, size in pending if not _solve(form, size, sizes)]
        if len(left) == len(pending):
            raise ValueError(f"the sizes of {left[0][0]} can't be told from {left[0][1]} units")
        pending = left
    for tied in layout.ties:
        if len({_size(form, sizes) for form in tied}) > 1:
            raise ValueError(f"{' and '.join(map(str, tied))} have to stay of equal size")
    return {atom: Atom(atom.name, sizes[atom]) for atom in layout.roles}


def at_sizes(layout: Layout, there: Mapping[Atom, Atom]) -> Layout:
    """The same layout with atoms of other sizes."""
    operands, outputs = (
        tuple(tuple(rename(form, there) for form in axes) for axes in tensors)
        for tensors in (layout.operands, layout.outputs)
    )
    return Layout(
        operands,
        outputs,
        {there[atom]: role for atom, role in layout.roles.items()},
        tuple(replace(rule, form=rename(rule.form, there)) for rule in layout.sizes),
        tuple(tuple(rename(form, there) for form in tied) for tied in layout.ties),
    )


def _equations(
    layout: Layout, operands: Shapes, outputs: Shapes, arguments: Mapping[str, Any]
) -> Iterator[tuple[Form, int]]:
    """The forms whose sizes are known: dimensions, and what numbers follow."""
    forms, shapes = (*layout.operands, *layout.outputs), (*operands, *outputs)
    if [*map(len, forms)] != [*map(len, shapes)]:
        raise ValueError(f"found the shapes {shapes}, expected those of {layout}")
    for axes, shape in zip(forms, shapes, strict=True):
        yield from zip(axes, shape, strict=True)
    for rule in layout.sizes:
        try:
            number = read_path(arguments, rule.path)
        except (LookupError, AttributeError, TypeError):
            number = None
        if not isinstance(number, int):
            raise ValueError(f"found {number!r} where the size of {rule.form} was")
        yield rule.form, rule.sign * number


def _solve(form: Form, size: int, sizes: dict[Atom, int]) -> bool:
    """Whether all atoms of a form are known, or one that was not could be told from its size.

    Raises:
        ValueError: The form can't have that size.
    """
    if isinstance(form, Atom) and form not in sizes:
        if size < 1:
            raise ValueError(f"{form} has no units there")
        sizes[form] = size
    unknown = [part for part in parts_of(form) if not sizes.keys() >= {*atoms_in(part)}]
    if not unknown:
        if _size(form, sizes) != size:
            raise ValueError(f"found {size} units, and {form} has {_size(form, sizes)} there")
        return True
    if len(unknown) > 1:
        return False
    known = [_size(part, sizes) for part in parts_of(form) if part is not unknown[0]]
    if isinstance(form, Product):
        if not prod(known) or size % prod(known):
            raise ValueError(
                f"found {size} units, and {form} has a multiple of {prod(known)} there"
            )
        return _solve(unknown[0], size // prod(known), sizes)
    return _solve(unknown[0], size - sum(known), sizes)


def _size(form: Form, sizes: Mapping[Atom, int]) -> int:
    if isinstance(form, Atom):
        return sizes[form]
    each = [_size(part, sizes) for part in parts_of(form)]
    return prod(each) if isinstance(form, Product) else sum(each)
