"""Putting a call behind every call of a module, so that who read its result reads the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import final

from morphir.ir.graph import Argument, Call, Graph, Item, Node, Value, substitute
from morphir.ir.types import Batch, Dim, TensorType

# From a call of the anchor and what it returns to the new call, and what that returns.
Make = Callable[[Call, Value], tuple[Call, Value]]


@final
class Splice:
    """Puts a new call after every call of an anchor, or at its end.

    Attributes:
        assumes: What is taken for granted because the program cannot tell, or nothing.
    """

    def __init__(self, anchor: str, make: Make, *, inside: bool) -> None:
        """Says what goes where.

        Args:
            anchor: The module; "" is the model itself, which is the entry point `forward`.
            make: What makes the new call.
            inside: Whether it becomes the end of the anchor's own call.
        """
        self._anchor, self._make, self._inside = anchor, make, inside
        self._renamed: dict[Value, Value] = {}
        self._computed: dict[Value, int] = {}  # in execution order
        self.assumes = ""

    def apply(self, graph: Graph) -> Graph:
        """Rebuilds the graph; readers after the anchor's call read the new call's output."""
        self._renamed = {}
        body = tuple(self._items(graph.body))
        if not self._anchor:
            for call in graph.runs_of(""):
                (old,) = call.results
                new_call, self._renamed[old] = self._make(call, old)
                body = (*body, new_call)
        kept = [p for p, v in graph.outputs if p.startswith("self.") and v in self._renamed]
        if kept:
            self.assumes = f"{kept[0]} may be kept before {self._anchor!r} returns it"
        return replace(
            graph,
            body=body,
            outputs=tuple((path, self._now(value)) for path, value in graph.outputs),
            updates=tuple((name, self._now(value)) for name, value in graph.updates),
        )

    def _now(self, value: Value) -> Value:
        while value in self._renamed:
            value = self._renamed[value]
        return value

    def _items(self, items: tuple[Item, ...]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, Node):
                table = {v: self._now(v) for v in item.operands}
                self._computed |= {v: len(self._computed) for v in item.outputs}
                yield replace(item, arguments=substituted(item.arguments, table))
                continue
            before = len(self._computed)
            body = tuple(self._items(item.body))
            results = tuple(self._now(value) for value in item.results)
            if item.module != self._anchor:
                yield Call(item.module, body, results)
                continue
            (old,) = results
            if self._computed.get(item.results[0], -1) < before:
                self.assumes = (
                    f"{self._anchor!r} returns its input, so who else reads that is unknown"
                )
            inserted, new = self._make(Call(item.module, body, results), old)
            self._renamed[old] = new
            if self._inside:
                yield Call(item.module, (*body, inserted), (new,))
            else:
                yield Call(item.module, body, results)
                yield inserted


def block_after(name: str, block: Graph) -> Make:
    """A fresh copy of a block's nodes, which reads the old result and the state under its new name.

    Args:
        name: What the block is called in the model.
        block: Its recording, with one input and one output.
    """
    state = {v: Value("state", f"{name}.{v.name}", v.type) for v in block.state}
    (formal,) = block.inputs
    ((_, result),) = block.outputs

    def moved(module: str) -> str:
        return f"{name}.{module}".removesuffix(".")

    def make(call: Call, old: Value) -> tuple[Call, Value]:
        table: dict[Value, Value] = {formal: old, **state}
        body = tuple(copied(block.body, table, moved, lambda kind: _retype(kind, old)))
        return Call(name, body, (table[result],)), table[result]

    return make


def copied(
    items: tuple[Item, ...],
    table: dict[Value, Value],
    moved: Callable[[str], str],
    retype: Callable[[TensorType | None], TensorType | None] = lambda kind: kind,
) -> Iterator[Item]:
    """Copies of items, with results of their own.

    Args:
        items: What is copied.
        table: What stands for the values that they read; what they compute is put in.
        moved: From a module to the one that stands for it.
        retype: From the type of a value to that of the one that stands for it.
    """
    for item in items:
        if isinstance(item, Call):
            body = tuple(copied(item.body, table, moved, retype))
            results = tuple(table.get(value, value) for value in item.results)
            yield Call(moved(item.module), body, results)
            continue
        table.update({v: Value("result", "", retype(v.type)) for v in item.outputs})
        yield replace(
            item,
            arguments=substituted(item.arguments, table, moved),
            outputs=tuple(table[value] for value in item.outputs),
        )


def substituted(
    arguments: Mapping[str, Argument],
    table: Mapping[Value, Value],
    moved: Callable[[str], str] | None = None,
) -> dict[str, Argument]:
    """The arguments of a call with other values in the place of some."""
    return {name: substitute(argument, table, moved) for name, argument in arguments.items()}


def _retype(kind: TensorType | None, operand: Value) -> TensorType | None:
    """The type of a block's value: one batch of the block is the first axis of `operand`."""
    if kind is None or operand.type is None or not operand.type.shape:
        return None
    first = operand.type.shape[0]
    scale = first.multiple if isinstance(first, Batch) else first

    def dim(size: Dim) -> Dim:
        if not isinstance(size, Batch):
            return size
        rows = size.multiple * scale
        return Batch(rows) if isinstance(first, Batch) else rows

    return TensorType(kind.dtype, tuple(map(dim, kind.shape)))
