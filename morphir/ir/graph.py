"""The graph: SSA nodes inside the module calls that they came from.

A `Graph` is one entry point. Its body is a tree: a `Call` is one call of one submodule and holds
the nodes that ran inside it, so every node knows its module and a rewrite can speak of "the output
of extractor.2". Values are global to the graph. Everything here is immutable; only `Rewriter` makes
changed copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Final, Literal, final

from morphir.ir.types import TensorType

Origin = Literal["input", "state", "result"]
OPERATORS: Final = ("+", "-", "*", "//", "%")


@final
@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """One tensor of the computation; identity is what tells values apart.

    Attributes:
        origin: Whether it is an input of the graph, a piece of state or the result of a node.
        name: An input's path among the arguments or a state entry's qualified name; empty for
            results.
        type: Its dtype and shape, or None where the frontend could not run the model.
    """

    origin: Origin
    name: str
    type: TensorType | None


@final
@dataclass(frozen=True, slots=True)
class SizeOf:
    """The size of one axis of a value, read by the program while it ran."""

    value: Value
    axis: int


@final
@dataclass(frozen=True, slots=True)
class ModuleAttribute:
    """An integer attribute of a module (`self.n_head`), with the number it had."""

    module: str
    name: str
    number: int


@final
@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Integer arithmetic on sizes: `left op right` with op one of `+ - * // %`."""

    op: str
    left: Argument
    right: Argument


# A `Value`, a size (`SizeOf`, `ModuleAttribute`, `Arithmetic`), a literal (None, bool, int, float,
# complex, str, Ellipsis, torch's dtypes, devices, layouts and memory formats), a slice of arguments
# or a tuple of arguments.
Argument = Any


@final
@dataclass(frozen=True, eq=False)
class Node:
    """One functional call.

    Attributes:
        op: Canonical name of a declared op, or the qualified torch name of an undeclared one.
        arguments: Parameter name to argument, defaults left out; undeclared ops use `args` and
            `kwargs`.
        outputs: The tensors it returns, then one value for each argument in `writes`. The op
            `escape` has none: it marks that a value left torch (`bool(x)`, `x.item()`), so that
            whatever Python did next depends on it. Neither has `float`: it marks that Python made a
            float of a size or attribute, its argument `size`, from which later numbers may follow.
        writes: Names of the arguments that the call changes in place (a BatchNorm's running
            statistics in train mode).
        random: Whether the call drew random numbers.
        source: `file:line` of the statement in the model's code, for messages only.
    """

    op: str
    arguments: Mapping[str, Argument]
    outputs: tuple[Value, ...]
    writes: tuple[str, ...] = ()
    random: bool = False
    source: str = ""

    @cached_property
    def operands(self) -> tuple[Value, ...]:
        """Every value that the arguments mention, in order, sizes included."""
        return tuple(values_in(tuple(self.arguments.values())))

    @property
    def results(self) -> tuple[Value, ...]:
        """What the call returned; the other outputs are what it wrote."""
        return self.outputs[: len(self.outputs) - len(self.writes)]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of one submodule.

    Attributes:
        module: Qualified name of the module, as `named_modules()` gives it.
        body: What ran inside.
        results: The tensors that it returned, in the order a walk over the returned object finds
            them.
    """

    module: str
    body: tuple[Item, ...]
    results: tuple[Value, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that ran inside, in execution order."""
        parts = ((i,) if isinstance(i, Node) else i.nodes for i in self.body)
        return tuple(chain.from_iterable(parts))

    @property
    def operands(self) -> tuple[Value, ...]:
        """What it read and did not compute, state aside."""
        nodes = self.nodes
        made = {value for node in nodes for value in node.outputs}
        read = (v for n in nodes for v in n.operands if v.origin != "state" and v not in made)
        return tuple(dict.fromkeys(read))


Item = Node | Call


