"""Programs and their axis groups as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from morphir.axes import Effect
from morphir.ir import Graph, Node, TensorType, Value, number_values
from morphir.ir.graph import Item
from morphir.ir.printer import print_argument, print_call, quote_name
from morphir.ir.types import dtype_name
from morphir.show.census import Axis, Census, Dim, Tensor

_SHOWN: Final = 3  # how many places of a group are listed
_COLOURS: Final = ("cyan", "magenta", "yellow", "green", "blue", "bright_red")
_STYLES: Final = {"copy": "bold", "split": "italic"}
_FIXED: Final = "dim"


def show_text(census: Census, *, at: str = "", depth: int | None = None) -> RenderableType:
    """The program with its groups, and the table of the groups.

    Args:
        census: The groups.
        at: A module whose groups are described place by place.
        depth: How deep calls are shown; by default all of them.

    Raises:
        RefusalError: `at` has no output features.
    """
    names = census.names_at(at) if at else ()
    program = census.program
    parts: list[RenderableType] = [Text(f"{program.model} in {program.mode} mode", "bold"), Text()]
    parts += _state(census)
    for graph in program.graphs.values():
        parts += [Text(), *_graph(census, graph, depth)]
    parts += [Text(), _groups(census.axes)]
    parts += [Text(f"note: {note}", "dim") for note in program.notes]
    for axis in census.axes:
        if axis.name in names:
            parts += [Text(), *_at(at, axis)]
    return Group(*parts)


def _state(census: Census) -> Iterator[Text]:
    for name, entry in census.program.state.items():
        line = Text(f"{entry.kind} {quote_name(name)}: ")
        line.append_text(_type(census, name, entry.type))
        mask = census.program.state[entry.mask].tensor if entry.mask else None
        if mask is not None:
            used = float(mask.count_nonzero()) / max(1, mask.numel())
            line.append(f" masked by @{quote_name(entry.mask)}, {used:.1%} in use")
        yield line


def _type(census: Census, tensor: Tensor, type: TensorType) -> Text:
    text = Text(f"{dtype_name(type.dtype)}[")
    for index, dim in enumerate(census.dims(tensor, type)):
        text.append(", " if index else "")
        text.append_text(_dim(dim))
    return text.append("]")


def _dim(dim: Dim) -> Text:
    free = [name for name in dim.names if name.startswith("g")]
    if not free:
        return Text(str(dim), _FIXED if dim.form else "")
    return Text(str(dim), _style(free[0]))


def _style(name: str) -> str:
    return _COLOURS[int(name[1:]) % len(_COLOURS)] if name.startswith("g") else _FIXED


def _graph(census: Census, graph: Graph, depth: int | None) -> Iterator[Text]:
    names = number_values(graph)
    head = Text(f"graph {quote_name(graph.name)}(")
    for index, value in enumerate(graph.inputs):
        head.append(", " if index else "").append_text(_value(census, value, names[value]))
    yield head.append("):")
    yield from _items(census, graph.body, names, "  ", depth)
    for path, value in graph.outputs:
        yield Text(f"  output {path!r} = {print_argument(value, names)}")


def _value(census: Census, value: Value, name: str) -> Text:
    if value.type is None:
        return Text(name)
    return Text(f"{name}: ").append_text(_type(census, value, value.type))


def _items(
    census: Census, items: Sequence[Item], names: dict[Value, str], indent: str, depth: int | None
) -> Iterator[Text]:
    for item in items:
        if isinstance(item, Node):
            yield _node(census, item, names, indent)
            continue
        kind = census.program.modules.get(item.module, "")
        line = Text(indent).append(quote_name(item.module), "bold").append(f" {kind}", "dim")
        if depth == 0:
            results = (print_argument(value, names) for value in item.results)
            yield line.append(f" -> {', '.join(results)}")
            continue
        yield line
        deeper = None if depth is None else depth - 1
        yield from _items(census, item.body, names, indent + "  ", deeper)


def _node(census: Census, node: Node, names: dict[Value, str], indent: str) -> Text:
    line = Text(indent)
    for index, value in enumerate(node.outputs):
        line.append(", " if index else "").append_text(_value(census, value, names[value]))
    line.append(f"{' = ' if node.outputs else ''}{print_call(node, names)}")
    return line.append(f"  # {node.source}", "dim") if node.source else line


def _groups(axes: Sequence[Axis]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("group", no_wrap=True)
    table.add_column("size", justify="right")
    table.add_column("changed by, or why not", overflow="fold")
    table.add_column("stands in", overflow="fold")
    for axis in axes:
        sizes = ", ".join(map(str, axis.sizes[:_SHOWN])) + ", ..." * (len(axis.sizes) > _SHOWN)
        why = Text(axis.example) if axis.example else Text(axis.reason or axis.obstacle, "dim")
        table.add_row(Text(axis.name, _style(axis.name)), sizes, why, _some(axis.places))
    return table


def _some(places: Sequence[str]) -> Text:
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return Text(", ".join(places[:_SHOWN]) + more)


def _at(at: str, axis: Axis) -> Iterator[RenderableType]:
    """Everything about a group of one module's features."""
    size = ", ".join(map(str, axis.sizes))
    yield Text.assemble((at, "bold"), " has ", (axis.name, _style(axis.name)), f", {size} units")
    if not axis.effects:
        yield Text(f"  it cannot change: {axis.reason or axis.obstacle}")
        yield from (Text(f"  {place}") for place in axis.places)
        return
    yield Text(f"  {axis.example} would change")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("tensor", "axis", "is", "becomes", "units", "because of", "source"):
        table.add_column(name, overflow="fold")
    for effect in axis.effects:
        table.add_row(*_effect(effect))
    yield Padding(table, (0, 0, 0, 2), expand=False)


def _effect(effect: Effect) -> tuple[Text, ...]:
    place = effect.place
    where = f"{place.op} in {place.module}" if place.module else place.op
    style = _STYLES.get(effect.polarity, "")
    return (
        Text(effect.tensor),
        Text(str(effect.axis)),
        Text(str(effect.old[effect.axis])),
        Text(str(effect.new[effect.axis])),
        Text(effect.polarity, style),
        Text(where),
        Text(place.source),
    )
