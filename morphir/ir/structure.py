"""The structural verifier: what every program satisfies whatever it computes.

IR-1   a value is defined once, before it is used, and by exactly one of: the inputs, the state,
       one node
IR-2   every state value names an entry of the program's state and has its type
IR-3   a call's results, the outputs and the updates are values defined by then, and an update
       names an entry of the state
IR-4   a node has one output per tensor it returns and one per argument it writes; what it
       writes is an argument; an `escape` and a `float` have no output
IR-5   names of inputs are unique within a graph
IR-6   an argument is a value, a size, a literal of the text form, or a tuple or slice of these
IR-7   graphs and state entries are filed under their own names, and no two tensors share a name
IR-12  the mask of a parameter is a buffer of its type, which no graph reads
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

import torch

from morphir.errors import VerificationError
from morphir.ir.graph import (
    OPERATORS,
    Argument,
    Arithmetic,
    Call,
    Graph,
    Item,
    ModuleAttribute,
    Node,
    SizeOf,
    Value,
)
from morphir.ir.printer import number_values, print_node
from morphir.ir.program import Program

_LITERALS: Final = (
    bool, int, float, complex, str, type(None), type(...), torch.dtype, torch.device, torch.layout,
    torch.memory_format,
)  # fmt: skip
_MARKS: Final = ("escape", "float")
_SIZES: Final = (int, SizeOf, ModuleAttribute, Arithmetic)


def check_structure(program: Program) -> None:
    """Checks laws IR-1 to IR-7.

    Raises:
        VerificationError: A law does not hold; the message has the law, the entry point and the
            printed node.
    """
    if program.complaint:
        raise VerificationError(program.complaint)


def first_complaint(program: Program) -> str:
    """The first law that does not hold, in words, or ""."""
    for complaint in _misfiled(program):
        return f"malformed program {program.model}: {complaint}"
    for graph in program.graphs.values():
        for complaint in _Walk(program, graph).complaints():
            return f"malformed graph {graph.name!r} of {program.model}: {complaint}"
    return ""


def _misfiled(program: Program) -> Iterator[str]:
    for key, graph in program.graphs.items():
        if key != graph.name:
            yield f"IR-7: graph {graph.name!r} is filed under {key!r}"
    seen: set[str] = set()
    for key, entry in program.state.items():
        if key != entry.name:
            yield f"IR-7: state {entry.name!r} is filed under {key!r}"
        for name in (entry.name, *entry.aliases):
            if name in seen:
                yield f"IR-7: two tensors are called {name!r}"
            seen.add(name)
    read = {value.name for graph in program.graphs.values() for value in graph.state}
    for mask, parameter in program.masks.items():
        buffer = program.state.get(mask)
        fits = buffer is not None and buffer.type == program.state[parameter].type
        if buffer is None or buffer.kind != "buffer" or not fits:
            yield f"IR-12: {parameter!r} is masked by {mask!r}, which is no buffer of its type"
        elif mask in read:
            yield f"IR-12: {mask!r} is a mask, and read"


@final
class _Walk:
    """One pass over a graph in execution order, with what is defined so far."""

    def __init__(self, program: Program, graph: Graph) -> None:
        self._program = program
        self._graph = graph
        self._defined: set[Value] = set(graph.inputs)

    def complaints(self) -> Iterator[str]:
        """Every law that does not hold, in words."""
        graph = self._graph
        if len({value.name for value in graph.inputs}) < len(graph.inputs):
            yield "IR-5: two inputs have the same name"
        if any(value.origin != "input" for value in graph.inputs):
            yield "IR-1: a result or a piece of state stands among the inputs"
        yield from self._items(graph.body)
        for name, value in graph.updates:
            if name not in self._program.state:
                yield f"IR-3: the update of {name!r}, which is not state"
            yield from self._use(value, lambda name=name: f"IR-3: the update of {name}")  # type: ignore[misc]
        for path, value in graph.outputs:
            yield from self._use(value, lambda path=path: f"IR-3: output {path!r}")  # type: ignore[misc]

    def _items(self, items: tuple[Item, ...]) -> Iterator[str]:
        for item in items:
            if isinstance(item, Call):
                yield from self._items(item.body)
                for value in item.results:
                    yield from self._use(value, lambda: f"IR-3: the results of {item.module}")  # noqa: B023
            else:
                yield from self._node(item)

    def _node(self, node: Node) -> Iterator[str]:
        def where() -> str:
            return print_node(node, number_values(self._graph))

        for name, argument in node.arguments.items():
            for complaint in self._argument(argument, where):
                yield f"{complaint} ({name})" if complaint.startswith("IR-6") else complaint
        if len(set(node.outputs)) < len(node.outputs) or self._defined & {*node.outputs}:
            yield f"IR-1: a value is defined twice, in {where()}"
        if any(value.origin != "result" for value in node.outputs):
            yield f"IR-1: a node defines an input or a piece of state, in {where()}"
        if len(node.outputs) < len(node.writes) or (node.op in _MARKS and node.outputs):
            yield f"IR-4: {len(node.outputs)} outputs do not fit, in {where()}"
        for name in node.writes:
            if name not in node.arguments:
                yield f"IR-4: writes {name!r}, which is not an argument, in {where()}"
        self._defined.update(node.outputs)

    def _argument(self, argument: Argument, where: Callable[[], str]) -> Iterator[str]:
        if isinstance(argument, Value):
            yield from self._use(argument, where)
        elif isinstance(argument, SizeOf):
            yield from self._use(argument.value, where)
        elif isinstance(argument, Arithmetic):
            parts = argument.left, argument.right
            if argument.op not in OPERATORS or not all(type(part) in _SIZES for part in parts):
                yield f"IR-6: {argument.op!r} of what is no size, in {where()}"
            yield from self._argument(parts, where)
        elif isinstance(argument, slice):
            yield from self._argument((argument.start, argument.stop, argument.step), where)
        elif type(argument) is tuple:
            for part in argument:
                yield from self._argument(part, where)
        elif type(argument) not in (*_LITERALS, ModuleAttribute):
            yield f"IR-6: {type(argument).__name__} is no argument, in {where()}"

    def _use(self, value: Value, where: Callable[[], str]) -> Iterator[str]:
        if value.origin != "state":
            if value not in self._defined:
                name = number_values(self._graph).get(value, f"a value of type {value.type}")
                yield f"IR-1: {name} is used before it is defined, in {where()}"
            return
        entry = self._program.state.get(value.name)
        if entry is None:
            yield f"IR-2: {value.name!r} is no state entry, in {where()}"
        elif value.type != entry.type:
            yield (
                f"IR-2: {value.name!r} has type {entry.type} but is read as {value.type}, "
                f"in {where()}"
            )