@final
@dataclass(frozen=True, eq=False)
class Graph:
    """One entry point of a program.

    Attributes:
        name: The entry point: a method name, or `submodule.method`.
        inputs: One value per tensor among the arguments, named by its path (`obs`,
            `batch['mask']`).
        body: Nodes and calls in execution order.
        outputs: Path in the returned object to value. Tensors kept on modules are outputs called
            `self.path`.
        updates: State entry name to the value it holds after the call.
    """

    name: str
    inputs: tuple[Value, ...]
    body: tuple[Item, ...]
    outputs: tuple[tuple[str, Value], ...]
    updates: tuple[tuple[str, Value], ...] = ()

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in execution order."""
        return tuple(item for _, item in self.walk() if isinstance(item, Node))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """All module calls, outer ones first, in the order they began."""
        return tuple(item for _, item in self.walk() if isinstance(item, Call))

    @cached_property
    def producers(self) -> Mapping[Value, Node]:
        """The node that computes each result."""
        return {value: node for node in self.nodes for value in node.outputs}

    @cached_property
    def users(self) -> Mapping[Value, tuple[Node, ...]]:
        """The nodes that read each value; a value nobody reads has no entry."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.operands):
                found.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in found.items()}

    @cached_property
    def modules(self) -> Mapping[Node, str]:
        """The qualified name of the module whose call each node ran in; "" is the root."""
        return {
            item: (path[-1].module if path else "")
            for path, item in self.walk()
            if isinstance(item, Node)
        }

    @property
    def state(self) -> tuple[Value, ...]:
        """The state values that the nodes read, in order of first use."""
        seen = (v for node in self.nodes for v in node.operands if v.origin == "state")
        return tuple(dict.fromkeys(seen))

    def walk(self) -> Iterator[tuple[tuple[Call, ...], Item]]:
        """Every item with the calls around it, outermost first, in execution order."""
        stack: list[tuple[tuple[Call, ...], Iterator[Item]]] = [((), iter(self.body))]
        while stack:
            path, items = stack[-1]
            item = next(items, None)
            if item is None:
                stack.pop()
                continue
            yield path, item
            if isinstance(item, Call):
                stack.append(((*path, item), iter(item.body)))

    def calls_of(self, module: str) -> tuple[Call, ...]:
        """Every call of one module, in order."""
        return tuple(call for call in self.calls if call.module == module)

    def runs_of(self, module: str) -> tuple[Call, ...]:
        """Every call of one module; of "" the call of the model itself, which all of it is."""
        if module or self.name != "forward":
            return self.calls_of(module)
        results = (value for path, value in self.outputs if not path.startswith("self."))
        return (Call("", self.body, tuple(results)),)


def whole_number(argument: Argument) -> int | None:
    """The whole number that an argument is, written there or read from a module; None otherwise."""
    number = argument.number if isinstance(argument, ModuleAttribute) else argument
    return number if type(number) is int else None


def values_in(argument: Argument) -> Iterator[Value]:
    """Yields every value that an argument mentions, sizes included, in order."""
    match argument:
        case Value():
            yield argument
        case SizeOf(value=value):
            yield value
        case Arithmetic(left=left, right=right):
            yield from values_in(left)
            yield from values_in(right)
        case tuple():
            for part in argument:
                yield from values_in(part)
        case slice():
            yield from values_in((argument.start, argument.stop, argument.step))
        case _:
            return


def substitute(
    argument: Argument, table: Mapping[Value, Value], moved: Callable[[str], str] | None = None
) -> Argument:
    """Returns the argument with every value in `table` replaced by what it maps to.

    Args:
        argument: Any argument.
        table: Old value to new value.
        moved: From the name of a module, whose attribute is read, to the one that it has now.
    """
    match argument:
        case Value():
            return table.get(argument, argument)
        case SizeOf(value=value, axis=axis):
            return SizeOf(table.get(value, value), axis)
        case ModuleAttribute(module=module) if moved is not None:
            return replace(argument, module=moved(module))
        case Arithmetic(op=op, left=left, right=right):
            sides = (substitute(side, table, moved) for side in (left, right))
            return Arithmetic(op, *sides)
        case tuple():
            return tuple(substitute(part, table, moved) for part in argument)
        case slice():
            parts = (argument.start, argument.stop, argument.step)
            return slice(*(substitute(part, table, moved) for part in parts))
        case _:
            return argument
