"""Axis rules of data movement that permutes and repeats: permute, expand, repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from morphir.ops.axes import Flow, Layout, SizeRule, linear_layout, make_layout
from morphir.ops.base import AxisRule, Instance
from morphir.ops.broadcast import broadcast, nothing_moves, plain
from morphir.ops.forms import Atom, Form, multiply


def permuting(order: Callable[[Instance], Sequence[int]]) -> AxisRule:
    """The rule of an op whose output has the axes of its operand in another order."""

    def rule(instance: Instance) -> Layout:
        atoms = plain(instance.shapes[0])
        return linear_layout([atoms], [tuple(atoms[axis] for axis in order(instance))])

    return rule


def expand_rule(instance: Instance) -> Layout:
    """`expand`, `broadcast_to`: a new or stretched axis is uniform, so it takes any copies."""
    outs = plain(instance.outputs[0])
    operand = broadcast(outs, instance.shapes[0])
    flows: dict[Atom, Flow] = {atom: "lin" if atom in operand else "uniform" for atom in outs}
    rules = [SizeRule(("size", k), outs[k]) for k, n in enumerate(instance["size"]) if n != -1]
    return make_layout([operand], [outs], flows, rules)


def repeat_rule(instance: Instance) -> Layout:
    """`repeat`: an axis repeated k times is the product of k and itself."""
    repeats = instance["repeats"]
    atoms = plain(instance.shapes[0])
    new = len(repeats) - len(atoms)
    flows: dict[Atom, Flow] = dict.fromkeys(atoms, "lin")
    rules: list[SizeRule] = []
    outs: list[Form] = []
    for k, count in enumerate(repeats):
        old = atoms[k - new] if k >= new else None
        if count == 1 and old is not None:
            outs.append(old)
            continue
        repeated = Atom(f"r{k}", count)
        flows[repeated] = "uniform"
        rules.append(SizeRule(("repeats", k), repeated))
        outs.append(repeated if old is None else multiply([repeated, old]))
    return make_layout([atoms], [tuple(outs)], flows, rules)


def repeat_interleave_rule(instance: Instance) -> Layout:
    """`repeat_interleave` by a number along an axis: the product of the axis and the number."""
    if not isinstance(instance["repeats"], int) or instance["dim"] is None:
        return nothing_moves(instance)
    atoms = plain(instance.shapes[0])
    repeated = Atom("r", instance["repeats"])
    axis = instance.axis(instance["dim"])
    outs: list[Form] = [*atoms]
    outs[axis] = multiply([atoms[axis], repeated])
    flows: dict[Atom, Flow] = {**dict.fromkeys(atoms, "lin"), repeated: "uniform"}
    return make_layout([atoms], [tuple(outs)], flows, [SizeRule(("repeats",), repeated)])


def expand_as_rule(instance: Instance) -> Layout:
    """`expand_as`: only the shape of the other operand is used."""
    outs = plain(instance.outputs[0])
    operand = broadcast(outs, instance.shapes[0])
    flows: dict[Atom, Flow] = {
        atom: frozenset([0]) if atom in operand else "uniform" for atom in outs
    }
    return make_layout([operand, outs], [outs], flows)
