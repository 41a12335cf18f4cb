"""Coordinates: every part in its rectangle, every wire on its way.

A wire to the next row goes straight there; a longer one goes down a lane at the right edge of the
innermost box around both ends, where no part stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

from morphir.show.layers import Nesting
from morphir.show.scheme import Box, Part, Scheme, Wire

Size = tuple[float, float]
Point = tuple[float, float]

HEADER: Final = 28.0  # the height of a box's title
_PADDING: Final = 14.0
_BETWEEN_ROWS: Final = 24.0
_BETWEEN_PARTS: Final = 18.0
_LANE: Final = 9.0
_TURN: Final = 11.0  # the radius with which a wire turns into its lane
_STRAIGHT: Final = 13.0  # how far above a card every wire to it is upright


@final
@dataclass(frozen=True)
class Rect:
    """Where something is drawn."""

    x: float
    y: float
    width: float
    height: float

    @property
    def top(self) -> Point:
        """Where wires arrive."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        """Where wires leave."""
        return self.x + self.width / 2, self.y + self.height


@final
@dataclass(frozen=True)
class Route:
    """A wire from point to point.

    Attributes:
        wire: The wire.
        start: Where it leaves its source, or turns into its lane.
        end: Where it arrives.
        lane: Where a long one goes down.
        origin: The source of one that turns into its lane inside another box.
    """

    wire: Wire
    start: Point
    end: Point
    lane: float | None = None
    origin: Point | None = None


@final
@dataclass(frozen=True)
class Lane:
    """Where a long wire goes down: which lane of which box.

    Attributes:
        box: The key of the box.
        number: Which of its lanes, from the right.
        enters: Whether the wire comes from above the box, and turns into the lane inside it.
    """

    box: str
    number: int
    enters: bool


@final
@dataclass(frozen=True)
class Layout:
    """Rectangles of what is visible by key, and the wires between them."""

    rects: Mapping[str, Rect]
    routes: tuple[Route, ...]


def lay_out(scheme: Scheme, sizes: Mapping[str, Size], closed: Collection[str]) -> Layout:
    """Places everything.

    Args:
        scheme: What is drawn.
        sizes: The size of every card and of every closed box.
        closed: The boxes that are drawn closed.
    """
    return _Placing(scheme, sizes, closed).layout()


@final
class _Placing:
    def __init__(self, scheme: Scheme, sizes: Mapping[str, Size], closed: Collection[str]) -> None:
        self._nesting = Nesting(scheme)
        self._scheme, self._closed = scheme, closed
        self._sizes = dict(sizes)
        self._rows: dict[str, list[list[Part]]] = {}
        self._rank: dict[str, int] = {}
        self._lanes: dict[str, list[int]] = {}  # by box: the row in which each lane is free again
        self._above: dict[str, list[str]] = {}  # what is wired straight to a part
        self._rects: dict[str, Rect] = {}
        self._wires = self._visible()

    def layout(self) -> Layout:
        self._arrange(self._scheme.root)
        lanes = {wire: self._lane(wire) for wire in self._wires}
        for wire, lane in lanes.items():
            if lane is None:
                _, source, target = self._nesting.ends(wire)
                self._above.setdefault(target, []).append(source)
        self._measure(self._scheme.root)
        self._place(self._scheme.root, 0, 0)
        return Layout(self._rects, tuple(self._route(w, lane) for w, lane in lanes.items()))

    def _visible(self) -> list[Wire]:
        """Wires between what is visible, each once; those inside a closed box are not."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for wire in self._scheme.wires:
            ends = self._shown(wire.source), self._shown(wire.target)
            if ends[0] != ends[1]:
                found.setdefault(ends, {}).update(dict.fromkeys(wire.names))
        return [Wire(source, target, tuple(names)) for (source, target), names in found.items()]

    def _shown(self, key: str) -> str:
        path = self._nesting.path(key)
        return next((each for each in path if each in self._closed), key)

    def _is_open(self, part: Part) -> bool:
        return isinstance(part, Box) and part.key not in self._closed

    def _arrange(self, box: Box) -> None:
        rows = self._rows[box.key] = self._nesting.rows(box)
        for number, row in enumerate(rows):
            for part in row:
                self._rank[part.key] = number
                if isinstance(part, Box) and self._is_open(part):
                    self._arrange(part)

    def _lane(self, wire: Wire) -> Lane | None:
        """The lane of a wire that does not go straight to the next row."""
        box, source, target = self._nesting.ends(wire)
        first, last = self._rank[source], self._rank[target]
        if last == first + 1 and self._is_last(wire.source, source):
            inside = self._nesting.path(wire.target)
            inner = inside[inside.index(target) + 1 :]
            entered = next((key for key in inner if self._rank[key]), None)
            if entered is None:
                return None
            box, first, last = inside[inside.index(entered) - 1], -1, self._rank[entered]
        return Lane(box, self._free_lane(box, first, last), enters=first == -1)

    def _free_lane(self, box: str, first: int, last: int) -> int:
        """The first lane of a box that is free from one row to another."""
        lanes = self._lanes.setdefault(box, [])
        for number, free in enumerate(lanes):
            if free <= first:
                lanes[number] = last
                return number
        lanes.append(last)
        return len(lanes) - 1

    def _is_last(self, key: str, outer: str) -> bool:
        """Whether nothing stands below a part inside of the outer one."""
        path = self._nesting.path(key)
        inside = path[path.index(outer) :]
        return all(self._rank[p] == len(self._rows[box]) - 1 for box, p in pairwise(inside))

    def _measure(self, box: Box) -> Size:
        widths, heights = [], []
        for row in self._rows[box.key]:
            sizes = [
                self._measure(part) if isinstance(part, Box) and self._is_open(part)
                else self._sizes[part.key]
                for part in row
            ]  # fmt: skip
            widths.append(sum(w for w, _ in sizes) + _BETWEEN_PARTS * (len(sizes) - 1))
            heights.append(max(h for _, h in sizes))
        height = HEADER + sum(heights) + _BETWEEN_ROWS * (len(heights) - 1) + _PADDING
        width = max([*widths, self._sizes.get(box.key, (0.0, 0.0))[0]]) + 2 * self._margin(box)
        self._sizes[box.key] = width, height
        return width, height

    def _margin(self, box: Box) -> float:
        return _PADDING + _LANE * len(self._lanes.get(box.key, ()))

    def _place(self, box: Box, x: float, y: float) -> None:
        width, height = self._sizes[box.key]
        self._rects[box.key] = Rect(x, y, width, height)
        top = y + HEADER
        for row in self._rows[box.key]:
            sizes = [self._sizes[part.key] for part in row]
            tall = max(h for _, h in sizes)
            used = sum(w for w, _ in sizes) + _BETWEEN_PARTS * (len(sizes) - 1)
            left = x + (width - used) / 2
            room = (width - used) / 2 - self._margin(box)
            left += min(room, max(-room, self._drift(row, sizes, left)))
            for part, (w, h) in zip(row, sizes, strict=True):
                if isinstance(part, Box) and self._is_open(part):
                    self._place(part, left, top)
                else:
                    self._rects[part.key] = Rect(left, top + (tall - h) / 2, w, h)
                left += w + _BETWEEN_PARTS
            top += tall + _BETWEEN_ROWS

    def _drift(self, row: Sequence[Part], sizes: Sequence[Size], left: float) -> float:
        """How far a row would have to move so that its wires from the row above are straight."""
        found = []
        for part, (width, _) in zip(row, sizes, strict=True):
            above = (self._rects[other].top[0] for other in self._above.get(part.key, ()))
            found += [x - left - width / 2 for x in above]
            left += width + _BETWEEN_PARTS
        return sum(found) / len(found) if found else 0.0

    def _route(self, wire: Wire, lane: Lane | None) -> Route:
        start, end = self._rects[wire.source].bottom, self._rects[wire.target].top
        if lane is None:
            return Route(wire, start, end)
        around = self._rects[lane.box]
        x = around.x + around.width - _PADDING / 2 - _LANE * lane.number
        if not lane.enters:
            return Route(wire, start, end, x)
        first = self._rows[lane.box][0]
        middle = sum(self._rects[part.key].top[0] for part in first) / len(first)
        return Route(wire, (middle, around.y + HEADER - _STRAIGHT), end, x, start)


def path_of(route: Route) -> str:
    """A route as the path data of SVG."""
    (x, y), (to_x, to_y) = route.start, route.end
    if route.lane is None:
        return _path(*_curve(route.start, (to_x, to_y - _STRAIGHT)), "V", to_y)
    lane = route.lane
    r = min(_TURN, abs(lane - x), abs(lane - to_x))
    down, up = y + r, to_y - r - 6
    before = _curve(route.origin or route.start, route.start)
    return _path(
        *(*before, "Q", x, down, x + r, down),
        *("H", lane - r, "Q", lane, down, lane, down + r),
        *("V", up - r, "Q", lane, up, lane - r, up),
        *("H", to_x + r, "Q", to_x, up, to_x, to_y - 6, "V", to_y),
    )


def _curve(start: Point, end: Point) -> tuple[str | float, ...]:
    (x, y), (to_x, to_y) = start, end
    half = (y + to_y) / 2
    return ("M", x, y, "C", x, half, to_x, half, to_x, to_y)


def _path(*parts: str | float) -> str:
    return " ".join(part if isinstance(part, str) else f"{part:.1f}" for part in parts)
