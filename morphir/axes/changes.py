"""The changes of state entries: each dimension's normal form with maps and polarities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import takewhile

from morphir.axes.flow import Flow
from morphir.axes.polarity import Polarities, Spot
from morphir.ir import (
    Added,
    AttributeChange,
    AxisMap,
    Mapped,
    ModuleAttribute,
    Multiplied,
    TensorChange,
)
from morphir.ir.change import AxisChange
from morphir.ops import Atom, Form
from morphir.ops.forms import Product, atoms_in, parts_of


def tensor_change(
    flow: Flow, name: str, maps: Mapping[Atom, AxisMap], polarities: Mapping[Atom, Polarities]
) -> TensorChange:
    """How the axes of a state entry change."""
    return tuple(
        _axis_change(flow.form(atom), maps, polarities, name, axis, Counter())
        for axis, atom in enumerate(flow.state[name].atoms)
    )


def _axis_change(
    form: Form,
    maps: Mapping[Atom, AxisMap],
    polarities: Mapping[Atom, Polarities],
    name: str,
    axis: int,
    seen: Counter[Atom],
) -> AxisChange:
    if maps.keys().isdisjoint(atoms_in(form)):
        return Mapped(form.size)
    if isinstance(form, Atom):
        place = seen[form]
        seen[form] += 1
        return Mapped(maps[form].size, maps[form], polarities[form].of(Spot(name, axis, place)))
    parts = tuple(_axis_change(p, maps, polarities, name, axis, seen) for p in parts_of(form))
    return Multiplied(parts) if isinstance(form, Product) else Added(parts)


def attribute_changes(
    attributes: Mapping[ModuleAttribute, int], known: Iterable[ModuleAttribute]
) -> tuple[AttributeChange, ...]:
    """The attributes that follow; an element of a tuple, `normalized_shape[0]`, as the whole.

    Args:
        attributes: New numbers.
        known: Every attribute that the program reads.
    """
    numbers = {(a.module, a.name): a.number for a in known}
    new = numbers | {(a.module, a.name): number for a, number in attributes.items()}
    found: dict[tuple[str, str], AttributeChange] = {}
    for attribute in attributes:
        module, (name, element, _) = attribute.module, attribute.name.partition("[")
        if not element:
            change = AttributeChange(module, name, attribute.number, attributes[attribute])
        else:
            names = [(module, f"{name}[{k}]") for k in range(len(numbers))]
            names = [*takewhile(numbers.__contains__, names)]
            before, after = (tuple(table[key] for key in names) for table in (numbers, new))
            change = AttributeChange(module, name, before, after)
        found[module, name] = change
    return tuple(found.values())
