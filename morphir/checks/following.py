"""Follows a program whose axes changed: which old value a new one stands for, and how they relate.

A value of the new program has the *old* value's form, beside a relation for each axis that changed.
Nobody claims which node corresponds to which: a call on related values is the same op on operands
of the same forms, and the old program is looked through for it. Its numbers may differ only where
the op says that they follow an axis.

    CERT-14  a unit that is left out of a sum of products may have any weight if it is 0 itself,
             whatever the input (FACT-4)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from morphir.checks.calls import (
    Axes,
    common_layout,
    leaves,
    number_of,
    relate_call,
    tensors_in_argument,
)
from morphir.checks.folds import Folded, state_name
from morphir.checks.forms import Form
from morphir.checks.movement import check_movement
from morphir.checks.rejection import Rejection
from morphir.checks.relations import Known, compose
from morphir.ir import Argument, Node, Relation, Value
from morphir.ops import Atom, Layout, Op
from morphir.ops.box_rules import Box
from morphir.ops.forms import Form as AxisForm
from morphir.ops.forms import atoms_in, rename

Key = Callable[[Argument], Any]


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
        new_biases: The numbers of biases that are others (CERT-16).
        calls: How many calls were found to keep the relations.
        assumed: How many of the boxes were needed.
        folds: How many of the calls have such a bias.
        draws: Whether calls draw random numbers, which are taken to be the old ones, mapped
            as the values are: torch draws anew for every copy.
    """

    state: Mapping[str, Axes]
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    boxes: Sequence[Callable[[], Mapping[Value, Box]]] = ()
    values: dict[Value, Axes] = field(default_factory=dict)
    new_biases: Mapping[str, torch.Tensor] = field(default_factory=dict)
    calls: int = 0
    assumed: int = 0
    folds: int = 0
    draws: bool = False

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
        layout, there = common_layout(old.node, node, op)
        self._check_arguments(node, op, old, key, layout)
        known = self._operand_axes(node, op)
        results = self._relate(layout, there, known, old.node, op)
        found = [
            tuple(compose(form, iter([results[atom] for atom in atoms_in(form)])) for form in forms)
            for forms in layout.outputs
        ]
        for value, axes, forms in zip(node.results, found, layout.outputs, strict=True):
            _check_sizes(axes, [rename(form, there) for form in forms], value)
        check_movement(op, old.node, node, known, found)
        self.values.update(zip(node.results, found, strict=True))
        for name, value in zip(node.writes, node.outputs[len(node.results) :], strict=True):
            self.values[value] = self.axes(node.arguments[name])
        self.calls += 1
        self.draws |= node.random

    def _relate(
        self,
        layout: Layout,
        there: Mapping[Atom, Atom],
        known: Sequence[Axes],
        node: Node,
        op: Op,
    ) -> dict[Atom, Known]:
        """The relation of every atom in the outputs; units that are 0 are left out if need be."""
        folded = self._folded(node)
        reason = Rejection("CERT-11: the old numbers are not known")
        if folded is None:
            try:
                return relate_call(layout, there, known)
            except Rejection as rejection:
                reason = rejection
        for assumed, boxes in enumerate(self.boxes, 1):
            each = [self._box(value, boxes) for value in self._values_of(node, op)]
            struck = [
                _without_zeros(axes, box, _apart(layout, number))
                for number, (axes, box) in enumerate(zip(known, each, strict=True))
            ]
            try:
                if folded is not None:  # the first operand is what the weight is multiplied with
                    struck[0] = _without_constants(known[0], each[0], folded)
                found = relate_call(layout, there, struck)
            except Rejection as rejection:
                reason = rejection
                continue
            self.assumed = max(self.assumed, assumed)
            self.folds += folded is not None
            return found
        raise reason

    def _folded(self, node: Node) -> Folded | None:
        """What a call is whose bias has other numbers, None where it has not."""
        name = state_name(node.arguments.get("bias"))
        if name not in self.new_biases:
            return None
        if not self.boxes:
            raise Rejection(f"CERT-16: {name!r} has other numbers, and the old ones are not known")
        weight = self.tensors[state_name(node.arguments["weight"])]
        old, (known,) = self.tensors[name], self.state[name]
        rows = known if isinstance(known, Relation) else Relation.identity(len(old))
        return Folded(node, weight, old, self.new_biases[name], rows)

    def _box(self, value: Value, boxes: Callable[[], Mapping[Value, Box]]) -> Box | None:
        if value.origin != "state":
            return boxes().get(value)
        tensor = self.tensors.get(value.name)
        return None if tensor is None else Box(tensor, tensor)

    def _values_of(self, node: Node, op: Op) -> list[Value]:
        given = op.complete(node.arguments)
        return [v for argument in given.values() for v in tensors_in_argument(argument)]

    def _operand_axes(self, node: Node, op: Op) -> list[Axes]:
        values = self._values_of(node, op)
        return [self.axes(v) or (None,) * len(v.type.shape) for v in values if v.type is not None]

    def _check_arguments(
        self, node: Node, op: Op, old: Candidate, key: Key, layout: Layout
    ) -> None:
        """Numbers may differ where the layout says that they follow an axis, and nowhere else."""
        follows = {rule.path for rule in layout.sizes}
        before, after = op.complete(old.node.arguments), op.complete(node.arguments)
        if node.writes != old.node.writes:
            raise Rejection("CERT-11: the arguments differ")
        for name in before | after:
            for path, one, other in leaves(before.get(name), after.get(name), (name,)):
                numbers = number_of(one, old.node), number_of(other, node)
                differs = numbers[0] != numbers[1] or old.key(one) != key(other)
                if differs and path not in follows:
                    raise Rejection(f"CERT-11: {name!r} is {other!r} instead of {one!r}")


