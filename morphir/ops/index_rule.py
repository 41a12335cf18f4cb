"""The axis rule of indexing with `x[...]`, and setting by index as a function."""

from __future__ import annotations

from typing import Any

import torch

from morphir.ops.axes import Flow, Layout, SizeRule, linear_layout
from morphir.ops.base import Instance
from morphir.ops.broadcast import nothing_moves, plain
from morphir.ops.forms import Atom, Axes, Form
from morphir.ops.parts import picking, taking
from morphir.ops.paths import Path


def getitem(input: torch.Tensor, index: Any) -> torch.Tensor:
    """`input[index]`."""
    return input[index]


def setitem(input: torch.Tensor, index: Any, value: Any) -> torch.Tensor:
    """A copy of `input` after `input[index] = value`."""
    result = input.clone()
    result[index] = value
    return result


def getitem_rule(instance: Instance) -> Layout:
    """`x[index]`: slices and picks are parts of a sum; a tensor of indices replaces its axis."""
    index = instance["index"]
    whole = isinstance(index, tuple)
    entries: list[tuple[Path, Any]] = [
        (("index", k), entry) for k, entry in enumerate(index if whole else (index,))
    ]
    entries = entries if whole else [(("index",), index)]
    tensors = [entry for _, entry in entries if hasattr(entry, "shape")]
    if len(tensors) > 1 or any(_is_unusual(entry) for _, entry in entries):
        return nothing_moves(instance)
    return _take(instance, _spell_out(entries, len(instance.shapes[0])))


def _is_unusual(entry: Any) -> bool:
    if isinstance(entry, bool | list | tuple):
        return True
    if hasattr(entry, "shape"):
        return getattr(entry, "dtype", None) in (torch.bool, torch.uint8, None)
    return isinstance(entry, slice) and entry.step not in (None, 1)


def _spell_out(entries: list[tuple[Path, Any]], rank: int) -> list[tuple[Path, Any]]:
    """Replaces `...`, and what is left out at the end, by full slices."""
    used = sum(entry is not None and entry is not ... for _, entry in entries)
    full: list[tuple[Path, Any]] = [((), slice(None))] * (rank - used)
    dots = [k for k, (_, entry) in enumerate(entries) if entry is ...]
    at = dots[0] if dots else len(entries)
    return [*entries[:at], *full, *entries[at + 1 :]]


def _take(instance: Instance, entries: list[tuple[Path, Any]]) -> Layout:
    shape = instance.shapes[0]
    ins: list[Form] = []
    outs: list[Form] = []
    others: list[Axes] = []
    flows: dict[Atom, Flow] = {}
    rules: list[SizeRule] = []
    for path, entry in entries:
        axis = len(ins)
        if entry is None:
            outs.append(Atom("New", 1))
            continue
        if hasattr(entry, "shape"):
            indices = plain(tuple(entry.shape))
            flows |= dict.fromkeys(indices, "map")
            others.append(indices)
            ins.append(Atom("Indexed", shape[axis]))
            outs += indices
            continue
        if isinstance(entry, slice):
            form, kept, more, unused = taking(shape, axis, path, entry.start, entry.stop)
            outs.append(kept)
        else:
            form, more, unused = picking(shape, axis, path, entry)
        ins.append(form)
        rules += more
        flows |= unused
    return linear_layout([tuple(ins), *others], [tuple(outs)], flows, rules)
