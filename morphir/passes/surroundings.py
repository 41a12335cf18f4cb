"""What surrounds a site: activations before and after it, the layer that feeds it, known bounds."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, final

from morphir.blocks import activation_module
from morphir.ir import Argument, Call, Graph, Node, Program, Value
from morphir.ops import ANYTHING, DEFAULT_TABLE, Interval, Op, propagate
from morphir.passes.base import Refusal

NORMS: Final = ("batch_norm", "group_norm", "layer_norm", "instance_norm", "rms_norm")
CONVOLUTIONS: Final[Mapping[str, int]] = {
    f"{name}{dims}d": dims for name in ("conv", "conv_transpose") for dims in (1, 2, 3)
}
AFFINE: Final = ("linear", "addmm", *CONVOLUTIONS)
_CLIPS: Final = ("relu", "relu6", "hardtanh", "threshold", "clamp")  # flat where no identity
_SELECTS: Final = (  # every element of the result is one of the operand's, or zero
    *("reshape", "flatten", "ravel", "unflatten", "squeeze", "unsqueeze", "permute", "transpose"),
    *("contiguous", "dropout", "max_pool1d", "max_pool2d", "max_pool3d"),
)
_GATES: Final = ("sigmoid", "hardsigmoid")
_REACH: Final = 64  # nodes walked from a site
Calls = Sequence[tuple[Graph, Call]]


def _op(node: Node) -> Op | None:
    return DEFAULT_TABLE.get(node.op)


def is_activation(node: Node | None) -> bool:
    """Whether a node is an elementwise activation that has a module."""
    op = None if node is None else _op(node)
    return op is not None and activation_module(op) is not None


@final
@dataclass(frozen=True)
class Activation:
    """An activation wherever it stands.

    Attributes:
        op: Canonical name.
        settings: Its literal arguments, for the constructor of its module.
    """

    op: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, node: Node) -> Activation:
        """The one that a node computes."""
        literal = {k: v for k, v in node.arguments.items() if not isinstance(v, Value)}
        return cls(node.op, literal)

    @property
    def identity_range(self) -> Interval | None:
        """The inputs that it returns unchanged, if they are an interval."""
        op = DEFAULT_TABLE.get(self.op)
        return None if op is None or op.identity_on is None else op.identity_on(self.settings)

    @property
    def is_idempotent(self) -> bool:
        """Whether it is the identity on its own results, whatever its input."""
        op, on = DEFAULT_TABLE.get(self.op), self.identity_range
        if op is None or op.bounds is None or on is None:
            return False

        def anything(argument: Argument) -> Interval:
            number = isinstance(argument, int | float)
            return Interval(float(argument), float(argument)) if number else ANYTHING

        return on.contains(op.bounds({"input": None, **self.settings}, anything))

    def hides(self, earlier: Activation) -> bool:
        """Whether it is flat wherever an earlier one changes its input: relu after relu."""
        kept, unchanged = self.identity_range, earlier.identity_range
        clips = self.op in _CLIPS and self.is_idempotent
        return bool(clips and kept and unchanged and unchanged.contains(kept))


def activation_of(node: Node | None) -> Activation | None:
    """The activation that a node computes, if it is one that has a module."""
    return Activation.of(node) if node is not None and is_activation(node) else None


def _inputs(node: Node) -> list[Value]:
    """The value that a node is a function of, or those that it concatenates."""
    given = node.arguments.get("tensors" if node.op == "cat" else "input")
    parts = given if isinstance(given, tuple) else (given,)
    return [part for part in parts if isinstance(part, Value)]


@final
@dataclass(frozen=True)
class Following:
    """The activation that is a site's only consumer.

    Attributes:
        activation: The activation.
        module: The module that is nothing but this activation, or "" when it is called as a
            function.
        before: The module whose output the activation reads.
    """

    activation: Activation
    module: str
    before: str


@final
class Surroundings:
    """Questions about the neighbourhood of values in one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._facts: dict[Graph, Mapping[Value, Interval]] = {}

    def interval(self, graph: Graph, value: Value) -> Interval:
        """What is known about the elements of a value."""
        if graph not in self._facts:
            self._facts[graph] = propagate(graph, DEFAULT_TABLE)
        return self._facts[graph].get(value, ANYTHING)

    def is_identity_at(self, calls: Calls, activation: Activation) -> bool:
        """Whether an activation would return the results of all these calls unchanged."""
        on = activation.identity_range
        return on is not None and all(
            on.contains(self.interval(graph, call.results[0])) for graph, call in calls
        )

    def activation_before(self, graph: Graph, value: Value) -> Activation | None:
        """The activation whose result is the value, pooling, dropout and views aside.

        Where values are concatenated it is that of all of them.
        """
        found: list[Activation] = []
        values = [value]
        for value in values:  # it grows
            node = graph.producers.get(value)
            if node is None:
                return None
            if is_activation(node):
                found.append(Activation.of(node))
            elif not _inputs(node) or self.interval(graph, value) == ANYTHING:
                return None
            else:
                values += [each for each in _inputs(node) if each not in values]
        return found[0] if all(each == found[0] for each in found) else None

    def nearest_activation(self, graph: Graph, value: Value) -> Activation | None:
        """The first activation on the way back from a value or, if none, on the way on."""
        before = islice(upstream(graph, value), _REACH)
        found = (node for node in chain(before, downstream(graph, value)) if is_activation(node))
        return next((Activation.of(node) for node in found if not _is_gate(graph, node)), None)

    def hidden_by(self, calls: Calls, activation: Activation) -> Node | None:
        """What hides, at all these calls, that an activation changes their results; or None."""
        found = [node for graph, call in calls for node in _readers(graph, call.results[0])]
        is_hidden = all(n and Activation.of(n).hides(activation) for n in found)
        return found[0] if is_hidden else None

    def following(self, calls: Calls) -> Following | str:
        """The activation after all these calls, through a normalisation if there is one.

        Returns:
            It, or why there is none, in words.
        """
        found: list[Following] = []
        for graph, call in calls:
            one = _following(graph, call)
            if isinstance(one, str):
                return one
            found.append(one)
        is_one = all(each == found[0] for each in found)
        return found[0] if is_one else "its calls are followed by different activations"


