"""One program of what a model computes in both modes, for passes that must be right in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from morphir.ir.graph import Call, Graph, Item, Node, Value, substitute
from morphir.ir.program import Program

_TRAIN: Final = " (train)"


def both_modes(in_eval: Program, in_train: Program) -> Program:
    """The entry points of a program in eval mode, and those in train mode under other names.

    They share parameters and buffers. Constants are of one mode: what the code makes in the other
    may be something else.
    """
    constants = {
        name: replace(entry, name=f"{name}{_TRAIN}")
        for name, entry in in_train.state.items()
        if entry.kind == "constant"
    }
    shared = {n: e for n, e in in_train.state.items() if n not in constants}
    for name, entry in shared.items():
        if entry.mask != in_eval.state[name].mask:  # in one of the modes it is read
            shared[name] = replace(entry, mask="")
    graphs = {
        f"{name}{_TRAIN}": _renamed(graph, f"{name}{_TRAIN}", {*constants})
        for name, graph in in_train.graphs.items()
    }
    return replace(
        in_eval,
        state={**in_eval.state, **shared, **{e.name: e for e in constants.values()}},
        graphs={**in_eval.graphs, **graphs},
        outside={**in_eval.outside, **in_train.outside},
    )


def is_of_train_mode(entry_point: str) -> bool:
    """Whether an entry point of `both_modes` is one in train mode."""
    return entry_point.endswith(_TRAIN)


def in_eval_mode(entry_point: str) -> str:
    """The entry point of the model that one of `both_modes` stands for."""
    return entry_point.removesuffix(_TRAIN)


def _renamed(graph: Graph, name: str, constants: set[str]) -> Graph:
    table = {
        value: replace(value, name=f"{value.name}{_TRAIN}")
        for value in (*graph.state, *(value for _, value in graph.outputs))
        if value.origin == "state" and value.name in constants
    }

    def now(value: Value) -> Value:
        return table.get(value, value)

    return replace(
        graph,
        name=name,
        body=_items(graph.body, table),
        outputs=tuple((path, now(value)) for path, value in graph.outputs),
        updates=tuple((state, now(value)) for state, value in graph.updates),
    )


def _items(items: tuple[Item, ...], table: Mapping[Value, Value]) -> tuple[Item, ...]:
    if not table:
        return items
    found: list[Item] = []
    for item in items:
        if isinstance(item, Node):
            arguments = {name: substitute(a, table) for name, a in item.arguments.items()}
            found.append(replace(item, arguments=arguments))
        else:
            results = tuple(table.get(value, value) for value in item.results)
            found.append(Call(item.module, _items(item.body, table), results))
    return tuple(found)
