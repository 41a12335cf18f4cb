"""What a recording is: a torch.fx graph, the module calls around its nodes, the tensors it read.

Six markers stand in the graph for what torch functions do not show. They are never called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, final

import torch
from torch import fx

from morphir.frontend.sizes import SizeTest


def alias(*values: torch.Tensor) -> torch.Tensor:  # pragma: no cover - a marker
    """Marks a tensor whose memory others have changed: some function of the given values."""
    raise NotImplementedError


def escape(how: str, *values: torch.Tensor) -> None:  # pragma: no cover - a marker
    """Marks values that left torch, so that whatever Python did next may depend on them."""
    raise NotImplementedError


def to_float(*, size: int) -> None:  # pragma: no cover - a marker
    """Marks a size or attribute of which Python made a float, which later numbers may follow."""
    raise NotImplementedError


def python(*values: torch.Tensor) -> torch.Tensor:  # pragma: no cover - a marker
    """Marks a tensor that Python made after values had left torch: some function of them."""
    raise NotImplementedError


def scripted(module: str, *values: torch.Tensor) -> Any:  # pragma: no cover - a marker
    """Marks a call of a TorchScript module: some function of its operands and its state."""
    raise NotImplementedError


def output(call: Any, index: int) -> torch.Tensor:  # pragma: no cover - a marker
    """Marks one of several tensors that a call returned or changed."""
    raise NotImplementedError


@final
@dataclass(frozen=True, slots=True)
class Unprintable:
    """Stands for an argument that no graph can hold, by its type's name."""

    type: str


@final
class Event(NamedTuple):
    """One thing that happened: a module was entered, a node ran, or a module returned."""

    kind: Literal["enter", "node", "exit"]
    module: str = ""
    node: fx.Node | None = None
    results: tuple[fx.Node, ...] = ()


@final
@dataclass(frozen=True, eq=False)
class Recording:
    """One call of one entry point.

    Attributes:
        graph: One node per functional call. `node.meta` has `type` (of the node's value) and for
            calls `outputs` (nodes of its tensors), `writes`, `in_place`, `random`, `source`,
            `context` (autocast or a class of tensors, under which no declaration applies) and, for
            what cannot be run again, `given` (copies of the tensors it made).
        events: Nodes and module calls in execution order.
        inputs: Path among the arguments and placeholder.
        outputs: Path in the returned object, node, and the tensor itself.
        tensors: State entry name to the tensor as it was before the call.
        constants: Names in `tensors` that are neither parameters nor buffers.
        unexplained: Those of the constants that no function was seen to make.
        updates: State entry name, node of the value after the call, and the tensor itself.
        size_tests: Comparisons that Python made with sizes.
        notes: What a reader should know.
        reads_numbers: Whether Python or the shape of a value depends on elements.
        draws: Whether Python or numpy drew random numbers.
        uses_mode: Whether the call may run differently in the other mode.
    """

    graph: fx.Graph
    events: tuple[Event, ...]
    inputs: tuple[tuple[str, fx.Node], ...]
    outputs: tuple[tuple[str, fx.Node, torch.Tensor], ...]
    tensors: Mapping[str, torch.Tensor]
    constants: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()
    updates: tuple[tuple[str, fx.Node, torch.Tensor], ...] = ()
    size_tests: tuple[SizeTest, ...] = ()
    notes: tuple[str, ...] = field(default=())
    reads_numbers: bool = False
    draws: bool = False
    uses_mode: bool = True
