"""Whether Python may have seen numbers while a graph was recorded: values, or sizes that follow.

Then other numbers may give another graph (MASK-10).
"""

from __future__ import annotations

from typing import Final

import torch

from morphir.ir import Graph, Node
from morphir.ops import OpTable
from morphir.ops.content import tells_python

# Marks for what left torch: an `if`, a number that was read, a call that nobody looked into.
_LEFT_TORCH: Final = ("escape", "python", "scripted")
_OF_SIZES: Final = "float"  # a mark for what Python made of a size
_SIZED_BY_NUMBERS: Final = ("one_hot", "bincount", "tensor_split")  # which tells_python leaves out
_INDEXING: Final = ("getitem", "index")
_MASKS: Final = (torch.bool, torch.uint8)


def sees_numbers(graph: Graph, table: OpTable) -> bool:
    """Whether other numbers may give another graph.

    Args:
        graph: What was recorded.
        table: The ops that are declared; nothing is known of the others.
    """
    return any(_sees_numbers(node, table) for node in graph.nodes)


def _sees_numbers(node: Node, table: OpTable) -> bool:
    if node.op in _LEFT_TORCH or node.op in _SIZED_BY_NUMBERS:
        return True
    if node.op == _OF_SIZES or not node.operands:
        return False
    by_mask = any(v.type is None or v.type.dtype in _MASKS for v in node.operands)
    return (by_mask and node.op in _INDEXING) or tells_python(node, table.get(node.op))
