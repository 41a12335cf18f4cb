"""Axis rules of views: reshape, flatten, unflatten, squeeze and unsqueeze."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

from morphir.ops.axes import Flow, Layout, Role, SizeRule, linear_layout, make_layout
from morphir.ops.base import Instance
from morphir.ops.broadcast import named_axes, nothing_moves, plain
from morphir.ops.forms import Atom, Axes, Form, atoms_in, multiply


def _runs(ins: Sequence[int], outs: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Cuts two shapes into the shortest runs of equal products."""
    i = j = 0
    while i < len(ins) or j < len(outs):
        first, second = i, j
        i, j = min(i + 1, len(ins)), min(j + 1, len(outs))
        while (p := prod(ins[first:i])) != (q := prod(outs[second:j])):
            if p < q:
                i += 1
            else:
                j += 1
        yield slice(first, i), slice(second, j)


def _suffixes(shape: Sequence[int]) -> list[int]:
    return [prod(shape[axis:]) for axis in range(len(shape) + 1)]


def _factorise(ins: Sequence[int], outs: Sequence[int]) -> tuple[list[Form], list[Form]]:
    """Gives the axes of one run common factors, or each an atom of its own where there are none."""
    cuts = sorted({*_suffixes(ins), *_suffixes(outs)})
    if any(larger % smaller for smaller, larger in pairwise(cuts)):
        return [Atom("Regrouped", n) for n in ins], [Atom("Regrouped", n) for n in outs]
    atoms = {larger: Atom(f"f{larger}", larger // smaller) for smaller, larger in pairwise(cuts)}

    def forms(shape: Sequence[int]) -> list[Form]:
        suffixes = _suffixes(shape)
        found: list[Form] = []
        for high, low in pairwise(suffixes):
            factors = [atoms[cut] for cut in reversed(cuts) if low < cut <= high]
            found.append(multiply(factors) if factors else Atom("One", 1))
        return found

    return forms(ins), forms(outs)


def regroup(ins: Sequence[int], outs: Sequence[int]) -> tuple[Axes, Axes]:
    """The axes of a tensor before and after it is viewed with another shape.

    AXIS-10  the axes of a view are products of the common factors of each run of equal product;
             where the boundaries of a run do not divide one another there are none, and its axes
             are fixed
    """
    before: list[Form] = []
    after: list[Form] = []
    for left, right in _runs(ins, outs):
        if ins[left] == outs[right]:
            shared = [Atom(f"d{left.start + k}", size) for k, size in enumerate(ins[left])]
            before += shared
            after += shared
        else:
            forms = _factorise(ins[left], outs[right])
            before += forms[0]
            after += forms[1]
    return tuple(before), tuple(after)


def view_rule(instance: Instance) -> Layout:
    """`view`, `reshape`: the numbers in the shape must follow, all but -1."""
    ins, outs = instance.shapes[0], instance.outputs[0]
    shape = instance.arguments.get("shape", ())
    if 0 in ins or not all(isinstance(size, int) for size in shape):
        return nothing_moves(instance)
    before, after = regroup(ins, outs)
    rules = [
        SizeRule(("shape", k), form)
        for k, (size, form) in enumerate(zip(shape, after, strict=False))
        if size != -1
    ]
    return linear_layout([before], [after], sizes=rules)


def view_as_rule(instance: Instance) -> Layout:
    """`view_as`: only the shape of the other operand is used."""
    ins, outs = instance.shapes
    if 0 in ins:
        return nothing_moves(instance)
    before, after = regroup(ins, outs)
    shared = {atom for form in before for atom in atoms_in(form)}
    flows: dict[Atom, Flow] = {
        atom: frozenset([0]) if atom in shared else "fixed"
        for form in after
        for atom in atoms_in(form)
    }
    return make_layout([before, after], [after], flows)


def _inside(instance: Instance, start: int, stop: int) -> tuple[Axes, Axes]:
    """The axes before and after a view of `start:stop` only; the others stay what they are."""
    ins, outs = instance.shapes[0], instance.outputs[0]
    end = len(outs) - (len(ins) - stop)
    atoms = plain(ins)
    before, after = regroup(ins[start:stop], outs[start:end])
    return (
        (*atoms[:start], *before, *atoms[stop:]),
        (*atoms[:start], *after, *atoms[stop:]),
    )


def flatten_rule(instance: Instance) -> Layout:
    """`flatten`: the axes from `start_dim` to `end_dim` multiply."""
    if 0 in instance.shapes[0]:
        return nothing_moves(instance)
    start = instance.axis(instance.arguments.get("start_dim", 0))
    end = instance.axis(instance.arguments.get("end_dim", -1))
    before, after = _inside(instance, start, min(end + 1, len(instance.shapes[0])))
    return linear_layout([before], [after])


def unflatten_rule(instance: Instance) -> Layout:
    """`unflatten`: an axis is a product, whose numbers must follow, all but -1."""
    if 0 in instance.shapes[0]:
        return nothing_moves(instance)
    axis = instance.axis(instance["dim"])
    before, after = _inside(instance, axis, axis + 1)
    rules = [
        SizeRule(("sizes", k), after[axis + k])
        for k, size in enumerate(instance["sizes"])
        if size != -1
    ]
    return linear_layout([before], [after], sizes=rules)


def squeeze_rule(instance: Instance) -> Layout:
    """`squeeze`: an axis that would go if its size were 1 must not lose units."""
    named = named_axes(instance)
    atoms = plain(instance.shapes[0])
    kept = [atom for axis, atom in enumerate(atoms) if axis not in named or atom.size != 1]
    layout = linear_layout([atoms], [tuple(kept)])
    watched = {atoms[axis] for axis in named}
    roles = {
        atom: Role(role.kind, "onto", role.ways) if atom in watched and role.ways else role
        for atom, role in layout.roles.items()
    }
    return Layout(layout.operands, layout.outputs, roles)


def unsqueeze_rule(instance: Instance) -> Layout:
    """`unsqueeze`: a new axis of size 1, which is fixed."""
    rank = len(instance.outputs[0])
    axis = instance.axis(instance["dim"], rank)
    atoms = plain(instance.shapes[0])
    return linear_layout([atoms], [(*atoms[:axis], Atom("New", 1), *atoms[axis:])])
