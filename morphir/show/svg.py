"""Draws an entry point as one SVG image, with the colours of the groups, in light and in dark."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from morphir.show.census import Axis, Census, Dim
from morphir.show.colours import hue
from morphir.show.folding import closed_boxes
from morphir.show.layout import Rect, Size, lay_out, path_of
from morphir.show.scheme import Box, Card, Chip, Part, Scheme, Wire, scheme_of

_TITLE: Final = 7.6  # widths of a letter
_SMALL: Final = 6.9
_PILL: Final = 6.6
_LINE: Final = 21.0
_GAP: Final = 28.0
_SHOWN_GROUPS: Final = 12
_LEGEND: Final = 400.0  # the width that the legend needs


def show_svg(
    census: Census, *, entry_point: str = "", at: str = "", depth: int | None = None
) -> str:
    """The drawing of one entry point.

    Args:
        census: The groups.
        entry_point: Which; by default the first.
        at: A module whose groups alone are coloured.
        depth: How deep boxes are opened; by default as far as stays readable.

    Raises:
        RefusalError: `at` has no output features.
    """
    graph = census.program.graphs[entry_point or next(iter(census.program.graphs))]
    coloured = (*census.names_at(at),) if at else tuple(a.name for a in census.axes if a.is_free)
    scheme = scheme_of(census.program, graph, census)
    return "".join(_Picture(scheme, census.axes, coloured, depth).lines())


class _Picture:
    def __init__(
        self, scheme: Scheme, axes: Sequence[Axis], coloured: Collection[str], depth: int | None
    ) -> None:
        self._scheme, self._coloured = scheme, coloured
        self._closed = closed_boxes(scheme, depth)
        sizes = {part.key: self._size(part) for part in _parts(scheme.root)}
        self._layout = lay_out(scheme, sizes, self._closed)
        self._axes = [axis for axis in axes if axis.name in coloured][:_SHOWN_GROUPS]
        self._more = len(coloured) - len(self._axes)

    def lines(self) -> Iterator[str]:
        root = self._layout.rects[self._scheme.root.key]
        legend = [*self._legend(root)]
        height = root.height + 2 * _GAP / 2 + _LINE * len(legend) + 4
        width = root.width + _GAP
        style = files("morphir.show").joinpath("svg.css").read_text(encoding="utf8")
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-_GAP / 2:.0f} {-_GAP / 2:.0f} '
            f'{width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
            f'aria-label="{escape(self._scheme.root.subtitle)}, {escape(self._scheme.name)}">\n'
            f"<style>\n{style}{self._hues()}</style>\n<defs>"
        )
        yield from (_hatch(name) for name in self._coloured)
        yield (
            f'</defs>\n<rect class="bg" x="{-_GAP / 2:.0f}" y="{-_GAP / 2:.0f}" '
            f'width="100%" height="100%"/>\n'
        )
        yield from self._boxes(self._scheme.root)
        yield from (self._wire(route.wire, path_of(route)) for route in self._layout.routes)
        yield from self._cards(self._scheme.root)
        for number, line in enumerate(legend):
            down = root.height + _GAP / 2 + _LINE * number
            yield f'<g transform="translate(0 {down:.0f})">{line}</g>\n'
        yield "</svg>\n"

    def _hues(self) -> str:
        return "".join(f".{name}{{--h:{hue(name)}}}" for name in self._coloured)

    def _mark(self, names: Sequence[str]) -> str:
        """The class of what carries groups: that of the first one that is coloured."""
        name = next((name for name in names if name in self._coloured), "")
        return f" g {name}" if name else ""

    def _size(self, part: Part) -> Size:
        head = _TITLE * len(part.title) + _SMALL * len(part.subtitle) + 28
        if isinstance(part, Box):
            if part.key in self._closed:
                return max(head, 60 + 12 * min(len(part.names), _SHOWN_GROUPS)), 48
            least = _LEGEND if part is self._scheme.root else 0.0
            return max(2 * head - 40, least), 0  # wires enter in the middle, beside the title
        if part.kind in ("input", "output"):
            return head + _pills(part.dims) + 6, 26
        lines = [_SMALL * len(chip.label) + _pills(chip.dims) + 28 for chip in part.chips]
        return max([head, *lines]), (28 if part.kind == "layer" else 24) + _LINE * len(lines)

    def _boxes(self, box: Box) -> Iterator[str]:
        yield _rect("box", self._layout.rects[box.key], 10)
        for part in box.parts:
            if isinstance(part, Box) and part.key not in self._closed:
                yield from self._boxes(part)

    def _wire(self, wire: Wire, path: str) -> str:
        return f'<path class="w{self._mark(wire.names)}" d="{path}"/>\n'

    def _cards(self, box: Box) -> Iterator[str]:
        rect = self._layout.rects[box.key]  # its title stands above the wires that enter
        yield _title(rect, box.title, box.subtitle, box.module or box.title, kind="halo")
        for part in box.parts:
            if isinstance(part, Card):
                yield from self._card(part)
            elif part.key in self._closed:
                yield from self._closed_box(part)
            else:
                yield from self._cards(part)

    def _closed_box(self, box: Box) -> Iterator[str]:
        rect = self._layout.rects[box.key]
        yield _rect("box", Rect(rect.x + 3, rect.y + 3, rect.width, rect.height), 8)
        yield _rect("card", rect, 8)
        yield _title(rect, box.title, box.subtitle, box.module)
        count = len([*box.cards])
        x, y = rect.x + 12, rect.y + 37
        yield f'<text class="soft n" x="{x:.0f}" y="{y:.0f}">{count} ops</text>\n'
        for number, name in enumerate([n for n in box.names if n in self._coloured]):
            if number < _SHOWN_GROUPS:
                place = f'cx="{x + 52 + 12 * number:.0f}" cy="{y - 4:.0f}"'
                yield f'<circle class="dot {name}" {place} r="4"/>'

    def _card(self, card: Card) -> Iterator[str]:
        rect = self._layout.rects[card.key]
        is_end = card.kind in ("input", "output")
        yield f"<g>{f'<title>{escape(card.detail)}</title>' if card.detail else ''}"
        yield _rect("card", rect, 13 if is_end else 8 if card.kind == "layer" else 12)
        if is_end:
            yield _text(rect.x + 13, rect.y + 17, card.title, "b")
            yield from self._dims(rect.x + 21 + _TITLE * len(card.title), rect.y + 5, card.dims)
        else:
            yield _title(
                rect,
                card.title,
                card.subtitle,
                is_bold=card.kind == "layer",
                is_centred=not card.chips,
            )
        for number, chip in enumerate(card.chips):
            yield from self._chip(chip, rect.x + 12, rect.y + 26 + _LINE * number)
        yield "</g>\n"

    def _chip(self, chip: Chip, x: float, y: float) -> Iterator[str]:
        yield _text(x, y + 12, chip.label, "soft n")
        yield from self._dims(x + _SMALL * len(chip.label) + 6, y, chip.dims)

    def _dims(self, x: float, y: float, dims: Sequence[Dim]) -> Iterator[str]:
        for dim in dims:
            width = _PILL * len(dim.size) + 9
            mark = self._mark(dim.names)
            kind = "" if dim.polarity or not mark else " open"
            name = mark.rpartition(" ")[2]
            fill = f' style="fill:url(#{name})"' if mark and "split" in dim.polarity else ""
            place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="16" rx="4"'
            yield (
                f'<g class="pill{mark}{kind}"><title>{escape(str(dim))}</title>'
                f"<rect {place}{fill}/>"
                f'<text x="{x + width / 2:.1f}" y="{y + 12:.1f}" text-anchor="middle">'
                f"{escape(dim.size)}</text></g>"
            )
            x += width + 3

    def _legend(self, root: Rect) -> Iterator[str]:
        swatch = self._coloured[0] if self._coloured else ""  # type: ignore[index]
        keys = [("copy", "copied with the group"), ("split", "split among the copies")]
        x, found = 0.0, ""
        for polarity, words in keys if swatch else []:
            dim = Dim("n", "", (swatch,), polarity)
            found += "".join(self._dims(x, 0, [dim])) + _text(x + 22, 12, words, "soft n")
            x += 34 + _SMALL * len(words)
        found += "".join(self._dims(x, 0, [Dim("n")])) + _text(x + 22, 12, "fixed", "soft n")
        yield found
        for axis in self._axes:
            dims = self._dims(0, 0, [Dim(axis.name, "", (axis.name,), "copy")])
            words = f"{axis.sizes[0]} units  {axis.example or axis.reason or axis.obstacle}"
            room = max(10, int((root.width - 50) / _SMALL))
            words = words if len(words) <= room else words[: room - 1] + "…"
            yield "".join(dims) + _text(40, 12, words, "soft n")
        if self._more > 0:
            yield _text(0, 12, f"and {self._more} more groups", "soft n")


def _parts(box: Box) -> Iterator[Part]:
    for part in (box, *box.parts):
        yield part
        if isinstance(part, Box) and part is not box:
            yield from _parts(part)


def _pills(dims: Sequence[Dim]) -> float:
    return sum(_PILL * len(dim.size) + 12 for dim in dims)


def _rect(kind: str, rect: Rect, radius: int) -> str:
    return (
        f'<rect class="{kind}" x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}" '
        f'height="{rect.height:.1f}" rx="{radius}"/>\n'
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _title(
    rect: Rect,
    title: str,
    subtitle: str,
    tip: str = "",
    *,
    is_bold: bool = True,
    is_centred: bool = False,
    kind: str = "",
) -> str:
    hint = f"<title>{escape(tip)}</title>" if tip else ""
    weight = ' class="b"' if is_bold else ""
    soft = f'<tspan class="soft n" dx="6">{escape(subtitle)}</tspan>' if subtitle else ""
    x, mark = rect.x + 12, f' class="{kind}"' if kind else ""
    if is_centred:
        x, mark = rect.x + rect.width / 2, ' text-anchor="middle"'
    y = rect.y + (17 if not is_centred else rect.height / 2 + 4)
    return (
        f'<text x="{x:.1f}" y="{y:.1f}"{mark}>{hint}<tspan{weight}>{escape(title)}</tspan>'
        f"{soft}</text>\n"
    )


def _hatch(name: str) -> str:
    return (
        f'<pattern id="{name}" class="{name}" width="5" height="5" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path class="hatch" d="M0 0V5"/></pattern>'
    )
