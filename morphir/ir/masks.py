"""Masks: which numbers of a parameter are in use.

    MASK-1  a parameter `w` carries a mask if its module has a buffer `w_mask` of its shape and
            dtype that no entry point reads; it holds zeros and ones, and the parameter is 0 where
            it is 0
    MASK-2  where axes change, so does the mask: a copy has the mask of its unit, whether the
            parameter is copied or split there, copies that are merged have a 1 where one of them
            had, and what is free has ones
    MASK-10 where masks that are there change, and no number left torch, the recording of the old
            model is that of the new one

Nothing multiplies by a mask in a forward: whoever trains the parameter keeps it 0 behind its mask.
So a mask is no part of the function, and passes that grow or shrink it need not look at the graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from morphir.ir.change import Added, AxisChange, Mapped, Multiplied, TensorChange
from morphir.ir.graph import Graph
from morphir.ir.program import StateEntry
from morphir.tensors import equal_numbers

_SUFFIX = "_mask"


def mask_name(parameter: str) -> str:
    """The name of the buffer that a parameter's mask is."""
    return f"{parameter}{_SUFFIX}"


def with_masks(state: Mapping[str, StateEntry], graphs: Iterable[Graph]) -> dict[str, StateEntry]:
    """The entries of a program, those of parameters with their masks (MASK-1)."""
    found = dict(state)
    masks = {
        name: other
        for name, entry in state.items()
        if entry.kind == "parameter"
        for other in [state.get(mask_name(name))]
        if other is not None and other.kind == "buffer" and other.type == entry.type
    }
    if not masks:
        return found
    read = {v.name for g in graphs for v in (*g.state, *(v for _, v in g.outputs))}
    written = {name for g in graphs for name, _ in g.updates}
    for name, mask in masks.items():
        if mask.name not in read | written:
            found[name] = replace(found[name], mask=mask.name)
    return found


def complaint(parameter: torch.Tensor, mask: torch.Tensor) -> str:
    """Why a tensor is not the mask of a parameter, or "" (MASK-1)."""
    if equal_numbers(mask * mask, mask) and equal_numbers(parameter * mask, parameter):
        return ""  # in a fraction of the time that it takes to say what is wrong
    off = mask == 0
    if not (off | (mask == 1)).all():
        return "its mask has numbers other than 0 and 1"
    behind = int((off & (parameter != 0)).sum())
    return f"{behind} of its numbers are not 0 behind its mask" if behind else ""


def copied(change: TensorChange) -> TensorChange:
    """How the axes of a mask change, from how those of the parameter do (MASK-2)."""
    return tuple(map(_copied, change))


def _copied(change: AxisChange) -> AxisChange:
    match change:
        case Mapped():
            return replace(change, polarity="copy")
        case Multiplied(factors=factors):
            return Multiplied(tuple(map(_copied, factors)))
        case Added(terms=terms):
            return Added(tuple(map(_copied, terms)))
