"""The axis rules of indexing with `x[...]`, for reading and for setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch

from morphir.ops.axes import Flow, Layout, SizeRule, linear_layout, make_layout
from morphir.ops.base import Instance
from morphir.ops.broadcast import broadcast, nothing_moves, plain
from morphir.ops.forms import Atom, Axes, Form, atoms_in
from morphir.ops.parts import picking, taking
from morphir.ops.paths import Path

Entries = list[tuple[Path, Any]]


def getitem(input: torch.Tensor, index: Any) -> torch.Tensor:
    """`input[index]`."""
    return input[index]


def setitem(input: torch.Tensor, index: Any, value: Any) -> torch.Tensor:
    """A copy of `input` after `input[index] = value`."""
    result = input.clone()
    result[index] = value
    return result


def getitem_rule(instance: Instance) -> Layout:
    """`x[index]`: slices and picks are parts of a sum; tensors of indices replace their axes."""
    entries = _entries(instance["index"])
    if any(isinstance(entry, bool | list | tuple) for _, entry in entries):
        return nothing_moves(instance)
    shape, result = instance.shapes[0], instance.outputs[0]
    ranks = [len(entry.shape) for _, entry in entries if hasattr(entry, "shape")]
    index = _Index(shape, entries, [1] * len(ranks))
    if ranks and len(result) != len(index.plain_outs) + max(ranks):
        if len(ranks) > 1 or not ranks[0]:
            return nothing_moves(instance)
        index = _Index(shape, entries, ranks)  # a mask
        ranks = [1]
    before, after = index.plain_outs[: index.at], index.plain_outs[index.at :]
    block = plain(result[len(before) : len(result) - len(after)])
    tensors: list[Axes] = [plain(tensor) for tensor in index.tensors]
    flows = dict(index.flows)
    # A layout reads shapes only, and by its shape a list of indices may be a mask as well.
    if min(ranks, default=0) > 1:
        tensors = [broadcast(block, tensor) for tensor in index.tensors]
        flows |= dict.fromkeys(block, "map")
    return linear_layout([index.ins, *tensors], [(*before, *block, *after)], flows, index.rules)


def setitem_rule(instance: Instance) -> Layout:
    """`x[index] = value`: the output has the parts of the input, one of which is the value's."""
    entries = _entries(instance["index"])
    if any(hasattr(e, "shape") or isinstance(e, bool | list | tuple) for _, e in entries):
        return nothing_moves(instance)
    index = _Index(instance.shapes[0], entries, [])
    region = index.plain_outs
    operands = [index.ins]
    for shape in instance.shapes[1:]:
        extra = max(len(shape) - len(region), 0)  # axes of size 1, which torch drops
        operands.append((*plain(shape[:extra]), *broadcast(region, shape[extra:])))
    moving = {*region, *index.flows}
    atoms = {atom for form in index.ins for atom in atoms_in(form)}
    flows: dict[Atom, Flow] = {a: "map" if a in moving else "fixed" for a in atoms}
    return make_layout(operands, [index.ins], flows, index.rules)


def _entries(index: Any) -> Entries:
    if isinstance(index, tuple):
        return [(("index", k), entry) for k, entry in enumerate(index)]
    return [(("index",), index)]


@final
class _Index:
    """What an index does to the axes of the tensor that it is put to.

    Attributes:
        ins: The forms of the tensor's dimensions.
        plain_outs: The forms of what slices and `None` leave, in their order.
        tensors: The shapes of the tensors among the indices.
        at: Where among `plain_outs` the axes stand that tensors leave.
        flows: The roles that do not follow from data movement.
        rules: What ties the bounds of slices to the axes.
    """

    def __init__(self, shape: Sequence[int], entries: Entries, takes: Sequence[int]) -> None:
        """Walks the entries.

        Args:
            shape: The shape of the indexed tensor.
            entries: The parts of the index.
            takes: How many axes each tensor among them replaces: one, or a mask all that it has.
        """
        self.ins: Axes = ()
        self.plain_outs: list[Form] = []
        self.tensors: list[tuple[int, ...]] = []
        self.flows: dict[Atom, Flow] = {}
        self.rules: list[SizeRule] = []
        self._takes = iter(takes)
        places: set[int] = set()
        used = sum(takes) + sum(
            not hasattr(entry, "shape") and entry is not None and entry is not ...
            for _, entry in entries
        )
        for path, entry in _spell_out(entries, len(shape) - used):
            self._add(shape, path, entry)
            if getattr(entry, "shape", ()):
                places.add(len(self.plain_outs))
        # Tensors that other axes lie between leave theirs in front of everything.
        self.at = places.pop() if len(places) == 1 else 0

    def _add(self, shape: Sequence[int], path: Path, entry: Any) -> None:
        axis = len(self.ins)
        if entry is None:
            self.plain_outs.append(Atom("New", 1))
        elif hasattr(entry, "shape"):
            self.tensors.append(tuple(entry.shape))
            taken = shape[axis : axis + next(self._takes)]
            self.ins += tuple(Atom("Indexed", size) for size in taken)
        elif isinstance(entry, slice) and entry.step not in (None, 1):
            self.ins += (Atom("Strided", shape[axis]),)
            self.plain_outs.append(Atom("Kept", len(range(*entry.indices(shape[axis])))))
        elif isinstance(entry, slice):
            form, kept, rules, unused = taking(shape, axis, path, entry.start, entry.stop)
            self.plain_outs.append(kept)
            self._take(form, rules, unused)
        else:
            self._take(*picking(shape, axis, path, entry))

    def _take(self, form: Form, rules: list[SizeRule], unused: dict[Atom, Flow]) -> None:
        self.ins += (form,)
        self.rules += rules
        self.flows |= unused


def _spell_out(entries: Entries, missing: int) -> Entries:
    """Replaces `...`, and what is left out at the end, by full slices."""
    full: Entries = [((), slice(None))] * missing
    dots = [k for k, (_, entry) in enumerate(entries) if entry is ...]
    at = dots[0] if dots else len(entries)
    return [*entries[:at], *full, *entries[at + 1 :]]