def _apart(layout: Layout, operand: int) -> list[bool]:
    """For each axis of an operand whether what differs along it stays apart in all results."""
    return [
        all(any(site.output for site in layout.sites[atom]) for atom in atoms_in(form))
        for form in layout.operands[operand]
    ]


def _without_zeros(axes: Axes, box: Box | None, apart: Sequence[bool]) -> Axes:
    """The relations of a value without parts that nobody takes of units that are 0 (CERT-14).

    That is so along an axis whose units are summed. Where the results keep the units of another
    axis apart, those that are left out there do not count.
    """
    if box is None or box.low.dim() != len(axes):
        return axes
    zero = box.is_zero.cpu().numpy()
    changed = [
        (axis, known)
        for axis, known in enumerate(axes)
        if isinstance(known, Relation) and known.size == zero.shape[axis]
    ]
    for axis, known in changed:
        if apart[axis]:
            zero = zero.take(known.source[known.source >= 0], axis)
    found = [*axes]
    for axis, known in changed:
        if not apart[axis]:
            others = tuple(each for each in range(zero.ndim) if each != axis)
            found[axis] = _struck(known, np.asarray(zero.all(others)))
    return tuple(found)


def _without_constants(axes: Axes, box: Box | None, folded: Folded) -> Axes:
    """The relations of an operand without the units that a bias has taken over (CERT-16)."""
    axis = len(axes) + 1 - folded.weight.dim()
    units = axes[axis]
    if box is None or not isinstance(units, Relation):
        raise Rejection("CERT-16: no unit is left out that a bias could have taken over")
    return (*axes[:axis], _struck(units, folded.taken_over(units, box)), *axes[axis + 1 :])


def _struck(relation: Relation, zero: npt.NDArray[np.bool_]) -> Relation:
    """A relation without parts that nobody takes of some units."""
    untaken = np.setdiff1d(np.arange(len(relation.group)), relation.take)
    gone = untaken[zero[relation.group[untaken]]]
    # Parts that nobody takes come last, so the others keep their numbers.
    return Relation.of(relation.size, relation.take, np.delete(relation.group, gone))


def _check_sizes(axes: Axes, forms: Sequence[AxisForm], value: Value) -> None:
    for known, form in zip(axes, forms, strict=True):
        if known is not None and known.new_size != form.size:
            raise Rejection(f"CERT-11: {value.type} is not what its relations say")
