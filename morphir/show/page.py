"""One HTML page about a program and its axis groups; it needs no other file and no network.

The browser lays the boxes out, so that they can be closed and fit a phone; a little script draws
the wires between them. Without it the page is still a readable outline.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from morphir.axes import Effect
from morphir.ir.report import counted
from morphir.show.census import Axis, Census, Dim, free_names
from morphir.show.colours import hue
from morphir.show.folding import closed_boxes
from morphir.show.layers import Nesting
from morphir.show.scheme import Box, Card, Chip, Part, Scheme, scheme_of

_SIZES: Final = 4  # how many sizes that are fixed for one reason are listed


def show_page(census: Census, *, at: str = "", depth: int | None = None) -> str:
    """The page, with a drawing of every entry point.

    Args:
        census: The groups.
        at: A module whose groups are lit when the page opens.
        depth: How deep boxes are open at first; by default as far as stays readable.

    Raises:
        RefusalError: `at` has no output features.
    """
    program = census.program
    lit = census.names_at(at) if at else ()
    schemes = [scheme_of(program, graph, census) for graph in program.graphs.values()]
    free = [axis for axis in census.axes if axis.is_free]
    fixed = [axis for axis in census.axes if not axis.is_free]
    template = files("morphir.show").joinpath("page.html").read_text(encoding="utf8")
    return Template(template).substitute(
        title=escape(program.model),
        summary=escape(_summary(census, len(free))),
        hues="".join(f".{axis.name}{{--h:{hue(axis.name)}}}" for axis in free),
        sheets="".join(_sheet(scheme, closed_boxes(scheme, depth)) for scheme in schemes),
        groups="".join(map(_group, free)) or "<li>No axis of the state can change.</li>",
        fixed="".join(map(_reason, fixed)),
        wires=_data([[w.source, w.target, [*w.names]] for s in schemes for w in s.wires]),
        lit=_data([*lit]),
        at=_data(at),
    )


def _data(value: object) -> str:
    """JSON that may stand in a script."""
    return json.dumps(value).replace("<", "\\u003c")


def _summary(census: Census, free: int) -> str:
    program = census.program
    entry_points = ", ".join(program.graphs)
    ops = sum(len(graph.nodes) for graph in program.graphs.values())
    return (
        f"{entry_points} in {program.mode} mode: {counted(ops, 'op')}, "
        f"{counted(free, 'group')} of axes that unification leaves free"
    )


def _sheet(scheme: Scheme, closed: frozenset[str]) -> str:
    drawing = _Drawing(scheme, closed)
    rows = "".join(drawing.rows(scheme.root))
    return (
        f"<section><h2>{escape(scheme.name)}</h2>"
        f'<div class="sheet"><div class="paper"><svg class="wires" aria-hidden="true"></svg>'
        f'<div class="rows" id="{escape(scheme.root.key)}">{rows}</div></div></div></section>'
    )


class _Drawing:
    def __init__(self, scheme: Scheme, closed: frozenset[str]) -> None:
        self._nesting, self._closed = Nesting(scheme), closed

    def rows(self, box: Box) -> Iterator[str]:
        for number, row in enumerate(self._nesting.rows(box)):
            yield f'<div class="row" data-row="{number}">{"".join(map(self._part, row))}</div>'

    def _part(self, part: Part) -> str:
        return _card(part) if isinstance(part, Card) else self._box(part)

    def _box(self, box: Box) -> str:
        opened = "" if box.key in self._closed else " open"
        dots = "".join(f'<i class="dot {n}" data-g="{n}" title="{n}"></i>' for n in box.names)
        count = len([*box.cards])
        return (
            f'<details class="box part" id="{escape(box.key)}" data-at="{escape(box.module)}"'
            f'{opened}><summary title="{escape(box.module)}"><b>{escape(box.title)}</b> '
            f"<span>{escape(box.subtitle)}</span><small>{count} ops</small>"
            f'<span class="dots">{dots}</span></summary>'
            f'<div class="rows">{"".join(self.rows(box))}</div></details>'
        )


def _card(card: Card) -> str:
    where = f' data-at="{escape(card.module)}"' if card.kind == "layer" else ""
    flows = " ".join(free_names(card.dims))
    head = f"<b>{escape(card.title)}</b>"
    head += f" <span>{escape(card.subtitle)}</span>" if card.subtitle else ""
    if card.kind in ("input", "output"):
        head += f" {_dims(card.dims)}"
    chips = "".join(map(_chip, card.chips))
    return (
        f'<div class="card part {card.kind}" id="{escape(card.key)}"{where} data-has="{flows}" '
        f'data-detail="{escape(card.detail)}"><div class="head">{head}</div>{chips}</div>'
    )


def _chip(chip: Chip) -> str:
    names = escape(", ".join(chip.names))
    label = f'<span title="{names}">{escape(chip.label)}</span>'
    return f'<div class="chip">{label}{_dims(chip.dims)}</div>'


def _dims(dims: Sequence[Dim]) -> str:
    return "".join(map(_dim, dims))


def _dim(dim: Dim) -> str:
    free = [name for name in dim.names if name.startswith("g")]
    names = free or dim.names
    kind = ""
    if free:
        kind = "split" if "split" in dim.polarity else "copy" if dim.polarity else "stuck"
    classes = " ".join(filter(None, ("dim", kind, *free[:1])))
    mark = f' data-g="{" ".join(names)}"' if names else ""
    return f'<span class="{classes}"{mark} title="{escape(str(dim))}">{escape(dim.size)}</span>'


def _group(axis: Axis) -> str:
    size = ", ".join(map(str, axis.sizes))
    what = f"<code>{escape(axis.example)}</code>" if axis.example else escape(axis.obstacle)
    if axis.effects:
        places = "".join(map(_effect, axis.effects))
    else:
        places = "".join(f"<li>{escape(place)}</li>" for place in axis.places)
    return (
        f'<li class="group {axis.name}" data-g="{axis.name}"><button type="button">'
        f'<span class="dim {"copy" if axis.example else "stuck"} {axis.name}">{axis.name}</span>'
        f"<b>{size}</b> units</button><p>{what}</p>"
        f"<details><summary>{counted(len(axis.places), 'place')}</summary>"
        f"<ul>{places}</ul></details></li>"
    )


def _effect(effect: Effect) -> str:
    sizes = f"{effect.old[effect.axis]} → {effect.new[effect.axis]}"
    place = effect.place
    because = f"{place.op} in {place.module}" if place.module else place.op
    return (
        f"<li><b>{escape(effect.tensor)}</b>[{effect.axis}] {sizes}, {effect.polarity} "
        f"<small>{escape(because)} {escape(place.source)}</small></li>"
    )


def _reason(axis: Axis) -> str:
    sizes = ", ".join(map(str, axis.sizes[:_SIZES])) + ", …" * (len(axis.sizes) > _SIZES)
    places = "".join(f"<li>{escape(place)}</li>" for place in axis.places)
    return (
        f'<li class="group" data-g="{axis.name}"><button type="button">'
        f'<span class="dim">{axis.name}</span>size {sizes}</button><p>{escape(axis.reason)}</p>'
        f"<details><summary>{counted(len(axis.places), 'place')}</summary>"
        f"<ul>{places}</ul></details></li>"
    )
