"""Follows a program whose axes changed: which old value a new one stands for, and how they relate.

A value of the new program has the *old* value's form, beside a relation for each axis that changed.
Nobody claims which node corresponds to which: a call on related values is the same op on operands
of the same forms, and the old program is looked through for it. Its numbers may differ only where
the op says that they follow an axis.

    CERT-14  a unit that is left out of a sum of products may have any weight if it is 0 itself,
             whatever the input (FACT-4)
    CERT-12  a call that only moves data is run on the numbers of its elements, old and new, and
             must move parts of a unit to parts of that unit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np
import torch

from morphir.checks.forms import Form
from morphir.checks.rejection import Rejection
from morphir.checks.relations import Known, compose, constant, decompose, relate
from morphir.ir import Argument, Arithmetic, ModuleAttribute, Node, Relation, SizeOf, Value
from morphir.ir.relation import FREE, ZERO, Indices
from morphir.ops import Atom, Layout, Op
from morphir.ops.box import Box
from morphir.ops.forms import Form as AxisForm
from morphir.ops.forms import parts_of
from morphir.ops.paths import Path, tensors_of
from morphir.ops.replay import evaluate
from morphir.tensors import tensors_in

# Shapes are compared at one batch size: a prime, so that it divides and equals no other axis.
_BATCH: Final = 1009
_MOVES: Final = frozenset(
    [
        "reshape",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "cat",
        "stack",
        "split",
        "chunk",
        "unbind",
        "getitem",
        "select",
        "narrow",
        "expand",
        "roll",
        "flip",
        "movedim",
        "tile",
        "repeat",
        "pixel_shuffle",
        "pixel_unshuffle",
    ]
)

Axes = tuple[Known, ...]
Key = Callable[[Argument], Any]


@final
@dataclass(frozen=True)
class _Shape:
    shape: tuple[int, ...]


@final
@dataclass(frozen=True)
class Candidate:
    """An old node with what is known about it.

    Attributes:
        node: The node.
        forms: The forms of its outputs.
        random: What stood for the random state before it.
        random_after: What stood for it afterwards.
        key: Reads an argument as the old graph's numbering does.
    """

    node: Node
    forms: tuple[Form, ...]
    random: Form
    random_after: Form
    key: Key


@final
@dataclass
class Following:
    """The relations of the values of one new graph.

    Attributes:
        state: The relation of each axis of every state entry that changed.
        tensors: The old state.
        boxes: What is known about the elements of old values: whatever the input, and if the inputs
            lie in a box; computed where it is asked for.
        values: The relation of each axis of every other value that changed.
        calls: How many calls were found to keep the relations.
        assumed: How many of the boxes were needed.
        draws: How many of the calls draw random numbers, which are taken to be the old ones, mapped
            as the values are: torch draws anew for every copy.
    """

    state: Mapping[str, Axes]
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    boxes: Sequence[Callable[[], Mapping[Value, Box]]] = ()
    values: dict[Value, Axes] = field(default_factory=dict)
    calls: int = 0
    assumed: int = 0
    draws: int = 0

    def axes(self, value: Value) -> Axes:
        """The relation of each axis of a value; empty where none changed."""
        if value.origin == "state":
            return self.state.get(value.name, ())
        return self.values.get(value, ())

    def is_changed(self, value: Value) -> bool:
        """Whether an axis of a value changed."""
        return any(known is not None for known in self.axes(value))

    def follow(self, node: Node, op: Op, old: Candidate, key: Key) -> None:
        """Gives the outputs of a call their relations.

        Args:
            node: The new call.
            op: Its declaration.
            old: The old call that it would be; its operands have the same forms.
            key: Reads an argument as the new graph's numbering does.

        Raises:
            Rejection: It is not that call, or the op does not keep the relations.
        """
        before, after = _layout(old.node, op), _layout(node, op)
        self._check_arguments(node, old, key, before, after)
        known = self._operand_axes(node, op)
        results = self._relate(before, after, known, lambda: self._values_of(old.node, op))
        found = [
            tuple(compose(form, iter([results[atom] for atom in _atoms(form)])) for form in forms)
            for forms in before.outputs
        ]
        for value, axes, forms in zip(node.results, found, after.outputs, strict=True):
            _check_sizes(axes, forms, value)
        if node.op in _MOVES:
            _check_movement(op, old.node, node, known, found)
        self.values.update(zip(node.results, found, strict=True))
        for name, value in zip(node.writes, node.outputs[len(node.results) :], strict=True):
            self.values[value] = self.axes(node.arguments[name])
        self.calls += 1
        self.draws += node.random

    def _relate(
        self,
        before: Layout,
        after: Layout,
        known: Sequence[Axes],
        values: Callable[[], Sequence[Value]],
    ) -> dict[Atom, Known]:
        """The relation of every atom in the outputs; units that are 0 are left out if need be."""
        try:
            return relate_call(before, after, known)
        except Rejection as rejection:
            reason = rejection
        for assumed, boxes in enumerate(self.boxes, 1):
            pairs = zip(known, values(), strict=True)
            struck = [
                _without_zeros(axes, self._box(value, boxes), _apart(before, number))
                for number, (axes, value) in enumerate(pairs)
            ]
            if struck != [*known]:
                try:
                    found = relate_call(before, after, struck)
                except Rejection:
                    continue
                self.assumed = max(self.assumed, assumed)
                return found
        raise reason

    def _box(self, value: Value, boxes: Callable[[], Mapping[Value, Box]]) -> Box | None:
        if value.origin != "state":
            return boxes().get(value)
        tensor = self.tensors.get(value.name)
        return None if tensor is None else Box(tensor, tensor)

    def _values_of(self, node: Node, op: Op) -> list[Value]:
        given = op.complete(node.arguments)
        return [v for argument in given.values() for v in _tensors(argument)]

    def _operand_axes(self, node: Node, op: Op) -> list[Axes]:
        values = self._values_of(node, op)
        return [self.axes(v) or (None,) * len(v.type.shape) for v in values if v.type is not None]

    def _check_arguments(
        self, node: Node, old: Candidate, key: Key, before: Layout, after: Layout
    ) -> None:
        """Numbers may differ where both layouts say that they follow an axis, and nowhere else."""
        follows = {rule.path for rule in before.sizes}
        if follows != {rule.path for rule in after.sizes} or node.writes != old.node.writes:
            raise Rejection("CERT-11: other numbers follow the axes")
        if node.arguments.keys() != old.node.arguments.keys():
            raise Rejection("CERT-11: the arguments differ")
        for name, argument in node.arguments.items():
            was = old.node.arguments[name]
            for path, one, other in _leaves(was, argument, (name,)):
                if path in follows:
                    continue
                numbers = _number(one, old.node), _number(other, node)
                if numbers[0] != numbers[1] or old.key(one) != key(other):
                    raise Rejection(f"CERT-11: {name!r} is {other!r} instead of {one!r}")


def relate_call(before: Layout, after: Layout, known: Sequence[Axes]) -> dict[Atom, Known]:
    """The relation of every atom in the outputs of a call, from those of its operands' axes.

    Raises:
        Rejection: The op does not keep the relations.
    """
    pairs = _pairs(before, after)
    atoms: dict[Atom, list[Known]] = {}
    for tensor, axes in enumerate(known):
        forms = zip(before.operands[tensor], after.operands[tensor], strict=True)
        for (form, new), one in zip(forms, axes, strict=True):
            for atom, each in zip(_atoms(form), decompose(form, new, one), strict=True):
                atoms.setdefault(atom, []).append(each)
    results: dict[Atom, Known] = {}
    for atom, sites in before.sites.items():
        role, new_role = before.roles[atom], after.roles[pairs[atom]]
        if (role.kind, role.maps, role.ways) != (new_role.kind, new_role.maps, new_role.ways):
            raise Rejection(f"CERT-11: an axis is {role.kind} in one and {new_role.kind}")
        if role.kind in ("zero", "uniform") and atom not in atoms:
            results[atom] = constant(atom.size, pairs[atom].size)
        else:
            results[atom] = relate(role, sites, atoms.get(atom, []))
    return results


def _apart(layout: Layout, operand: int) -> list[bool]:
    """For each axis of an operand whether what differs along it stays apart in all results."""
    return [
        all(any(site.output for site in layout.sites[atom]) for atom in _atoms(form))
        for form in layout.operands[operand]
    ]


def _without_zeros(axes: Axes, box: Box | None, apart: Sequence[bool]) -> Axes:
    """The relations of a value without parts that nobody takes of units that are 0 (CERT-14).

    That is so along an axis whose units are summed. Where the results keep the units of another
    axis apart, those that are left out there do not count.
    """
    if box is None or box.low.dim() != len(axes):
        return axes
    counted = [
        np.unique(known.source[known.source >= 0])
        if keeps and isinstance(known, Relation)
        else None
        for known, keeps in zip(axes, apart, strict=True)
    ]
    found = []
    for axis, known in enumerate(axes):
        if not isinstance(known, Relation) or apart[axis]:
            found.append(known)
            continue
        zero = box.is_zero
        for other, units in enumerate(counted):
            if other != axis and units is not None and zero.shape[other] == axes[other].size:
                zero = zero.index_select(other, torch.from_numpy(units).to(zero.device))
        others = [each for each in range(zero.dim()) if each != axis]
        found.append(_struck(known, zero.all(dim=others) if others else zero))
    return tuple(found)


def _struck(relation: Relation, zero: torch.Tensor) -> Relation:
    if len(zero) != relation.size:
        return relation
    untaken = np.setdiff1d(np.arange(len(relation.group)), relation.take)
    gone = [part for part in untaken if bool(zero[relation.group[part]])]
    if not gone:
        return relation
    # Those that nobody takes come last, so the others keep their numbers.
    kept = np.setdiff1d(np.arange(len(relation.group)), gone)
    number = np.cumsum(np.isin(np.arange(len(relation.group)), kept)) - 1
    take = np.where(relation.take >= 0, number[np.maximum(relation.take, 0)], relation.take)
    return Relation.of(relation.size, take, relation.group[kept])


def _check_sizes(axes: Axes, forms: Sequence[AxisForm], value: Value) -> None:
    for known, form in zip(axes, forms, strict=True):
        if known is not None and known.new_size != form.size:
            raise Rejection(f"CERT-11: {value.type} is not what its relations say")


def _layout(node: Node, op: Op) -> Layout:
    arguments, results = _concrete(node, _BATCH)
    try:
        return op.layout(arguments, results)
    except ValueError as error:
        raise Rejection(f"CERT-11: {error}") from error


def _concrete(node: Node, batch: int) -> tuple[dict[str, Any], list[_Shape]]:
    """The arguments of a node with shapes in the place of tensors, and those of its results."""
    shapes: dict[Value, _Shape] = {}
    for value in (*node.operands, *node.results):
        if value.type is None:
            raise Rejection("CERT-11: a shape is not known")
        shapes[value] = _Shape(value.type.sizes(batch))
    state = {value.name: shape for value, shape in shapes.items() if value.origin == "state"}
    arguments = {name: evaluate(a, shapes, state) for name, a in node.arguments.items()}
    return arguments, [shapes[value] for value in node.results]


def _number(argument: Argument, node: Node) -> Any:
    """The number that a size is; anything else is itself a matter of keys."""
    if not isinstance(argument, SizeOf | Arithmetic | ModuleAttribute):
        return None
    shapes = {v: _Shape(v.type.sizes(_BATCH)) for v in node.operands if v.type is not None}
    state = {value.name: shape for value, shape in shapes.items() if value.origin == "state"}
    return evaluate(argument, shapes, state)


def _leaves(was: Argument, now: Argument, path: Path) -> Iterator[tuple[Path, Argument, Argument]]:
    """Pairs of what stands in the same place of two arguments."""
    if isinstance(was, tuple) and isinstance(now, tuple) and len(was) == len(now):
        for index, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from _leaves(one, other, (*path, index))
    elif isinstance(was, slice) and isinstance(now, slice):
        for name in ("start", "stop", "step"):
            yield from _leaves(getattr(was, name), getattr(now, name), (*path, name))
    else:
        yield path, was, now


def _tensors(argument: Argument) -> Iterator[Value]:
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, tuple):
        for part in argument:
            yield from _tensors(part)


def _atoms(form: AxisForm) -> Iterator[Atom]:
    if isinstance(form, Atom):
        yield form
    for part in parts_of(form):
        yield from _atoms(part)


def _pairs(before: Layout, after: Layout) -> dict[Atom, Atom]:
    """Which atom of the new layout is which of the old one."""
    sides = (*before.operands, *before.outputs), (*after.operands, *after.outputs)
    pairs: dict[Atom, Atom] = {}
    lists = ([[*_atoms(form)] for axes in side for form in axes] for side in sides)
    for olds, news in zip(*lists, strict=True):
        if len(olds) != len(news):
            raise Rejection("CERT-11: an axis is made of other parts")
        for one, other in zip(olds, news, strict=True):
            if pairs.setdefault(one, other) is not other:
                raise Rejection("CERT-11: axes that were one are two")
    if len({*pairs.values()}) < len(pairs):
        raise Rejection("CERT-11: axes that were two are one")
    return pairs


# -- data movement ---------------------------------------------------------------------------------


def _check_movement(
    op: Op, old: Node, new: Node, operands: Sequence[Axes], outputs: Sequence[Axes]
) -> None:
    """Checks CERT-12."""
    if not _moves_one_kind(new):
        return
    was, now = _moved(op, old), _moved(op, new)
    part, unit = _read(operands, _sources(op, old), _sources(op, new))
    parts_of_unit = np.bincount(unit)
    for axes, before, after in zip(outputs, was, now, strict=True):
        out, out_unit = _read([axes], [before.shape], [after.shape])
        came, source = part[after.ravel()], before.ravel()
        taken = out >= 0
        if (came[out == ZERO] != ZERO).any() or (came[taken] < 0).any():
            raise Rejection("CERT-12: what is free or zero is moved to where it is not")
        first, second = np.unique(np.stack([out[taken], came[taken]]), axis=1)
        if len(np.unique(first)) < len(first):
            raise Rejection("CERT-12: different parts are moved to one")
        if (unit[second] != source[out_unit[first]]).any():
            raise Rejection("CERT-12: a part is moved to another unit")
        if len(np.unique(out_unit[first] * len(unit) + second)) < len(first):
            raise Rejection("CERT-12: a part is moved twice to one unit")
        if (np.bincount(out_unit, minlength=len(source)) != parts_of_unit[source]).any():
            raise Rejection("CERT-12: a part of a unit is left out")


def _moves_one_kind(node: Node) -> bool:
    """Whether every operand is moved, and none says where to."""
    kinds = {v.type.dtype for v in (*node.operands, *node.results) if v.type is not None}
    return len(kinds) == 1 and not (node.op == "getitem" and len(node.operands) > 1)


def _sources(op: Op, node: Node) -> list[tuple[int, ...]]:
    arguments, _ = _concrete(node, 1)
    complete = op.complete(arguments)
    return [tensor.shape for a in complete.values() for _, tensor in tensors_of(a)]


def _moved(op: Op, node: Node) -> list[Indices]:
    """Runs a node on tensors that hold the numbers of their elements, counted over all operands."""
    arguments, _ = _concrete(node, 1)
    start = 0

    def numbered(argument: Any) -> Any:
        nonlocal start
        if isinstance(argument, _Shape):
            count = int(np.prod(argument.shape))
            start += count
            return torch.arange(start - count, start).reshape(argument.shape)
        return tuple(map(numbered, argument)) if isinstance(argument, tuple) else argument

    ready = {name: numbered(argument) for name, argument in op.complete(arguments).items()}
    return [tensor.numpy() for _, tensor in tensors_in(op.execute(ready))]


def _read(
    operands: Sequence[Axes], shapes: Sequence[tuple[int, ...]], new: Sequence[tuple[int, ...]]
) -> tuple[Indices, Indices]:
    """For every new element the part that it takes, and for every part the old element it is of."""
    parts, units, part_count, unit_count = [], [], 0, 0
    for axes, shape, new_shape in zip(operands, shapes, new, strict=True):
        known = axes or (None,) * len(shape)
        each = [_as_relation(k, n, m) for k, n, m in zip(known, shape, new_shape, strict=True)]
        whole = Relation.identity(1)
        take, group = whole.take, whole.group
        for relation, size in zip(each, shape, strict=True):
            outer, inner = take[:, None], relation.take[None, :]
            joined = outer * len(relation.group) + inner
            joined = np.where((outer == FREE) | (inner == FREE), FREE, joined)
            take = np.where((outer == ZERO) | (inner == ZERO), ZERO, joined).ravel()
            group = (group[:, None] * size + relation.group[None, :]).ravel()
        parts.append(np.where(take >= 0, take + part_count, take))
        units.append(group + unit_count)
        part_count, unit_count = part_count + len(group), unit_count + int(np.prod(shape))
    return np.concatenate(parts), np.concatenate(units)


def _as_relation(known: Known, size: int, new_size: int) -> Relation:
    if isinstance(known, Relation):
        return known
    if size != new_size:
        raise Rejection("CERT-12: a constant that follows an axis is moved")
    return Relation.identity(size)
