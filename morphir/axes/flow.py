"""Flow: the axes of all values and all state of a program, unified.

Every graph is walked once. A node with a declared op has a layout, whose forms are unified with the
dimensions that they describe; what has none fixes everything it touches.

    PLAN-4   the axes of inputs, outputs and constants are fixed, and those of what undeclared ops
             touch, of what leaves torch, of unknown shapes and of sizes used as numbers
    PLAN-5   a state entry has the same axes wherever it is read, by whatever entry point, under
             whatever name
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

from morphir.axes.atoms import AtomTable, Reason
from morphir.ir import Argument, Arithmetic, Graph, Node, Program, SizeOf, TensorType, Value
from morphir.ops import DEFAULT_TABLE, Atom, Layout, Op, OpTable
from morphir.ops.paths import Path, tensors_of
from morphir.ops.replay import evaluate

# Shapes are planned at one batch size: a prime, so that it divides and equals no other axis.
_BATCH: Final = 1009


@final
@dataclass(frozen=True, slots=True)
class Dims:
    """The dimensions of a tensor: an atom for each, and their sizes, which is all a layout reads.

    Attributes:
        atoms: One for each dimension.
        shape: Their sizes.
    """

    atoms: tuple[Atom, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, type: TensorType | None) -> Dims:
        """New atoms for the dimensions of a tensor."""
        shape = () if type is None else type.sizes(_BATCH)
        return cls(tuple(Atom(f"{name}[{k}]", size) for k, size in enumerate(shape)), shape)


@final
class Flow:
    """The axes of a program.

    Attributes:
        atoms: What is known of every atom.
        state: The dimensions of each state entry that an entry point reads or writes.
        values: The dimensions of every other value, of all graphs.
    """

    def __init__(self, program: Program, table: OpTable = DEFAULT_TABLE) -> None:
        self.atoms = AtomTable()
        self.state: dict[str, Dims] = {}
        self.values: dict[Value, Dims] = {}
        self._program = program
        self._table = table
        for graph in program.graphs.values():
            self._walk(graph)

    def dims(self, value: Value) -> Dims:
        """The dimensions of a value."""
        if value.origin == "state":
            return self._state_dims(value.name)
        found = self.values.get(value)
        if found is None:
            found = self.values[value] = Dims.of(value.name, value.type)
        return found

    def _state_dims(self, name: str) -> Dims:
        if name in self.state:
            return self.state[name]
        entry = self._program.state[name]
        dims = self.state[name] = Dims.of(name, entry.type)
        if entry.kind == "constant":
            self._fix(dims, Reason(f"{name} is a constant that the code makes"))
        for module, use in self._program.outside.items():
            names = (name, *entry.aliases)
            if any(known.startswith(f"{module}.") for known in names):
                self._fix(dims, Reason(f"{module!r} is also used where nothing is known: {use}"))
        return dims

    def _fix(self, dims: Dims, reason: Reason) -> None:
        for atom in dims.atoms:
            self.atoms.fix(atom, reason)

    def _walk(self, graph: Graph) -> None:
        for value in graph.inputs:
            self._fix(self.dims(value), Reason(f"it is an axis of the input {value.name!r}"))
        for node in graph.nodes:
            self._visit(node, graph.modules[node])
        for path, value in graph.outputs:
            where = f"the output {path!r}" if path else "the output"
            self._fix(self.dims(value), Reason(f"it is an axis of {where} of {graph.name!r}"))
        for name, value in graph.updates:
            self._tie(self._state_dims(name), self.dims(value), Reason(f"{name} is written"))

    def _visit(self, node: Node, module: str) -> None:
        place = Reason("", node.op, module, node.source)
        op = self._table.get(node.op)
        if node.op == "escape":
            self._block(node, replace(place, text="its value leaves torch"))
        elif op is None:
            self._block(node, replace(place, text=f"{node.op} is not a declared op"))
        elif any(value.type is None for value in (*node.operands, *node.outputs)):
            self._block(node, replace(place, text=f"the shapes at {node.op} are not known"))
        else:
            self._pass(node, op, place)

    def _block(self, node: Node, reason: Reason) -> None:
        for value in (*node.operands, *node.outputs):
            self._fix(self.dims(value), reason)

    def _pass(self, node: Node, op: Op, place: Reason) -> None:
        for value in node.operands:
            self.dims(value)  # so that `evaluate` finds all of them
        read = partial(evaluate, values=self.values, state=self.state)
        arguments = {name: read(argument) for name, argument in node.arguments.items()}
        results = [self.dims(value) for value in node.results]
        try:
            layout = op.layout(arguments, results)
        except ValueError as error:
            self._block(node, replace(place, text=str(error)))
            return
        for atom, role in layout.roles.items():
            if role.maps == "identity":
                self.atoms.fix(atom, replace(place, text=_why(op, atom)))
        operands = [t for a in op.complete(arguments).values() for _, t in tensors_of(a)]
        forms = (*layout.operands, *layout.outputs)
        for tensor, axes in zip((*operands, *results), forms, strict=True):
            for dim, form in zip(tensor.atoms, axes, strict=True):
                self.atoms.unify(dim, form, place)
        for name, written in zip(node.writes, node.outputs[len(node.results) :], strict=True):
            self._tie(self.dims(node.arguments[name]), self.dims(written), place)
        self._fix_numbers(node, layout, place)

    def _tie(self, before: Dims, after: Dims, place: Reason) -> None:
        """Unifies the axes of a tensor with those it has after it was written to."""
        if before.shape != after.shape:
            for dims in (before, after):
                self._fix(dims, replace(place, text="writing to it changes its shape"))
            return
        for old, new in zip(before.atoms, after.atoms, strict=True):
            self.atoms.unify(old, new, place)

    def _fix_numbers(self, node: Node, layout: Layout, place: Reason) -> None:
        """Fixes a size that is read as a number which follows no axis: `x / x.shape[1]`."""
        follows = {rule.path for rule in layout.sizes}
        for name, argument in node.arguments.items():
            for path, size in _sizes_in(argument, (name,)):
                if path not in follows:
                    text = f"{node.op} computes with its size"
                    atom = self.dims(size.value).atoms[size.axis]
                    self.atoms.fix(atom, replace(place, text=text))


def _why(op: Op, atom: Atom) -> str:
    if atom.size == 1:
        return f"{op.name} broadcasts it, or multiplies it with another axis: its size is 1"
    return f"{op.name} mixes or indexes its units, or makes them"


def _sizes_in(argument: Argument, path: Path) -> Iterator[tuple[Path, SizeOf]]:
    """Yields every size that an argument reads, with the place of the number it enters."""
    match argument:
        case SizeOf():
            yield path, argument
        case Arithmetic(left=left, right=right):
            yield from _sizes_in(left, path)
            yield from _sizes_in(right, path)
        case tuple():
            for index, part in enumerate(argument):
                yield from _sizes_in(part, (*path, index))
        case slice():
            for field in ("start", "stop", "step"):
                yield from _sizes_in(getattr(argument, field), (*path, field))
        case _:
            return
