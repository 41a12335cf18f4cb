"""Runs a graph node by node: what the IR says, without the module it came from.

OPS-3   on the inputs of its recording, the replay of a graph gives the outputs and updates that the
        module gave
OPS-4   a replay changes none of the tensors it is given
"""

from __future__ import annotations

import operator
import pydoc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch

from morphir.errors import MorphirError
from morphir.ir.graph import (
    Argument,
    Arithmetic,
    Graph,
    ModuleAttribute,
    Node,
    SizeOf,
    Value,
)
from morphir.ir.printer import number_values, print_node
from morphir.ops import DEFAULT_TABLE, OpTable
from morphir.tensors import tensors_in

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
_REMARKS: Final = ("escape", "float")
_MARKERS: Final = ("alias", "python", "scripted")


class Unreplayable(MorphirError):  # noqa: N818 - a fact about a graph, not a mistake
    """A node stands for something that the graph does not hold.

    A change through an alias, Python code, an argument or function that no text can name.

    Attributes:
        node: The node.
    """

    def __init__(self, node: Node, reason: str = "") -> None:
        self.node = node
        super().__init__(f"{node.op!r}{f' ({reason})' if reason else ''}")


@final
@dataclass(frozen=True)
class Replay:
    """What a replay computed.

    Attributes:
        outputs: The tensors of `graph.outputs`, in order.
        updates: State entry name to the tensor it holds after the call.
        values: Every value's tensor, or those that were kept.
    """

    outputs: tuple[torch.Tensor, ...]
    updates: Mapping[str, torch.Tensor]
    values: Mapping[Value, torch.Tensor]


def replay(
    graph: Graph,
    state: Mapping[str, torch.Tensor],
    inputs: Sequence[torch.Tensor],
    table: OpTable = DEFAULT_TABLE,
    *,
    keep_values: bool = True,
    number: Callable[[ModuleAttribute], int] = lambda attribute: attribute.number,
) -> Replay:
    """Computes a graph on tensors (OPS-3, OPS-4).

    Args:
        graph: The entry point.
        state: State entry name to tensor.
        inputs: One tensor for each of `graph.inputs`.
        table: The declarations to run ops by.
        keep_values: Whether to keep what is neither returned nor read again, which takes memory.
        number: What an attribute of a module is; by default what it was.

    Raises:
        Unreplayable: A node stands for something that the graph does not hold.
        Exception: What a node raises, with a note that shows the node.
    """
    values: dict[Value, torch.Tensor] = dict(zip(graph.inputs, inputs, strict=True))

    def read(argument: Argument) -> Any:
        return evaluate(argument, values, state, number)

    last_reader: dict[Value, Node] = {}
    if not keep_values:
        last_reader = {value: node for node in graph.nodes for value in node.operands}
    returned = {value for _, value in (*graph.outputs, *graph.updates)}
    for node in graph.nodes:
        if node.op in _REMARKS:
            continue
        if node.op in _MARKERS:
            raise Unreplayable(node)
        try:
            results = _run(node, {name: read(a) for name, a in node.arguments.items()}, table)
        except Exception as error:
            error.add_note(print_node(node, number_values(graph)))
            raise
        values.update(zip(node.outputs, results, strict=True))
        if not keep_values:
            for value in {*node.operands, *node.outputs} - returned:
                if last_reader.get(value, node) is node:
                    values.pop(value, None)
    return Replay(
        tuple(read(value) for _, value in graph.outputs),
        {name: read(value) for name, value in graph.updates},
        values,
    )


def evaluate(
    argument: Argument,
    values: Mapping[Value, Any],
    state: Mapping[str, Any],
    number: Callable[[ModuleAttribute], int] = lambda attribute: attribute.number,
) -> Any:
    """Puts tensors in the place of values, and numbers in the place of sizes."""

    def read(part: Argument) -> Any:
        return evaluate(part, values, state, number)

    match argument:
        case Value(origin="state", name=name):
            return state[name]
        case Value():
            return values[argument]
        case SizeOf(value=value, axis=axis):
            return read(value).shape[axis]
        case ModuleAttribute():
            return number(argument)
        case Arithmetic(op=op, left=left, right=right):
            return _OPERATORS[op](read(left), read(right))
        case tuple():
            return tuple(map(read, argument))
        case slice(start=start, stop=stop, step=step):
            return slice(*map(read, (start, stop, step)))
        case _:
            return argument


def _run(node: Node, arguments: dict[str, Any], table: OpTable) -> list[torch.Tensor]:
    """The tensors that a node returns, then what it wrote; writes go to clones."""
    op = table.get(node.op)
    if op is None:
        results = _run_undeclared(node, arguments)
    else:
        for name in node.writes:
            arguments[name] = arguments[name].clone()
        results = [tensor for _, tensor in tensors_in(op.execute(arguments))]
        results += [arguments[name] for name in node.writes]
    if len(results) != len(node.outputs):
        raise ValueError(f"found {len(results)} results, expected {len(node.outputs)}")
    return results


def _run_undeclared(node: Node, arguments: Mapping[str, Any]) -> list[torch.Tensor]:
    """Runs a torch function by its name, on clones, as it may change its operands."""
    function = _resolve(node)
    clones: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def clone(argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            return clones.setdefault(id(argument), (argument, argument.clone()))[1]
        return tuple(map(clone, argument)) if isinstance(argument, tuple) else argument

    args = clone(arguments.get("args", ()))
    kwargs = {key: clone(value) for key, value in arguments.get("kwargs", ())}
    before = {id(tensor): tensor._version for _, tensor in clones.values()}
    try:
        result = function(*args, **kwargs)
    except TypeError as error:  # an argument that the text form cannot hold
        raise Unreplayable(node, str(error)) from error
    # Version counters miss what some kernels write (running statistics); numbers do not.
    changed = [
        tensor
        for original, tensor in clones.values()
        if tensor._version != before[id(tensor)]
        or (node.writes and not torch.equal(tensor, original))
    ]
    expected = len(node.outputs) - len(node.writes)
    results = [tensor for _, tensor in tensors_in(result)]
    if not results:
        results, changed = changed[:expected], changed[expected:]
    written = [t for t in changed if all(t is not result for result in results)]
    return results + written[: len(node.writes)]


def _resolve(node: Node) -> Callable[..., Any]:
    """The torch function of a qualified name; nothing but torch's own is looked up."""
    name = node.op.replace("torch._VariableFunctionsClass.", "torch.")
    function = pydoc.locate(name) if name.startswith("torch") else None
    if not callable(function):
        raise Unreplayable(node, "no such torch function")
    return function
