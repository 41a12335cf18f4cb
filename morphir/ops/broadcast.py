"""Axis rules of elementwise ops, reductions, and ops that keep their axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from morphir.ops.axes import Flow, Layout, SizeRule, make_layout
from morphir.ops.base import AxisRule, Instance
from morphir.ops.forms import Atom, Axes, Form, fit


def plain(shape: Sequence[int]) -> tuple[Atom, ...]:
    """One atom for each axis of a shape."""
    return tuple(Atom(f"d{axis}", size) for axis, size in enumerate(shape))


def broadcast(forms: Sequence[Form], shape: Sequence[int]) -> Axes:
    """The axes of an operand that is broadcast to `forms`; a stretched axis is fixed (AXIS-6)."""
    aligned = forms[len(forms) - len(shape) :]
    return tuple(fit(form, size) for form, size in zip(aligned, shape, strict=True))


def elementwise(*linear_in: str, each: bool = False) -> Callable[[Instance], Layout]:
    """The rule of an op that broadcasts its operands.

    Args:
        linear_in: The arguments that the op is jointly linear in: both of `add`, the numerator of
            `div`. A split may pass along an axis that all of them have.
        each: Whether it is linear in each operand, as `mul` is.
    """

    def rule(instance: Instance) -> Layout:
        atoms = plain(instance.outputs[0])
        operands = [broadcast(atoms, shape) for shape in instance.shapes]
        places = {path: index for index, (path, _) in enumerate(instance.operands)}
        group = frozenset(places.get((name,), -1) for name in linear_in)
        flows: dict[Atom, Flow] = {}
        for atom in atoms:
            holders = {index for index, axes in enumerate(operands) if atom in axes}
            if each:
                flows[atom] = "each"
            else:
                flows[atom] = group if group and group <= holders else "map"
        return make_layout(operands, [atoms], flows)

    return rule


def keeping(
    instance: Instance,
    special: Mapping[int, Flow],
    rest: Flow = "map",
    sizes: Mapping[int, SizeRule] | None = None,
) -> Layout:
    """The layout of a call with one operand and outputs of its shape: some axes are special."""
    atoms = plain(instance.shapes[0])
    flows = {atom: special.get(axis, rest) for axis, atom in enumerate(atoms)}
    return make_layout([atoms], [atoms] * len(instance.outputs), flows, (sizes or {}).values())


def along(flow: Flow, rest: Flow = "map", parameter: str = "dim") -> AxisRule:
    """The rule of an op that works along the axes that an argument names, or along all of them."""

    def rule(instance: Instance) -> Layout:
        return keeping(instance, dict.fromkeys(named_axes(instance, parameter), flow), rest)

    return rule


def named_axes(instance: Instance, parameter: str = "dim") -> tuple[int, ...]:
    """The axes of the first operand that an argument names; None and () mean all of them."""
    dims = instance[parameter]
    rank = len(instance.shapes[0])
    if dims is None or dims == ():
        return tuple(range(rank))
    dims = dims if isinstance(dims, tuple | list) else (dims,)
    return tuple(int(dim) % max(rank, 1) for dim in dims if rank)


def reducing(flow: Flow, rest: Flow = "map") -> AxisRule:
    """The rule of a reduction over `dim` with `keepdim`."""

    def rule(instance: Instance) -> Layout:
        return reduce_axes(instance, flow, rest)

    return rule


def reduce_axes(instance: Instance, flow: Flow, rest: Flow = "map") -> Layout:
    """The layout of a reduction over `dim` with `keepdim`; every output has the same axes."""
    atoms = plain(instance.shapes[0])
    reduced = named_axes(instance)
    keep = bool(instance.arguments.get("keepdim"))
    output: Axes = tuple(
        Atom("Reduced", 1) if axis in reduced else atom
        for axis, atom in enumerate(atoms)
        if keep or axis not in reduced
    )
    flows = {atom: flow if axis in reduced else rest for axis, atom in enumerate(atoms)}
    return make_layout([atoms], [output] * len(instance.outputs), flows)


def nothing_moves(instance: Instance) -> Layout:
    """The layout of a call in which every axis is fixed."""
    return make_layout(map(plain, instance.shapes), map(plain, instance.outputs))
