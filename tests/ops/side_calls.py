"""Two calls of an op whose operands are related as one says: what the checker says, and what is so.

`verdict` asks the certificate checker which relations the results have. `holds` looks at the
results themselves, which were computed by the real op; it shares nothing with the checker but what
a relation is (REL-1).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from morphir.checks.following import Candidate, Following
from morphir.checks.forms import Form as ValueForm
from morphir.checks.rejection import Rejection
from morphir.checks.relations import Known
from morphir.checks.uniform import Uniform
from morphir.ir import FREE, ZERO, Node, Relation, TensorType, Value
from morphir.ops import Op
from morphir.ops.forms import Atom, Form, Product, parts_of
from morphir.ops.paths import put_path, tensors_of
from morphir.ops.verdict import close, results_of

Relations = Sequence[Relation]  # one for each axis of a tensor
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """An old call and a new one, and how their operands are related."""

    op: Op
    old: Arguments
    new: Arguments
    operands: tuple[tuple[Relation, ...], ...]

    def results(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """What both calls return."""
        return results_of(self.op, self.old), results_of(self.op, self.new)


def operands_of(op: Op, arguments: Arguments) -> list[tuple[Any, torch.Tensor]]:
    """The tensors among the arguments, with their places."""
    complete = op.complete(arguments)
    return [found for name, a in complete.items() for found in tensors_of(a, (name,))]


# -- what the checker says ------------------------------------------------------------------------


def verdict(pair: Pair) -> list[tuple[Known, ...]] | str:
    """The relations of the results, by the checker, or why it refuses."""
    before, after = pair.results()
    old = _node(pair.op, pair.old, before)
    new = _node(pair.op, pair.new, after)
    following = Following({})
    known = {f"x{k}": axes for k, axes in enumerate(pair.operands)}
    for value in new.operands:
        changed = tuple(None if each.is_identity else each for each in known[value.name])
        following.values[value] = changed if any(changed) else ()
    candidate = Candidate(old, (), ValueForm(None), ValueForm(None), _key)
    try:
        following.follow(new, pair.op, candidate, _key)
    except Rejection as rejection:
        return rejection.summary
    return [following.values[value] for value in new.results]


def _node(op: Op, arguments: Arguments, results: Sequence[torch.Tensor]) -> Node:
    held: Any = op.complete(arguments)
    for number, (path, tensor) in enumerate(operands_of(op, arguments)):
        held = put_path(held, path, Value("input", f"x{number}", TensorType.of(tensor)))
    outputs = tuple(Value("result", "", TensorType.of(tensor)) for tensor in results)
    return Node(op.name, held, outputs)


def _key(argument: Any) -> Any:
    match argument:
        case Value(name=name):
            return "value", name
        case tuple():
            return tuple(map(_key, argument))
        case slice(start=start, stop=stop, step=step):
            return _key((start, stop, step))
        case _:
            return type(argument).__name__, repr(argument)


# -- what is so -----------------------------------------------------------------------------------


def lift(form: Form, atoms: Callable[[Atom], Relation]) -> Relation:
    """The relation of an axis from those of its atoms, which are asked for from left to right."""
    if isinstance(form, Atom):
        return atoms(form)
    parts = [lift(part, atoms) for part in parts_of(form)]
    return (Relation.product if isinstance(form, Product) else Relation.sum)(parts)


def related(tensor: torch.Tensor, relations: Relations, seed: int = 0) -> torch.Tensor | None:
    """A new tensor that is related so, with any parts; None where its numbers have no parts."""
    numbers = torch.Generator().manual_seed(seed)
    is_real = tensor.is_floating_point() or tensor.is_complex()
    for axis, relation in enumerate(relations):
        if not (is_real or np.array_equal(np.sort(relation.group), np.arange(relation.size))):
            return None
        tensor = _apart(tensor, axis, relation, numbers)
    for axis, relation in enumerate(relations):
        tensor = tensor.index_select(axis, torch.from_numpy(np.maximum(relation.take, 0)))
    noise = torch.randn(tensor.shape, generator=numbers, dtype=tensor.dtype) if is_real else tensor
    for axis, relation in enumerate(relations):
        tensor = torch.where(_at(relation, FREE, tensor.dim(), axis), noise, tensor)
    return _without_zeros(tensor, relations)


def _apart(
    tensor: torch.Tensor, axis: int, relation: Relation, numbers: torch.Generator
) -> torch.Tensor:
    """The parts of the units of an axis: any numbers that sum to them."""
    group = torch.from_numpy(relation.group)
    whole = tensor.index_select(axis, group)
    is_last = [unit not in relation.group[k + 1 :] for k, unit in enumerate(relation.group)]
    if all(is_last):
        return whole
    last = torch.tensor(is_last).reshape([-1 if k == axis else 1 for k in range(whole.dim())])
    parts = torch.randn(whole.shape, generator=numbers, dtype=whole.dtype).masked_fill(last, 0)
    sums = torch.zeros_like(tensor).index_add(axis, group, parts)
    return torch.where(last, whole - sums.index_select(axis, group), parts)


def _at(relation: Relation, mark: int, rank: int, axis: int) -> torch.Tensor:
    """Where the positions of an axis are free, or zero."""
    found = torch.from_numpy(relation.take == mark)
    return found.reshape([-1 if k == axis else 1 for k in range(rank)])


def _without_zeros(tensor: torch.Tensor, relations: Relations) -> torch.Tensor:
    for axis, relation in enumerate(relations):
        where = _at(relation, ZERO, tensor.dim(), axis)
        tensor = torch.where(where, torch.zeros_like(tensor), tensor)
    return tensor


def holds(pair: Pair, found: Sequence[Sequence[Known]]) -> bool:
    """Whether the real results are related so (REL-1), up to rounding."""
    before, after = pair.results()
    terms = [t for call in (pair.old, pair.new) for _, t in operands_of(pair.op, call)]
    return len(before) == len(after) == len(found) and all(
        _is_related(old, new, axes or (None,) * old.dim(), terms)
        for old, new, axes in zip(before, after, found, strict=True)
    )


def _is_related(
    old: torch.Tensor, new: torch.Tensor, axes: Sequence[Known], terms: Sequence[torch.Tensor]
) -> bool:
    def same(one: torch.Tensor, other: torch.Tensor) -> bool:
        one, other = (torch.view_as_real(t) if t.is_complex() else t for t in (one, other))
        return one.shape == other.shape and close(one, other, terms)

    relations = []
    for axis, (known, size) in enumerate(zip(axes, old.shape, strict=True)):
        if isinstance(known, Uniform):
            if not all(same(*each) for each in _alike(old, new, known, axis)):
                return False
            known = known.relation
        relations.append(Relation.identity(size) if known is None else known)
    if [[r.size for r in relations], [r.new_size for r in relations]] != [
        [*old.shape],
        [*new.shape],
    ]:
        return False
    if not same(_without_zeros(new, relations), new):
        return False
    for axis, relation in enumerate(relations):
        new = new.index_select(axis, torch.from_numpy(np.flatnonzero(relation.take >= 0)))
    for axis, relation in enumerate(relations):
        take = relation.take[relation.take >= 0]
        parts, first, again = np.unique(take, return_index=True, return_inverse=True)
        apart = new.index_select(axis, torch.from_numpy(first))
        if not same(apart.index_select(axis, torch.from_numpy(again)), new):
            return False
        whole = np.setdiff1d(
            np.arange(relation.size),
            relation.group[np.setdiff1d(np.arange(len(relation.group)), parts)],
        )
        sums = [
            apart.index_select(axis, torch.from_numpy(np.flatnonzero(relation.group[parts] == u)))
            for u in whole
        ]
        old = old.index_select(axis, torch.from_numpy(whole))
        # A single part is itself: booleans have no sums.
        each = [s if s.shape[axis] == 1 else s.sum(axis, keepdim=True) for s in sums]
        new = torch.cat(each, axis).to(old.dtype) if each else apart.narrow(axis, 0, 0)
    return same(new, old)


def _alike(
    old: torch.Tensor, new: torch.Tensor, known: Uniform, axis: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What has to be the same, along an axis that has units of a few kinds."""
    if (known.size, known.new_size) != (old.shape[axis], new.shape[axis]):
        yield old, new.new_empty(0)
        return
    for tensor, kinds in ((old, known.was), (new, known.now)):
        first = torch.tensor([kinds.index(kind) for kind in kinds], dtype=torch.int64)
        yield tensor.index_select(axis, first), tensor
