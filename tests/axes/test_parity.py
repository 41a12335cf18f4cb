"""Union-find with parity, and its explanations."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir.axes import Reason
from morphir.axes.parity import Edge, Parity

HERE = Reason("here")


def parity_of(*edges: tuple[str, str, bool]) -> Parity[str]:
    parity: Parity[str] = Parity()
    for first, second, opposite in edges:
        assert parity.add(Edge(first, second, opposite, HERE))
    return parity


def test_opposites_of_opposites_are_equal():
    parity = parity_of(("a", "b", True), ("c", "b", True))
    assert parity.relation("a", "c") is False
    assert parity.relation("a", "b") is True


def test_nothing_relates_what_nobody_related():
    assert parity_of(("a", "b", True)).relation("a", "c") is None


@pytest.mark.parametrize(("opposite", "agrees"), [(False, True), (True, False)])
def test_an_edge_agrees_or_not_with_those_before(opposite: bool, agrees: bool):
    parity = parity_of(("a", "b", True), ("b", "c", True))
    assert parity.add(Edge("a", "c", opposite, HERE)) is agrees
    assert parity.relation("a", "c") is False


def test_a_path_leads_from_one_to_the_other():
    parity = parity_of(("a", "b", True), ("c", "b", False), ("b", "x", False))
    assert [(e.first, e.second) for e in parity.path("a", "c")] == [("a", "b"), ("c", "b")]
    assert parity.path("a", "a") == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))), st.randoms())
def test_relations_are_those_of_a_colouring(pairs: list[tuple[int, int]], numbers: random.Random):
    colour = [numbers.random() < 0.5 for _ in range(10)]
    parity: Parity[int] = Parity()
    for first, second in pairs:
        assert parity.add(Edge(first, second, colour[first] != colour[second], HERE))
    for first, second in pairs:
        assert parity.relation(first, second) is (colour[first] != colour[second])
        odd = sum(edge.opposite for edge in parity.path(first, second)) % 2
        assert bool(odd) is (colour[first] != colour[second])
