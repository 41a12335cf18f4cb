"""Imports a recording, or a symbolically traced torch.fx graph, into the IR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, final

import torch
from torch import fx

from morphir.frontend import recording as marks
from morphir.frontend.recording import Recording, Unprintable
from morphir.frontend.sizes import (
    Computed,
    Expression,
    ReadAttribute,
    ReadSize,
    ReadState,
    TaggedInt,
)
from morphir.frontend.surface import function_name
from morphir.ir import (
    Argument,
    Arithmetic,
    Call,
    Graph,
    Item,
    ModuleAttribute,
    Node,
    SizeOf,
    TensorType,
    Value,
    substitute,
    values_in,
)
from morphir.ops import OpTable

_MARKERS: Mapping[Callable[..., Any], str] = {
    marks.alias: "alias",
    marks.escape: "escape",
    marks.to_float: "float",
    marks.python: "python",
    marks.scripted: "scripted",
}


@final
class Importer:
    """Turns the nodes of one recording into the nodes of one graph.

    Attributes:
        given: Tensors of values that no replay can compute, as they were recorded.
    """

    def __init__(self, table: OpTable) -> None:
        self.given: dict[Value, torch.Tensor] = {}
        self._table = table
        self._values: dict[fx.Node, Value] = {}
        self._state: dict[str, Value] = {}

    def run(self, recording: Recording, name: str) -> Graph:
        """Imports a recording as the entry point `name`."""
        inputs = tuple(self._define(node, "input", path) for path, node in recording.inputs)
        stack: list[list[Item]] = [[]]
        for event in recording.events:
            if event.kind == "enter":
                stack.append([])
            elif event.kind == "exit":
                body = tuple(stack.pop())
                results = tuple(self._value(node) for node in event.results)
                stack[-1].append(Call(event.module, body, results))
            elif event.node is not None:
                stack[-1].append(self._import_node(event.node))
        return Graph(
            name,
            inputs,
            tuple(stack[0]),
            tuple((path, self._value(node)) for path, node, _ in recording.outputs),
            tuple((path, self._value(node)) for path, node, _ in recording.updates),
        )

    def _define(self, node: fx.Node, origin: Any, name: str = "") -> Value:
        self._values[node] = Value(origin, name, node.meta.get("type"))
        return self._values[node]

    def _value(self, node: fx.Node) -> Value:
        """The value of a node; what was not defined by then is state."""
        if node not in self._values:
            self._values[node] = self._entry(str(node.target), node.meta.get("type"))
        return self._values[node]

    def _entry(self, name: str, kind: TensorType | None) -> Value:
        """The value of a state entry, whoever asks for it."""
        return self._state.setdefault(name, Value("state", name, kind))

    def _import_node(self, node: fx.Node) -> Node:
        args = tuple(self._argument(argument) for argument in node.args)
        kwargs = {key: self._argument(argument) for key, argument in node.kwargs.items()}
        writes: tuple[Value, ...] = tuple(self._value(n) for n in node.meta["writes"])
        outputs = tuple(self._define(n, "result") for n in node.meta["outputs"])
        self.given.update(zip(outputs, node.meta.get("given", ()), strict=False))
        op, arguments = self._name_call(node, args, kwargs, writes)
        names = tuple(_holder(arguments, value) for value in writes)
        return Node(op, arguments, outputs, names, node.meta["random"], node.meta["source"])

    def _name_call(
        self,
        node: fx.Node,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        writes: tuple[Value, ...],
    ) -> tuple[str, dict[str, Argument]]:
        target: Any = node.target
        if target in _MARKERS:
            return _MARKERS[target], kwargs or {"args": args}
        if node.meta["in_place"]:
            kwargs.pop("out", None)
        bound = self._table.bind(target, args, kwargs) if not node.meta["context"] else None
        if bound is not None and all(_holder(bound[1], value) for value in writes):
            return bound[0].name, bound[1]
        if node.meta["in_place"]:
            out_of_place = getattr(target, "__name__", "").removesuffix("_")
            target = getattr(torch.Tensor, out_of_place, target)
        arguments = {"args": args} if args else {}
        arguments |= {"kwargs": tuple(kwargs.items())} if kwargs else {}
        context = f"{node.meta['context']}." if node.meta["context"] else ""
        return f"{context}{function_name(target)}", arguments

    def _argument(self, argument: Any) -> Argument:
        match argument:
            case fx.Node():
                return self._value(argument)
            case TaggedInt():
                return self._size(argument.expression)
            case list() | tuple():
                return tuple(self._argument(part) for part in argument)
            case dict():
                return tuple((key, self._argument(part)) for key, part in argument.items())
            case slice(start=start, stop=stop, step=step):
                return slice(*(self._argument(part) for part in (start, stop, step)))
            case Unprintable(type=name):
                return f"<{name}>"
            case _:
                return argument

    def _size(self, expression: Expression) -> Argument:
        match expression:
            case ReadSize(node=node, axis=axis):
                return SizeOf(self._value(node), axis)
            case ReadState(name=name, axis=axis, type=kind):
                return SizeOf(self._entry(name, kind), axis)
            case ReadAttribute(module=module, name=name, number=number):
                return ModuleAttribute(module, name, number)
            case Computed(op=op, left=left, right=right):
                return Arithmetic(op, self._size(left), self._size(right))
            case _:
                return expression


def _holder(arguments: Mapping[str, Argument], value: Value) -> str:
    """The argument that a value stands in, or "" when it was left out."""
    holders = (name for name, argument in arguments.items() if value in values_in(argument))
    return next(holders, "")


def retype(graph: Graph, types: Mapping[Value, TensorType | None]) -> Graph:
    """Copies a graph with other types for some of its values."""
    table = {value: replace(value, type=kind) for value, kind in types.items()}

    def of(value: Value) -> Value:
        return table.get(value, value)

    def items(body: tuple[Item, ...]) -> tuple[Item, ...]:
        changed: list[Item] = []
        for item in body:
            if isinstance(item, Call):
                changed.append(Call(item.module, items(item.body), tuple(map(of, item.results))))
            else:
                arguments = {k: substitute(v, table) for k, v in item.arguments.items()}
                outputs = tuple(map(of, item.outputs))
                changed.append(replace(item, arguments=arguments, outputs=outputs))
        return tuple(changed)

    return Graph(
        graph.name,
        tuple(map(of, graph.inputs)),
        items(graph.body),
        tuple((path, of(value)) for path, value in graph.outputs),
        tuple((name, of(value)) for name, value in graph.updates),
    )