def _is_gate(graph: Graph, node: Node) -> bool:
    """Whether an activation scales other values, as in squeeze and excitation."""
    readers = _readers(graph, node.results[0])
    return node.op in _GATES and all(reader and reader.op == "mul" for reader in readers)


def _following(graph: Graph, call: Call) -> Following | str:
    value, before = call.results[0], call.module
    node = sole_consumer(graph, value)
    if node is not None and node.op in NORMS and len(node.results) == 1:
        before, value = whole_module(graph, node), node.results[0]
        if not before:
            return "its normalisation is not a module of its own"
        node = sole_consumer(graph, value)
    if node is None:
        count = len(_users(graph, value))
        return f"its output has {count} consumers" if count > 1 else "its output leaves the model"
    if not is_activation(node):
        return f"its output goes into {node.op!r}, which is no activation"
    return Following(Activation.of(node), whole_module(graph, node), before)


def whole_module(graph: Graph, node: Node) -> str:
    """The module that is nothing but this node, its count of calls aside, or ""."""
    whole = (
        call.module
        for call in graph.calls
        if node in call.body
        and call.results == node.results
        and all(_is_only(node, item) for item in call.body)
    )
    return next(whole, "")


def _is_only(node: Node, item: Node | Call) -> bool:
    counts = isinstance(item, Node) and all(v.origin == "state" for v in item.operands)
    return item is node or counts


def sole_consumer(graph: Graph, value: Value) -> Node | None:
    """The only node that reads a value, if it does not leave the model."""
    kept = any(v is value for _, v in (*graph.outputs, *graph.updates))
    users = _users(graph, value)
    return users[0] if len(users) == 1 and not kept else None


def _users(graph: Graph, value: Value) -> list[Node]:
    return [node for node in graph.users.get(value, ()) if node.op != "float"]


def _readers(graph: Graph, value: Value) -> Iterator[Node | None]:
    """What computes with a value or with a selection of it; None where it leaves the model."""
    nodes = _users(graph, value)
    if not nodes or any(v is value for _, v in (*graph.outputs, *graph.updates)):
        yield None
    for node in nodes:
        if node.op in _SELECTS:
            yield from _readers(graph, node.results[0])
        else:
            yield node


def upstream(graph: Graph, value: Value) -> Iterator[Node]:
    """Nodes that feed a value, the one that ran last first."""
    needed = {value}
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            yield node
            needed.update(node.operands)


def downstream(graph: Graph, value: Value) -> Iterator[Node]:
    """Nodes that a value feeds, the nearest first."""
    queue, seen = [value], {value}
    nodes: dict[Node, None] = {}
    while queue and len(nodes) < _REACH:
        for node in graph.users.get(queue.pop(0), ()):
            if node not in nodes:
                nodes[node] = None
                yield node
                queue += [v for v in node.results if v not in seen]
                seen.update(node.results)


def choose_activation(
    name: str | None, found: Sequence[Activation | None]
) -> Activation | Refusal | None:
    """The activation asked for, or the one that all calls have around them."""
    if name is None:
        return found[0] if all(each == found[0] for each in found) else None
    op = DEFAULT_TABLE.get(name)
    if op is None or activation_module(op) is None:
        known = [op.name for op in DEFAULT_TABLE.ops if activation_module(op) is not None]
        return Refusal(
            f"activation={name!r} is unknown",
            suggestions=tuple(f"activation={k!r}" for k in _nearest(name, known)),
        )
    return next((each for each in found if each and each.op == name), Activation(name))


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(name, known, 3, 0.3) or [*known[:3]]
