"""Axis rules of multilinear ops: matmul, einsum and their relatives."""

from __future__ import annotations

from collections.abc import Sequence

from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import AxisRule, Instance
from morphir.ops.broadcast import broadcast
from morphir.ops.forms import Atom, fit

Labels = Sequence[str]


def multilinear(instance: Instance, operands: Sequence[Labels], output: Labels) -> Layout:
    """The layout of a product of operands summed over the labels that the output lacks."""
    sizes: dict[str, int] = {}
    for labels, shape in zip(operands, instance.shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
    atoms = {label: Atom(label, size) for label, size in sizes.items()}
    axes = [
        tuple(fit(atoms[label], size) for label, size in zip(labels, shape, strict=True))
        for labels, shape in zip(operands, instance.shapes, strict=True)
    ]
    flows: dict[Atom, Flow] = dict.fromkeys(atoms.values(), "each")
    return make_layout(axes, [tuple(atoms[label] for label in output)], flows)


def _dots(rank: int) -> list[str]:
    """Labels for batch axes, aligned from the right."""
    return [f"...{distance}" for distance in range(rank, 0, -1)]


def matmul_rule(instance: Instance) -> Layout:
    """`... i k, ... k j -> ... i j`, where a vector lacks `i` or `j`."""
    left, right = (len(shape) for shape in instance.shapes)
    batch = _dots(max(left, right) - 2)
    operands = [
        [*_dots(left - 2), "i", "k"] if left > 1 else ["k"],
        [*_dots(right - 2), "k", "j"] if right > 1 else ["k"],
    ]
    return multilinear(instance, operands, [*batch, *"i" * (left > 1), *"j" * (right > 1)])


def labelled(equation: str) -> AxisRule:
    """The rule of a multilinear op with fixed ranks, written as an einsum equation."""
    inputs, _, output = equation.replace(" ", "").partition("->")

    def rule(instance: Instance) -> Layout:
        return multilinear(instance, inputs.split(","), output)

    return rule


def einsum_rule(instance: Instance) -> Layout:
    """The equation is the signature."""
    inputs, arrow, output = str(instance["equation"]).replace(" ", "").partition("->")
    parts = inputs.split(",")
    if not arrow:
        letters = sorted(c for c in set(inputs) if c.isalpha() and inputs.count(c) == 1)
        output = ("..." if "..." in inputs else "") + "".join(letters)
    ranks = [
        len(shape) - len(part.replace("...", "")) if "..." in part else 0
        for part, shape in zip(parts, instance.shapes, strict=True)
    ]
    operands = [_expand(part, rank) for part, rank in zip(parts, ranks, strict=True)]
    return multilinear(instance, operands, _expand(output, max(ranks)))


def _expand(part: str, rank: int) -> list[str]:
    head, dots, tail = part.partition("...")
    return [*head, *_dots(rank), *tail] if dots else [*part]


def affine_rule(instance: Instance) -> Layout:
    """`addmm`, `addmv`, `baddbmm`: a broadcast bias plus `... i k, ... k j`.

    A split passes along an output axis that the bias has too, unless both factors have it.
    """
    rank = len(instance.shapes[1])
    batch = ["b"] if rank == 3 else []
    output = [*batch, "i", *"j" * (len(instance.shapes[2]) > 1)]
    factors = [[*batch, "i", "k"], [*batch, "k", *output[len(batch) + 1 :]]]
    sizes = dict(zip(output, instance.outputs[0], strict=True))
    sizes["k"] = instance.shapes[1][-1]
    atoms = {label: Atom(label, size) for label, size in sizes.items()}
    bias = broadcast([atoms[label] for label in output], instance.shapes[0])
    axes = [bias, *(tuple(atoms[label] for label in labels) for labels in factors)]
    flows: dict[Atom, Flow] = {atoms["k"]: "each"}
    for label in output:
        holders = frozenset(index for index, forms in enumerate(axes) if atoms[label] in forms)
        flows[atoms[label]] = holders if 0 in holders and len(holders) == 2 else "map"
    return make_layout(axes, [tuple(atoms[label] for label in output)], flows)
