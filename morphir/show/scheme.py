"""What is drawn of an entry point: cards inside boxes, and the wires between cards.

A call of a module is a box; a call that comes to a single op is a card with the name of the module;
any other op is a card of its own. Calls in which nothing runs are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

from morphir.ir import Graph, Node, Program, Value, number_values, print_node
from morphir.ir.graph import Item
from morphir.show.census import Census, Dim, free_names

CardKind = Literal["input", "layer", "op", "output"]


@final
@dataclass(frozen=True)
class Chip:
    """State entries of the same dimensions that a card reads."""

    names: tuple[str, ...]
    dims: tuple[Dim, ...]

    @property
    def label(self) -> str:
        """The first name, and how many more there are."""
        more = f" +{len(self.names) - 1}" if len(self.names) > 1 else ""
        return f"{self.names[0]}{more}"


@final
@dataclass(frozen=True)
class Card:
    """An op, an input or an output.

    Attributes:
        key: What tells it apart.
        kind: What it is.
        title: The last part of a layer's name, the name of an op, the path of an input or output.
        subtitle: The class of a layer.
        chips: The state that it reads.
        dims: The dimensions of its first result.
        detail: The call as the text form has it, with its source line.
        module: The qualified name of the module that it runs in.
    """

    key: str
    kind: CardKind
    title: str
    subtitle: str = ""
    chips: tuple[Chip, ...] = ()
    dims: tuple[Dim, ...] = ()
    detail: str = ""
    module: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The free groups that stand in its state or result."""
        every = [*self.dims, *(dim for chip in self.chips for dim in chip.dims)]
        return free_names(every)


@final
@dataclass(frozen=True)
class Box:
    """A call of a module in which several things run."""

    key: str
    title: str
    subtitle: str
    module: str
    parts: tuple[Part, ...]

    @property
    def cards(self) -> Iterator[Card]:
        """Every card inside, in execution order."""
        for part in self.parts:
            yield from part.cards if isinstance(part, Box) else (part,)

    @property
    def names(self) -> tuple[str, ...]:
        """The free groups that stand in what is inside."""
        return tuple(dict.fromkeys(name for card in self.cards for name in card.names))


Part = Card | Box


@final
@dataclass(frozen=True)
class Wire:
    """A value that flows from one card to another, with the free groups that stand in it."""

    source: str
    target: str
    names: tuple[str, ...]


@final
@dataclass(frozen=True)
class Scheme:
    """One entry point, as it is drawn."""

    name: str
    root: Box
    wires: tuple[Wire, ...]


def scheme_of(program: Program, graph: Graph, census: Census) -> Scheme:
    """What is drawn of one entry point."""
    return _Drawing(program, graph, census).scheme()


@final
class _Drawing:
    def __init__(self, program: Program, graph: Graph, census: Census) -> None:
        self._program, self._graph, self._census = program, graph, census
        self._names = number_values(graph)
        self._made_by: dict[Value, str] = {}  # the key of a card
        self._wires: dict[Wire, None] = {}
        self._order = {name: index for index, name in enumerate(program.state)}
        self._count = 0

    def scheme(self) -> Scheme:
        graph = self._graph
        inputs = [self._terminal("input", value.name, value) for value in graph.inputs]
        body = [*self._parts(graph.body, "")]
        outputs = [self._terminal("output", path, value) for path, value in graph.outputs]
        root = Box(self._key(), graph.name, self._program.model, "", (*inputs, *body, *outputs))
        return Scheme(graph.name, root, tuple(self._wires))

    def _key(self) -> str:
        self._count += 1
        return f"{self._graph.name}/{self._count}"

    def _dims(self, value: Value) -> tuple[Dim, ...]:
        return self._census.dims(value, value.type)

    def _terminal(self, kind: Literal["input", "output"], name: str, value: Value) -> Card:
        key = self._key()
        if kind == "input":
            self._made_by[value] = key
        else:
            self._connect([value], key)
        return Card(key, kind, name or "output", dims=self._dims(value))

    def _connect(self, values: Sequence[Value], key: str) -> None:
        for value in values:
            if value in self._made_by:
                names = free_names(self._dims(value))
                self._wires[Wire(self._made_by[value], key, names)] = None

    def _parts(self, items: Sequence[Item], around: str) -> Iterator[Part]:
        for item in items:
            if isinstance(item, Node):
                yield self._card(item, around)
                continue
            title = item.module.removeprefix(f"{around}.") if around else item.module
            kind = self._program.modules.get(item.module, "")
            if len(item.body) == 1 and isinstance(item.body[0], Node):
                yield self._card(item.body[0], item.module, title, kind)
                continue
            key = self._key()
            parts = tuple(self._parts(item.body, item.module))
            if parts:
                yield Box(key, title, kind, item.module, parts)

    def _card(self, node: Node, module: str, title: str = "", kind: str = "") -> Card:
        key = self._key()
        self._connect(node.operands, key)
        self._made_by |= dict.fromkeys(node.outputs, key)
        return Card(
            key,
            "layer" if title else "op",
            title or node.op,
            kind,
            tuple(self._chips(node, module)),
            self._dims(node.outputs[0]) if node.outputs else (),
            print_node(node, self._names),
            module,
        )

    def _chips(self, node: Node, module: str) -> Iterator[Chip]:
        """The state of a node; entries of the same dimensions share a chip."""
        chips: dict[tuple[Dim, ...], dict[str, None]] = {}
        read = {value.name: value.type for value in node.operands if value.origin == "state"}
        for name in sorted(read, key=self._order.__getitem__):
            own = name.removeprefix(f"{module}.")
            chips.setdefault(self._census.dims(name, read[name]), {})[own] = None
        yield from (Chip(tuple(names), dims) for dims, names in chips.items())


def calls_in(part: Part) -> Iterator[Box]:
    """Every box of a part, the outer ones first, level by level."""
    level = [part]
    while level:
        boxes = [each for each in level if isinstance(each, Box)]
        yield from boxes
        level = [inner for box in boxes for inner in box.parts]
