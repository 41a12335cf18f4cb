"""Ops that move numbers, and those that add up what they move to one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import torch

from morphir.field.modular import Unsupported
from morphir.field.residues import Kernel, Residues, Run

aten = torch.ops.aten

MOVING: Final = frozenset({
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "cat", "chunk", "clone",
    "contiguous", "copy", "copy_", "detach", "diag_embed", "diagonal", "embedding", "expand",
    "flip", "gather", "index", "index_copy", "index_copy_", "index_select", "lift_fresh",
    "masked_scatter", "masked_select", "movedim", "narrow", "native_channel_shuffle", "permute",
    "pixel_shuffle", "pixel_unshuffle", "repeat", "repeat_interleave", "reshape", "roll",
    "select", "select_scatter", "slice", "slice_scatter", "split", "split_with_sizes", "squeeze",
    "stack", "t", "transpose", "tril", "triu", "unbind", "unfold", "unsafe_split",
    "unsafe_split_with_sizes", "unsqueeze", "view", "zero_",
})  # fmt: skip
_MEAN, _MAX = 1, 2  # how torch numbers the modes of embedding_bag
_IN_FLOATS: Final = (
    "im2col", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
)  # fmt: skip


def _through_floats(name: str) -> Kernel:
    """An op that torch has for floats only; float64 holds a residue exactly."""

    def moved(run: Run, tensor: Residues, *args: Any, **kwargs: Any) -> Residues:
        found = getattr(aten, name)(tensor.residues.double(), *args, **kwargs)
        return run.wrap(found.long(), tensor)

    return moved


def to_copy(
    run: Run, tensor: Residues, *, dtype: torch.dtype | None = None, **kwargs: Any
) -> torch.Tensor:
    """A cast: to another float the number stays what it is."""
    if dtype is torch.bool:
        return tensor.residues != 0
    if dtype is not None and not dtype.is_floating_point:
        raise Unsupported(f"a cast to {dtype}")
    return Residues(tensor.residues.clone(), dtype or tensor.dtype, run)


def where(run: Run, condition: torch.Tensor, one: Any, other: Any) -> Residues:
    """One or the other."""
    chosen = torch.where(condition, run.value(one), run.value(other))
    return run.wrap(chosen, one, other)


def masked_fill(run: Run, tensor: Any, mask: torch.Tensor, value: Any) -> Residues:
    """A number where the mask is set."""
    return run.wrap(torch.where(mask, run.value(value), run.lift(tensor)), tensor)


def fill(run: Run, tensor: Residues, value: Any) -> Residues:
    """The same number everywhere."""
    found = torch.zeros_like(tensor.residues) + run.value(value)
    return run.wrap(found, tensor)


def constant_pad(run: Run, tensor: Residues, pad: list[int], value: float = 0) -> Residues:
    """A border of one number."""
    return run.wrap(aten.constant_pad_nd(tensor.residues, pad, run.number(value)), tensor)


def scatter(run: Run, tensor: Any, axis: int, index: torch.Tensor, source: Any) -> Residues:
    """Numbers written to places."""
    found = aten.scatter(run.lift(tensor), axis, index, run.value(source))
    return run.wrap(found, tensor, source)


def _adding(function: Callable[..., torch.Tensor]) -> Kernel:
    def added(
        run: Run, tensor: Any, axis: int, index: torch.Tensor, source: Any, *, alpha: float = 1
    ) -> Residues:
        scaled = run.lift(source) * run.number(alpha) % run.field.prime
        total = function(run.lift(tensor), axis, index, scaled)
        return run.wrap(total % run.field.prime, tensor, source)

    return added


def scatter_reduce(
    run: Run, tensor: Any, axis: int, index: torch.Tensor, source: Any, reduce: str, *,
    include_self: bool = True,
) -> Any:  # fmt: skip
    """Numbers added up or averaged at places."""
    if reduce not in ("sum", "mean"):
        raise Unsupported(f"scatter_reduce by {reduce}")
    if not include_self:
        tensor = aten.scatter(tensor, axis, index, 0.0)
    total = aten.scatter_add(tensor, axis, index, source)
    if reduce == "sum":
        return total
    ones = torch.zeros(tensor.shape, dtype=torch.int64, device=index.device)
    count = ones.scatter_add(axis, index, torch.ones_like(index)) + include_self
    return total / count.clamp(min=1)


def index_put(
    run: Run, tensor: Any, indices: Any, values: Any, accumulate: bool = False
) -> Residues:
    """Numbers written to places, or added to what is there."""
    found = aten.index_put(run.lift(tensor), indices, run.lift(values), accumulate)
    return run.wrap(found % run.field.prime, tensor, values)


def fold(run: Run, tensor: Residues, *args: Any) -> Residues:
    """Sliding blocks added to an image: few of them overlap, so float64 holds the sums."""
    return run.wrap(aten.col2im(tensor.residues.double(), *args).long() % run.field.prime, tensor)


def embedding_bag(
    run: Run, weight: Any, indices: torch.Tensor, offsets: torch.Tensor,
    scale_gradient: bool = False, mode: int = 0, sparse: bool = False, factors: Any = None,
    with_end: bool = False, padding: int = -1,
) -> Any:  # fmt: skip
    """Sums, means or largest of embeddings, bag by bag."""
    ends = [*offsets.tolist(), *([] if with_end else [len(indices)])]
    bags = []
    for start, end in pairwise(ends):
        kept = indices[start:end] != padding
        rows = aten.index(weight, [indices[start:end][kept]])
        if factors is not None:
            rows = rows * aten.index(factors[start:end], [kept]).unsqueeze(1)
        is_largest = mode == _MAX and len(rows)
        bags.append(rows.amax(0) if is_largest else rows.mean(0) if mode == _MEAN else rows.sum(0))
    return torch.stack(bags), offsets, offsets, offsets  # the last three are for the gradient


def pack(run: Run, tensor: Residues, lengths: torch.Tensor, batch_first: bool) -> Any:
    """Sequences of several lengths, step by step."""
    found, sizes = aten._pack_padded_sequence(tensor.residues, lengths, batch_first)
    return run.wrap(found, tensor), sizes


def read_number(run: Run, *tensors: Any) -> float:
    """What hands a number to Python, and has Python decide by it."""
    raise Unsupported("Python reads a number that depends on the input or a parameter")


COMPUTED: Final[Mapping[str, Kernel]] = {
    **{name: _through_floats(name) for name in _IN_FLOATS},
    "_to_copy": to_copy,
    "where": where,
    "masked_fill": masked_fill,
    "fill": fill,
    "constant_pad_nd": constant_pad,
    "scatter": scatter,
    "scatter_reduce": scatter_reduce,
    "scatter_add": _adding(aten.scatter_add),
    "index_add": _adding(aten.index_add),
    "index_put": index_put,
    "_unsafe_index_put": index_put,
    "col2im": fold,
    **dict.fromkeys(("_embedding_bag", "_embedding_bag_forward_only"), embedding_bag),
    "_pack_padded_sequence": pack,
    "_local_scalar_dense": read_number,
    "equal": read_number,
}
