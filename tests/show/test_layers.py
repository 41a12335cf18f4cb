"""Rows follow the wires."""

import pytest

from morphir.show.layers import Nesting
from morphir.show.scheme import Box, calls_in
from tests.show.drawings import scheme
from tests.show.nets import EVERY


def rows(name: str, title: str) -> list[list[str]]:
    drawn = scheme(name)
    (box,) = [box for box in calls_in(drawn.root) if box.title == title]
    return [[part.title for part in row] for row in Nesting(drawn).rows(box)]


@pytest.mark.parametrize("name", EVERY)
def test_show_4_every_wire_goes_down(name: str):
    """SHOW-4: from a row to a later one, in the innermost box around both ends"""
    drawn = scheme(name)
    nesting = Nesting(drawn)
    place = {
        part.key: (box.key, number)
        for box in calls_in(drawn.root)
        for number, row in enumerate(nesting.rows(box))
        for part in row
    }
    every = {part.key for box in calls_in(drawn.root) for part in box.parts}
    assert place.keys() == every
    for wire in drawn.wires:
        box, source, target = nesting.ends(wire)
        assert place[source][0] == place[target][0] == box
        assert place[source][1] < place[target][1]


def test_a_residual_block():
    assert rows("ActorCritic", "1") == [["norm"], ["up"], ["relu"], ["down"], ["add"]]


def test_branches_stand_beside_one_another_in_their_order():
    assert rows("Branches", "both") == [["short", "long"]]
    assert rows("ActorCritic", "forward")[-2:] == [["actor", "critic"], ["[0]", "[1]"]]


def test_what_starts_nothing_but_one_op_stands_right_above_it():
    found = rows("Branches", "forward")
    assert "arange" in found[[["mul" in row for row in found].index(True)][0] - 1]


def test_a_path_leads_from_the_outside_to_a_part():
    drawn = scheme("ActorCritic")
    nesting = Nesting(drawn)
    boxes = {box.title: box for box in calls_in(drawn.root)}
    inner = boxes["1"].parts[0]
    assert not isinstance(inner, Box)
    around = [boxes[title].key for title in ("forward", "blocks", "1")]
    assert nesting.path(inner.key) == (*around, inner.key)
