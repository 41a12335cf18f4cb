"""Nothing overlaps."""

from collections.abc import Iterator

import pytest

from morphir.show.folding import closed_boxes
from morphir.show.layout import HEADER, Layout, Rect, Route, lay_out, path_of
from morphir.show.scheme import Box, Scheme, Wire, calls_in
from tests.show.drawings import scheme
from tests.show.nets import EVERY

DEPTHS = [None, 0, 1]


def laid_out(name: str, depth: int | None) -> tuple[Scheme, Layout, frozenset[str]]:
    drawn = scheme(name)
    closed = closed_boxes(drawn, depth)
    parts = [drawn.root, *(part for box in calls_in(drawn.root) for part in box.parts)]
    sizes = {p.key: (20.0 + 7 * len(p.title), 30.0) for p in parts}
    return drawn, lay_out(drawn, sizes, closed), closed


def open_boxes(drawn: Scheme, closed: frozenset[str]) -> Iterator[Box]:
    level = [drawn.root]
    while level:
        yield from level
        inner = [part for box in level for part in box.parts if isinstance(part, Box)]
        level = [box for box in inner if box.key not in closed]


def inside(inner: Rect, outer: Rect) -> bool:
    return (
        inner.x >= outer.x
        and inner.y >= outer.y + HEADER - 1
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def apart(a: Rect, b: Rect) -> bool:
    beside = a.x + a.width <= b.x or b.x + b.width <= a.x
    return beside or a.y + a.height <= b.y or b.y + b.height <= a.y


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", EVERY)
def test_show_5_parts_lie_inside_their_box_and_beside_one_another(name: str, depth: int | None):
    """SHOW-5: whatever is closed"""
    drawn, found, closed = laid_out(name, depth)
    for box in open_boxes(drawn, closed):
        rects = [found.rects[part.key] for part in box.parts]
        assert all(inside(rect, found.rects[box.key]) for rect in rects)
        pairs = [(a, b) for i, a in enumerate(rects) for b in rects[:i]]
        assert all(apart(a, b) for a, b in pairs)
    visible = {p.key for box in open_boxes(drawn, closed) for p in (box, *box.parts)}
    assert found.rects.keys() == visible


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", EVERY)
def test_show_5_a_lane_runs_where_no_card_stands(name: str, depth: int | None):
    drawn, found, closed = laid_out(name, depth)
    cards = [
        found.rects[part.key]
        for box in open_boxes(drawn, closed)
        for part in box.parts
        if not isinstance(part, Box) or part.key in closed
    ]
    lanes = [route for route in found.routes if route.lane is not None]
    for route in lanes:
        down = Rect(
            route.lane, route.start[1] + 25, 0.1, max(0.1, route.end[1] - route.start[1] - 50)
        )
        assert all(apart(down, card) for card in cards)
    if depth is None and name in ("ActorCritic", "Skips"):
        assert lanes


@pytest.mark.parametrize("name", EVERY)
def test_wires_leave_and_arrive_at_what_is_visible(name: str):
    _, found, _ = laid_out(name, 0)
    for route in found.routes:
        assert route.end == found.rects[route.wire.target].top
        start = route.origin or route.start
        assert start == found.rects[route.wire.source].bottom
        assert start[1] < route.end[1]
    ends = [(route.wire.source, route.wire.target) for route in found.routes]
    assert len(ends) == len({*ends})


def test_a_straight_wire_is_a_curve_and_a_long_one_turns_twice():
    wire = Wire("a", "b", ())
    assert path_of(Route(wire, (10, 0), (30, 50))) == (
        "M 10.0 0.0 C 10.0 18.5 30.0 18.5 30.0 37.0 V 50.0"
    )
    long = path_of(Route(wire, (10, 0), (10, 200), lane=80.0))
    assert long.count("Q") == 4
    assert "H 69.0" in long
