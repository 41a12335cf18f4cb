"""Axis rules of data movement that adds: cat, split, slices, padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from morphir.ops.axes import Flow, Layout, SizeRule, linear_layout, make_layout
from morphir.ops.base import Instance
from morphir.ops.broadcast import nothing_moves, plain
from morphir.ops.forms import Atom, Axes, Form, Sum, add, parts_of
from morphir.ops.paths import Path


def cat_rule(instance: Instance) -> Layout:
    """`cat`: the axis is the sum of its parts."""
    rank = len(instance.outputs[0])
    axis = instance.axis(instance["dim"], rank)
    outs: list[Form] = [*plain(instance.outputs[0])]
    operands: list[Axes] = []
    parts: list[Form] = []
    for index, shape in enumerate(instance.shapes):
        if shape == (0,) and rank > 1:
            operands.append((Atom("Empty", 0),))  # torch lets empty vectors join, and so do caches
            continue
        parts.append(Atom(f"part{index}", shape[axis]))
        operands.append((*outs[:axis], parts[-1], *outs[axis + 1 :]))
    outs[axis] = add(parts)
    return linear_layout(operands, [tuple(outs)])


def stack_rule(instance: Instance) -> Layout:
    """`stack`: a new axis, the sum of one fixed unit for each operand."""
    rank = len(instance.outputs[0])
    axis = instance.axis(instance["dim"], rank)
    outs: list[Form] = [*plain(instance.outputs[0])]
    operand = tuple(form for k, form in enumerate(outs) if k != axis)
    outs[axis] = _units(len(instance.shapes))
    return linear_layout([operand] * len(instance.shapes), [tuple(outs)])


def unbind_rule(instance: Instance) -> Layout:
    """`unbind`: an axis goes that is the sum of one fixed unit for each output."""
    axis = instance.axis(instance["dim"])
    atoms = plain(instance.shapes[0])
    before, after = atoms[:axis], atoms[axis + 1 :]
    units = _units(len(instance.outputs))
    return linear_layout([(*before, units, *after)], [before + after] * len(instance.outputs))


def _units(count: int) -> Form:
    """An axis whose units are told apart: what is cut where they meet has seams there."""
    return add(Atom(f"Unit{k}", 1) for k in range(count)) if count else Atom("Empty", 0)


def split_rule(instance: Instance) -> Layout:
    """`split`, `chunk`, `tensor_split`: the axis is the sum of its parts."""
    axis = instance.axis(instance["dim"])
    atoms: list[Form] = [*plain(instance.shapes[0])]
    parts = [Atom(f"part{k}", shape[axis]) for k, shape in enumerate(instance.outputs)]
    if sum(part.size for part in parts) != atoms[axis].size:
        return nothing_moves(instance)  # `tensor_split` at places that do not ascend
    flows: dict[Atom, Flow] = {}
    rules = _listed(instance, parts)
    ties = [tuple(parts)] if not rules and _stay_equal(instance, parts) else []
    if ties and "split_size" in instance.arguments:
        rules = [SizeRule(("split_size",), parts[0])]
    if not rules and not ties:
        # Unequal parts that no argument lists: no change of theirs leaves the rule that made them.
        flows = dict.fromkeys(parts, "fixed")
    outputs = [(*atoms[:axis], part, *atoms[axis + 1 :]) for part in parts]
    atoms[axis] = add(parts)
    return linear_layout([tuple(atoms)], outputs, flows, rules, ties)


def _listed(instance: Instance, parts: Sequence[Atom]) -> list[SizeRule]:
    """What ties parts to an argument that lists their sizes or their ends."""
    sizes = instance.arguments.get("split_size")
    ends = instance.arguments.get("indices")
    if isinstance(sizes, tuple):
        return [SizeRule(("split_size", k), part) for k, part in enumerate(parts)]
    total = sum(part.size for part in parts)
    if isinstance(ends, tuple) and all(low <= high for low, high in pairwise((0, *ends, total))):
        return [SizeRule(("indices", k), add(parts[: k + 1])) for k in range(len(ends))]
    return []


def _stay_equal(instance: Instance, parts: Sequence[Atom]) -> bool:
    """Whether equal parts stay as many while they stay equal."""
    sizes = {part.size for part in parts}
    if "split_size" in instance.arguments:
        return sizes == {instance["split_size"]}
    count = instance.arguments.get("chunks", instance.arguments.get("indices"))
    return len(sizes) == 1 and len(parts) == count


def taking(
    shape: Sequence[int], axis: int, path: Path, start: int | None, stop: int | None
) -> tuple[Form, Atom, list[SizeRule], dict[Atom, Flow]]:
    """Cuts `start:stop` out of an axis.

    Returns:
        The axis's form, the part that is kept, and what ties the bounds, which lie at `path`, to
        the parts.
    """
    size = shape[axis]
    low, high, _ = slice(start, stop).indices(size)
    before, kept, after = Atom("before", low), Atom("kept", high - low), Atom("after", size - high)
    parts = [part for part in (before, kept, after) if part.size]
    flows: dict[Atom, Flow] = {before: "unused", after: "unused"}
    rules: list[SizeRule] = []
    if high <= low or (start or 0) < -size or not -size <= (stop or 0) <= size:
        return Atom("Sliced", size), Atom("Kept", max(high - low, 0)), [], {}
    if start is not None and start < 0:
        rules.append(SizeRule((*path, "start"), add(p for p in (kept, after) if p.size), -1))
    elif start:
        rules.append(SizeRule((*path, "start"), before))
    if stop is not None and stop < 0:
        rules.append(SizeRule((*path, "stop"), after, -1))
    elif stop is not None:
        rules.append(SizeRule((*path, "stop"), add(p for p in (before, kept) if p.size)))
    return add(parts), kept, rules, flows


def picking(
    shape: Sequence[int], axis: int, path: Path, index: int
) -> tuple[Form, list[SizeRule], dict[Atom, Flow]]:
    """Picks one unit of an axis: a fixed part of size 1 between two that are not used."""
    size = shape[axis]
    at = index % size
    before, one, after = Atom("before", at), Atom("Picked", 1), Atom("after", size - at - 1)
    flows: dict[Atom, Flow] = {before: "unused", after: "unused"}
    form = add(part for part in (before, one, after) if part.size)
    if index < 0 and after.size:
        return form, [SizeRule(path, Sum((one, after)), -1)], flows
    if index > 0:
        return form, [SizeRule(path, before)], flows
    return form, [], flows


def narrow_rule(instance: Instance) -> Layout:
    """`narrow`: a slice by start and length."""
    axis = instance.axis(instance["dim"])
    start, length = instance["start"], instance["length"]
    shape = instance.shapes[0]
    if not isinstance(start, int) or start < 0 or length == 0:
        return nothing_moves(instance)
    form, kept, _, flows = taking(shape, axis, (), start, start + length)
    before = [SizeRule(("start",), part) for part in parts_of(form)[:1]] if start else []
    atoms: list[Form] = [*plain(shape)]
    output = (*atoms[:axis], kept, *atoms[axis + 1 :])
    atoms[axis] = form
    return linear_layout([tuple(atoms)], [output], flows, [*before, SizeRule(("length",), kept)])


def select_rule(instance: Instance) -> Layout:
    """`select`: one unit of an axis, which goes."""
    axis = instance.axis(instance["dim"])
    atoms: list[Form] = [*plain(instance.shapes[0])]
    output = (*atoms[:axis], *atoms[axis + 1 :])
    atoms[axis], rules, flows = picking(instance.shapes[0], axis, ("index",), instance["index"])
    return linear_layout([tuple(atoms)], [output], flows, rules)


def pad_rule(instance: Instance) -> Layout:
    """`pad`: a sum with fixed parts where it adds a constant; else the axis is fixed."""
    shape = instance.shapes[0]
    pads = instance["pad"]
    constant = instance["mode"] == "constant"
    flow: Flow = "lin" if not instance["value"] and constant else "map"
    flows: dict[Atom, Flow] = {}
    ins: list[Form] = []
    outs: list[Form] = []
    for axis, atom in enumerate(plain(shape)):
        k = 2 * (len(shape) - 1 - axis)
        low, high = pads[k : k + 2] if k < len(pads) else (0, 0)
        if (low, high) == (0, 0):
            flows[atom] = "lin" if k >= len(pads) and not constant else flow
            padded: Form = atom
        elif constant and low >= 0 and high >= 0:
            flows[atom] = flow
            ends = Atom("Low", low), atom, Atom("High", high)
            padded = add(part for part in ends if part.size)
        else:
            padded = Atom("Padded", atom.size + low + high)
        ins.append(atom)
        outs.append(padded)
    return make_layout([tuple(ins)], [tuple(outs)], flows)
