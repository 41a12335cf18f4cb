"""Where more than types decides: sizes that depend on content, a batch of one that vanishes."""

from __future__ import annotations

from typing import Final

import torch

from morphir.ir import Node, Value
from morphir.ops.base import Op

_SIZED_BY_CONTENT: Final = ("nonzero", "masked_select", "unique", "argwhere", "repeat_interleave")
_INDEXING: Final = ("getitem", "index")  # sized by content where a mask is among the indices


def tells_python(node: Node, op: Op | None) -> bool:
    """Whether Python may know numbers that depend on the input after this node: values or sizes.

    Args:
        node: The call.
        op: Its declaration, None where there is none.
    """
    by_mask = any(v.type is not None and v.type.dtype is torch.bool for v in node.operands)
    return op is None or op.name in _SIZED_BY_CONTENT or (by_mask and op.name in _INDEXING)


def may_drop_batch(node: Node) -> bool:
    """Whether a batch of one would be squeezed away."""
    value = node.arguments.get("input")
    if node.op != "squeeze" or not isinstance(value, Value) or value.type is None:
        return False
    dims = node.arguments.get("dim")
    axes = range(len(value.type.shape)) if dims is None else dims
    each = axes if isinstance(axes, tuple | range) else (axes,)
    return any(not isinstance(value.type.shape[axis], int) for axis in each)
