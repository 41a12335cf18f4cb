"""Flow: the axes of all values and all state of a program, unified.

Every graph is walked once. A node with a declared op has a layout, whose forms are unified with the
dimensions that they describe; what has none fixes everything it touches.

    PLAN-4   the axes of inputs, outputs and constants are fixed, and those of what undeclared ops
             touch, of what leaves torch, of unknown shapes and of sizes that are used as numbers
             or become plain ones; an axis of an input or output that is freed can change, and its
             units are copied there
    PLAN-5   a state entry has the same axes wherever it is read, by whatever entry point, under
             whatever name
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, final

from morphir.axes.atoms import AtomTable, Reason
from morphir.axes.layouts import BoundLayout, LayoutCache, bind
from morphir.axes.numbers import attributes_in, numbers_in, sizes_in
from morphir.axes.undeclared import undeclared
from morphir.ir import (
    Argument,
    Graph,
    Node,
    Program,
    TensorType,
    Value,
)
from morphir.ops import DEFAULT_TABLE, Atom, Form, Layout, Op, OpTable
from morphir.ops.forms import atoms_in
from morphir.ops.paths import Path, tensors_of
from morphir.ops.replay import evaluate

# Shapes are planned at one batch size: a prime, so that it divides and equals no other axis.
_BATCH: Final = 1009

Tensor = str | Value  # the name of a state entry, or a value of a graph


@final
@dataclass(frozen=True, slots=True)
class Dims:
    """The dimensions of a tensor: an atom for each, and their sizes, which is all a layout reads.

    Attributes:
        tensor: Whose they are.
        atoms: One for each dimension.
        shape: Their sizes.
    """

    tensor: Tensor
    atoms: tuple[Atom, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor, type: TensorType | None) -> Dims:
        """New atoms for the dimensions of a tensor."""
        name = tensor if isinstance(tensor, str) else tensor.name
        shape = () if type is None else type.sizes(_BATCH)
        atoms = tuple(Atom(f"{name}[{k}]", size) for k, size in enumerate(shape))
        return cls(tensor, atoms, shape)


@final
@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """What the walk saw of one node.

    Attributes:
        node: The node.
        place: Where it stands; a reason without text.
        bound: How axes flow through it; None where everything it touches is fixed.
        tensors: Its operands and its results, in the order of the layout's.
        numbers: The arguments that were computed from sizes and attributes, with their places.
    """

    node: Node
    place: Reason
    bound: BoundLayout | None
    tensors: tuple[Dims, ...]
    numbers: tuple[tuple[Path, Argument], ...]


@final
@dataclass(frozen=True, slots=True)
class Written:
    """A tensor before and after it was written to.

    Attributes:
        before: Its dimensions.
        after: Its dimensions afterwards.
        place: What wrote to it.
    """

    before: Dims
    after: Dims
    place: Reason


@final
@dataclass(frozen=True, slots=True)
class Freed:
    """Axes that may change although they are what a model and its callers agreed on.

    Attributes:
        inputs: Inputs of graphs, each with one of its axes.
        outputs: Values that graphs return, each with one of its axes.
    """

    inputs: frozenset[tuple[Value, int]] = frozenset()
    outputs: frozenset[tuple[Value, int]] = frozenset()


@final
class Flow:
    """The axes of a program.

    Attributes:
        atoms: What is known of every atom.
        state: The dimensions of each state entry that an entry point reads or writes.
        values: The dimensions of every other value, of all graphs.
        steps: What the walk saw of the nodes of all graphs, in program order.
        writes: What was written to.
        ends: The freed axes of inputs and outputs, and what they are.
    """

    def __init__(
        self, program: Program, table: OpTable = DEFAULT_TABLE, freed: Freed | None = None
    ) -> None:
        self.atoms = AtomTable()
        self.state: dict[str, Dims] = {}
        self.values: dict[Value, Dims] = {}
        self.steps: list[Step] = []
        self.writes: list[Written] = []
        self.ends: list[tuple[Dims, int, Reason]] = []
        self._cache = LayoutCache()
        # By root: the values of a residual stream have many dimensions and one form.
        self._forms: dict[Atom, tuple[Form, tuple[Atom, ...]]] = {}
        self._program = program
        self._table = table
        self._freed = freed or Freed()
        for graph in program.graphs.values():
            self._walk(graph)
        every = (*self.state.values(), *self.values.values())
        for root in {self.atoms.find(atom): None for dims in every for atom in dims.atoms}:
            self.form(root)  # which may still fix leaves

    def dims(self, value: Value) -> Dims:
        """The dimensions of a value."""
        if value.origin == "state":
            return self._state_dims(value.name)
        found = self.values.get(value)
        if found is None:
            found = self.values[value] = Dims.of(value, value.type)
        return found

    def form(self, atom: Atom) -> Form:
        """What an atom is made of, in leaves, now that everything is unified."""
        return self._normalised(atom)[0]

    def leaves(self, atom: Atom) -> tuple[Atom, ...]:
        """The leaves of an atom, each of them once."""
        return self._normalised(atom)[1]

    def _normalised(self, atom: Atom) -> tuple[Form, tuple[Atom, ...]]:
        root = self.atoms.find(atom)
        found = self._forms.get(root)
        if found is None:
            form = self.atoms.normal_form(root)
            found = self._forms[root] = form, tuple(dict.fromkeys(atoms_in(form)))
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
            reason = Reason(f"it is an axis of the input {value.name!r}")
            self._hold(value, self._freed.inputs, reason)
        for calls, item in graph.walk():
            if isinstance(item, Node):
                self._visit(item, calls[-1].module if calls else "")
        for path, value in graph.outputs:
            where = f"the output {path!r}" if path else "the output"
            reason = Reason(f"it is an axis of {where} of {graph.name!r}")
            self._hold(value, self._freed.outputs, reason)
        for name, value in graph.updates:
            self._tie(self._state_dims(name), self.dims(value), Reason(f"{name} is written"))

    def _hold(self, value: Value, freed: Collection[tuple[Value, int]], reason: Reason) -> None:
        """Fixes the axes of an input or output that are not freed."""
        dims = self.dims(value)
        for axis, atom in enumerate(dims.atoms):
            if (value, axis) in freed:
                self.ends.append((dims, axis, reason))
            else:
                self.atoms.fix(atom, reason)

    def _visit(self, node: Node, module: str) -> None:
        place = Reason("", node.op, module, node.source)
        op = self._table.get(node.op)
        if node.op == "escape":
            self._block(node, replace(place, text="its value leaves torch"))
        elif node.op == "float":
            numbers = numbers_in(node)
            alone = [each for each in numbers if not any(attributes_in(each[1]))]
            self._fix_sizes(alone, replace(place, text="its size becomes a plain number"))
            self.steps.append(Step(node, place, None, (), numbers))  # an attribute may follow
        elif op is None:
            self._block(node, replace(place, text=undeclared(node.op)))
        else:
            values = (*node.operands, *node.outputs)
            for value in values:
                self.dims(value)  # so that `evaluate` finds all of them
            if any(value.type is None for value in values):
                self._block(node, replace(place, text=f"the shapes at {node.op} are not known"))
            else:
                self._pass(node, op, place)

    def _block(self, node: Node, reason: Reason) -> None:
        for value in (*node.operands, *node.outputs):
            self._fix(self.dims(value), reason)
        self.steps.append(Step(node, replace(reason, text=""), None, (), numbers_in(node)))

    def _pass(self, node: Node, op: Op, place: Reason) -> None:
        read = partial(evaluate, values=self.values, state=self.state)
        arguments = {name: read(argument) for name, argument in node.arguments.items()}
        results = [self.dims(value) for value in node.results]
        try:
            layout = self._cache.layout(op, arguments, results)
        except ValueError as error:
            self._block(node, replace(place, text=str(error)))
            return
        ordered = (arguments.get(parameter.name) for parameter in op.parameter_list)
        operands = [tensor for argument in ordered for _, tensor in tensors_of(argument)]
        tensors = (*operands, *results)
        bound, pairs = bind(layout, [tensor.atoms for tensor in tensors])
        for atom, role in layout.roles.items():
            if role.maps == "identity" and self.atoms.reason(bound.atoms[atom]) is None:
                self.atoms.fix(bound.atoms[atom], replace(place, text=_why(op, atom)))
        for dim, form in pairs:
            self.atoms.unify(dim, form, place)
        for name, written in zip(node.writes, node.outputs[len(node.results) :], strict=True):
            self._tie(self.dims(node.arguments[name]), self.dims(written), place)
        numbers = numbers_in(node)
        self._fix_numbers(node, layout, numbers, place)
        self.steps.append(Step(node, place, bound, tensors, numbers))

    def _tie(self, before: Dims, after: Dims, place: Reason) -> None:
        """Unifies the axes of a tensor with those it has after it was written to."""
        if before.shape != after.shape:
            for dims in (before, after):
                self._fix(dims, replace(place, text="writing to it changes its shape"))
            return
        for old, new in zip(before.atoms, after.atoms, strict=True):
            self.atoms.unify(old, new, place)
        self.writes.append(Written(before, after, place))

    def _fix_numbers(
        self, node: Node, layout: Layout, numbers: Iterable[tuple[Path, Argument]], place: Reason
    ) -> None:
        """Fixes a size that is read as a number which follows no axis: `x / x.shape[1]`."""
        follows = {rule.path for rule in layout.sizes}
        others = [(path, number) for path, number in numbers if path not in follows]
        self._fix_sizes(others, replace(place, text=f"{node.op} computes with its size"))

    def _fix_sizes(self, numbers: Iterable[tuple[Path, Argument]], reason: Reason) -> None:
        for _, number in numbers:
            for size in sizes_in(number):
                self.atoms.fix(self.dims(size.value).atoms[size.axis], reason)


def _why(op: Op, atom: Atom) -> str:
    if atom.size == 1:
        return f"{op.name} broadcasts it, or multiplies it with another axis: its size is 1"
    return f"{op.name} mixes or indexes its units, or makes them"
