"""Data movement: calls that change no number, checked on the numbers of their elements.

CERT-12  a call that only moves data is run on the numbers of its elements, old and new, and
         must move parts of a unit to parts of that unit
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import torch

from morphir.checks.calls import BATCH, Axes, Shape, concrete
from morphir.checks.rejection import Rejection
from morphir.checks.relations import Known
from morphir.checks.uniform import Uniform
from morphir.ir import Node, Relation
from morphir.ir.relation import FREE, ZERO, Indices
from morphir.ops import Op
from morphir.ops.paths import tensors_of
from morphir.tensors import tensors_in

MOVES: Final = frozenset(
    {
        "cat", "chunk", "expand", "flatten", "flip", "getitem", "movedim", "narrow", "permute",
        "pixel_shuffle", "pixel_unshuffle", "repeat", "reshape", "roll", "select", "split",
        "squeeze", "stack", "tile", "transpose", "unbind", "unflatten", "unsqueeze",
    }
)  # fmt: skip


def check_movement(
    op: Op, old: Node, new: Node, operands: Sequence[Axes], outputs: Sequence[Axes]
) -> None:
    """Checks CERT-12, if the call only moves data.

    Raises:
        Rejection: It moves a part of a unit to another one, or leaves one out.
    """
    if new.op not in MOVES or not _moves_one_kind(new):
        return
    was, now = _moved(op, old), _moved(op, new)
    sources = _sources(op, old)
    part, unit = _read(operands, sources, _sources(op, new))
    parts_of_unit = np.bincount(unit, minlength=sum(map(prod, sources)))
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
    arguments, _ = concrete(node, 1)
    complete = op.complete(arguments)
    return [tensor.shape for a in complete.values() for _, tensor in tensors_of(a)]


def _moved(op: Op, node: Node) -> list[Indices]:
    """Runs a node on tensors that hold the numbers of their elements, counted over all operands."""
    arguments, _ = concrete(node, 1)
    start = 0

    def numbered(argument: Any) -> Any:
        nonlocal start
        if isinstance(argument, Shape):
            count = prod(argument.shape)
            start += count
            return torch.arange(start - count, start, device="cpu").reshape(argument.shape)
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
        part_count, unit_count = part_count + len(group), unit_count + prod(shape)
    return np.concatenate(parts), np.concatenate(units)


def _as_relation(known: Known, size: int, new_size: int) -> Relation:
    """A relation as it is at a batch of one."""
    if known is None:
        return Relation.identity(size)
    if isinstance(known, Uniform):
        known = known.relation
    if known.size == size:
        return known
    for major in (True, False):  # heads that share a dimension with the batch
        sizes, new_sizes = ([BATCH, n] if major else [n, BATCH] for n in (size, new_size))
        found = known.factors(sizes, new_sizes)
        if found is not None and found[not major].is_identity:
            return found[major]
    raise Rejection("CERT-12: an axis that holds the batch is moved, and its units depend on it")
