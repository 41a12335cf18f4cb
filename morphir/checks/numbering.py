"""Value numbering: gives every value of a graph its form.

Congruence is the rule: the same op on equal operands with equal arguments gives equal results. It
has limits, and they are drawn here:

- a random op also depends on the random ops before it, so equal forms mean equal values given the
  same random draws;
- an op without a declaration may keep state of its own, so it depends on all such ops before it;
- what the graph does not hold (a scripted module's code, an argument that is no tensor and no plain
  number) makes a value that nothing equals;
- a shape that was recorded with more than one row may be another with a single one (`squeeze()`
  drops the batch): what is computed from such a value has no known type;
- a number that Python computed from a value that left torch is the same in both programs, since
  Python saw the same values, but another on other inputs: no lemma, no fact reads it (CERT-7).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import torch

from morphir.checks.calls import leaves
from morphir.checks.following import Candidate, Following
from morphir.checks.forms import Form, FormTable
from morphir.checks.lemmas import Padding, Step, simplify
from morphir.checks.rejection import Rejection
from morphir.ir import (
    Argument,
    Arithmetic,
    Call,
    Graph,
    ModuleAttribute,
    Node,
    Program,
    SizeOf,
    Value,
    number_values,
    print_node,
)
from morphir.ops import Interval, Op, OpTable
from morphir.ops.bounds import number_interval
from morphir.ops.content import may_drop_batch, tells_python

# What these compute is not among their arguments: the code of a TorchScript module; which part of a
# tensor's memory another tensor was changed through.
_NOT_HELD: Final = ("scripted", "alias")


@final
class GraphForms:
    """The forms of one graph's values, and which lemma gave which node's.

    Attributes:
        escapes: What left torch, in order.
        random: Stands for the random state after the last node.
        world: Stands for whatever undeclared ops may have changed.
        lemmas: Node to the number of the lemma by which it was simplified.
    """

    def __init__(
        self,
        graph: Graph,
        program: Program,
        atoms: Mapping[str, Any],
        fresh: Mapping[str, torch.Tensor],
        inserted: frozenset[str],
        forms: FormTable,
        table: OpTable,
        old: GraphForms | None = None,
        following: Following | None = None,
    ) -> None:
        """Numbers every value.

        Args:
            graph: The graph.
            program: The program that it belongs to.
            atoms: State name to what stands for it: equal keys are equal tensors.
            fresh: The state whose numbers the lemmas may read.
            inserted: Modules whose numbers are their own, whatever left torch before their call.
            forms: The table to use.
            table: The op declarations.
            old: The numbering of the old graph, for one whose axes changed.
            following: Takes the relations of its values to those of the old graph.
        """
        self.candidates: dict[Any, list[tuple[int, Candidate]]] = {}  # with their positions
        self._old, self._following = old, following
        self.escapes: list[Any] = []
        self.random = self.world = Form(None)
        self.lemmas: dict[Node, str] = {}
        self._values: dict[Value, Form] = {}
        self._calls: set[Any] = set()  # ops with their arguments
        self._paddings: dict[Form, Padding] = {}
        self._graph, self._program, self._atoms = graph, program, atoms
        self._fresh, self._forms, self._table = fresh, forms, table
        olds = {} if old is None else {value.name: value for value in old._graph.inputs}
        for value in graph.inputs:
            kind = olds.get(value.name, value).type  # a longer one stands for the old one
            self._values[value] = forms.atom((value.origin, value.name), kind, on=None)
        for position, (node, fixed) in enumerate(_with_trust(graph, inserted, table)):
            key = node.op, tuple((name, self._key(a)) for name, a in node.arguments.items())
            if not self._follows(node, position, key):
                before = self.random
                self._visit(node, key, fixed=fixed)
                self._remember(node, position, key, before)

    def of(self, value: Value) -> Form:
        """The form of a value."""
        known = self._values.get(value)
        if known is not None:
            return known
        if value.origin != "state":
            raise KeyError(value)
        kind = value.type
        if self._old is not None and self._following is not None and self._following.axes(value):
            kind = self._old._program.state[value.name].type
        known = self._forms.atom((value.origin, self._atoms[value.name]), kind)
        self._values[value] = known
        return known

    # -- changed axes ------------------------------------------------------------------------------

    def _remember(self, node: Node, position: int, key: Any, random: Form) -> None:
        self._calls.add(key)
        if self._old is None and self._table.get(node.op) is not None:
            forms = tuple(self._values[value] for value in node.outputs)
            found = Candidate(node, forms, random, self.random, self._key)
            self.candidates.setdefault(self._call(node), []).append((position, found))

    def _call(self, node: Node) -> Any:
        return node.op, tuple(map(self.of, _tensors(node)))

    def _follows(self, node: Node, position: int, key: Any) -> bool:
        """Whether a call is one of the old graph, on operands whose axes changed."""
        if self._old is None or self._following is None:
            return False
        is_changed = any(map(self._following.is_changed, node.operands))
        if not is_changed and key in self._old._calls:  # on the same operands, the same numbers
            return False
        op = self._table.get(node.op)
        near = sorted(
            self._old.candidates.get(self._call(node), ()), key=lambda c: abs(c[0] - position)
        )
        reason = f"CERT-11: {node.op} reads what changed, and the old program has no such call"
        for _, candidate in near:
            assert op is not None  # or it would have no candidates
            if node.random != candidate.node.random or candidate.random != self.random:
                continue
            try:
                self._following.follow(node, op, candidate, self._key)
            except Rejection as rejection:
                reason = rejection.summary
                continue
            self._values.update(zip(node.outputs, candidate.forms, strict=True))
            self.random = candidate.random_after
            return True
        if is_changed:
            where = f"{self._graph.name}: {print_node(node, number_values(self._graph))}"
            raise Rejection(reason, where)
        return False

    # -- congruence --------------------------------------------------------------------------------

    def _visit(self, node: Node, key: Any, *, fixed: bool) -> None:
        if node.op == "escape":
            self.escapes.append(key)
            return
        op = self._table.get(node.op)
        if not _is_held(node):
            key = (*key, self, node)  # this graph's own: equal to nothing
        if op is None:
            key = (*key, self.world)
            self.world = self._forms.atom(key, None)
        if node.random:
            key = (*key, self.random)
            self.random = self._forms.atom(key, None)
        operands = [*map(self.of, _tensors(node))]
        typed = all(form.type is not None for form in operands) and not may_drop_batch(node)
        for index, value in enumerate(node.outputs):
            kind = value.type if typed else None
            self._values[value] = self._forms.atom((key, index), kind, on=operands)
        if op is not None and fixed and node.outputs and not node.writes:
            self._simplify(node, op)
            self._learn(node, op)

    def _key(self, argument: Argument) -> Any:
        match argument:
            case Value():
                return self.of(argument)
            case SizeOf(value=value, axis=axis):
                return (SizeOf, self.of(value), axis)
            case ModuleAttribute(number=number):  # whoever holds it, it is this number
                return repr(number)
            case Arithmetic(op=op, left=left, right=right):
                return (Arithmetic, op, self._key(left), self._key(right))
            case tuple():
                return tuple(self._key(part) for part in argument)
            case slice(start=start, stop=stop, step=step):
                return (slice, self._key(start), self._key(stop), self._key(step))
            case _:
                return repr(argument)

    # -- lemmas and facts --------------------------------------------------------------------------

    def _simplify(self, node: Node, op: Op) -> None:
        first = node.outputs[0]
        found = simplify(
            Step(
                node,
                op,
                self._values[first].type,
                lambda name: self._operand(node, name),
                lambda name: self._numbers(node, name),
                lambda: self._is_finite(node),
                self._forms.interval,
                self._paddings.get,
            )
        )
        if found is not None:
            lemma, self._values[first] = found
            if lemma:
                self.lemmas[node] = lemma
        source = self._operand(node, "input")
        if node.op == "pad" and source is not None:
            self._paddings[self._values[first]] = source, node.arguments["pad"]

    def _operand(self, node: Node, name: str) -> Form | None:
        value = node.arguments.get(name)
        return self.of(value) if isinstance(value, Value) else None

    def _numbers(self, node: Node, name: str) -> torch.Tensor | None:
        value = node.arguments.get(name)
        if not isinstance(value, Value) or value.origin != "state":
            return None
        return self._fresh.get(value.name)

    def _is_finite(self, node: Node) -> bool:
        held = (self._program.state[v.name].tensor for v in node.operands if v.origin == "state")
        return all(tensor is not None and bool(tensor.isfinite().all()) for tensor in held)

    def _learn(self, node: Node, op: Op) -> None:
        if op.bounds is None:
            return
        found = op.bounds(node.arguments, self._interval)
        for value in node.outputs if op.bounds_all_outputs else node.outputs[:1]:
            self._forms.narrow(self._values[value], found)

    def _interval(self, argument: Argument) -> Interval:
        if isinstance(argument, Value):
            return self._forms.interval(self.of(argument))
        return number_interval(argument)


def _with_trust(
    graph: Graph, inserted: frozenset[str], table: OpTable
) -> Iterator[tuple[Node, bool]]:
    """Every node, and whether the numbers that it reads are the same on all inputs (CERT-7)."""
    escaped: set[Call | None] = set()  # the call inside of which a number did, None: anywhere
    for path, item in graph.walk():
        if isinstance(item, Call) or item.op == "float":  # what it led to is compared itself
            continue
        around = next((call for call in path if call.module in inserted), None)
        yield item, around not in escaped or not _may_read_number(item, table.get(item.op))
        if tells_python(item, table.get(item.op)):
            escaped = {None, around}  # such calls come one after the other


def _may_read_number(node: Node, op: Op | None) -> bool:
    """Whether a number is among the arguments; one that is a default is left out of them."""
    defaults = () if op is None else tuple(p.default for p in op.parameter_list)
    return any(
        isinstance(leaf, int | float | complex) and not isinstance(leaf, bool)
        for leaf in _leaves(*node.arguments.values(), *defaults)
    )


def _is_held(node: Node) -> bool:
    """Whether op and arguments say all that there is to say about what is computed."""
    if node.op in _NOT_HELD:
        return False
    texts = (leaf for leaf in _leaves(*node.arguments.values()) if isinstance(leaf, str))
    # An argument that could not be held by the graph has its type there, as `<type>`.
    return not any(text.startswith("<") and text.endswith(">") for text in texts)


def _tensors(node: Node) -> list[Value]:
    """The values whose elements are read; a size tells nothing about elements."""
    return [leaf for leaf in _leaves(*node.arguments.values()) if isinstance(leaf, Value)]


def _leaves(*arguments: Argument) -> Iterator[Argument]:
    """What arguments consist of, through tuples and slices."""
    return (leaf for _, leaf, _ in leaves(arguments, arguments, ()))
