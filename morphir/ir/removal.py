"""Taking a module out of a program: the inverse of an insertion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

from morphir.ir.graph import Call, Graph, Item, Node, Value, substitute
from morphir.ir.program import Program, StateEntry


@final
@dataclass(frozen=True)
class Removal:
    """A module that goes; who read its output reads what it was given.

    Attributes:
        anchor: Qualified name of the module whose output it took.
        name: Its own qualified name.
        law: The law by which the removal keeps the function.
        inside: Whether it runs at the end of the anchor's own call, as its child; otherwise it is
            the anchor's next neighbour in their `nn.Sequential`.
    """

    anchor: str
    name: str
    law: str
    inside: bool


def names_of(program: Program, name: str) -> tuple[str, ...]:
    """All names of a module, as far as they come from those of the module that holds it."""
    home, _, key = name.rpartition(".")
    return (name, *(f"{other}.{key}" for other in program.shared.get(home, ())))


def is_inside(name: str, places: Iterable[str]) -> bool:
    """Whether a module or tensor is one of some modules or inside of one."""
    return any(f"{name}.".startswith(f"{place}.") for place in places)


def state_within(program: Program, name: str) -> dict[str, StateEntry]:
    """The state of one module and of what is inside it."""
    return {n: entry for n, entry in program.state.items() if is_inside(n, [name])}


def removed(program: Program, name: str) -> Program:
    """The program without a module that takes one tensor and returns one of the same type."""
    places = names_of(program, name)
    gone = state_within(program, name)
    return replace(
        program,
        state={n: entry for n, entry in program.state.items() if n not in gone},
        graphs={key: _without(graph, name) for key, graph in program.graphs.items()},
        sequentials=tuple(n for n in program.sequentials if not is_inside(n, places)),
        modules={n: kind for n, kind in program.modules.items() if not is_inside(n, places)},
        shared={n: others for n, others in program.shared.items() if not is_inside(n, places)},
    )


def _without(graph: Graph, name: str) -> Graph:
    table: dict[Value, Value] = {}
    for call in graph.calls_of(name):
        (operand,), (result,) = call.operands, call.results
        table[result] = table.get(operand, operand)  # calls come in the order of execution
    outputs = tuple((path, table.get(value, value)) for path, value in graph.outputs)
    updates = tuple((entry, table.get(value, value)) for entry, value in graph.updates)
    body = tuple(_items(graph.body, name, table))
    return replace(graph, body=body, outputs=outputs, updates=updates)


def _items(items: tuple[Item, ...], name: str, table: Mapping[Value, Value]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Node):
            arguments = {key: substitute(each, table) for key, each in item.arguments.items()}
            yield replace(item, arguments=arguments)
        elif item.module != name:
            results = tuple(table.get(value, value) for value in item.results)
            yield Call(item.module, tuple(_items(item.body, name, table)), results)
