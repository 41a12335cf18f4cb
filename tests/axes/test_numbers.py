"""Numbers that were computed from sizes and attributes."""

import pytest
import torch

from morphir.axes.numbers import (
    attributes_in,
    compute,
    numbers_in,
    show_number,
    sizes_in,
    undo,
)
from morphir.ir import Arithmetic, ModuleAttribute, Node, SizeOf, TensorType, Value

X = Value("input", "x", TensorType(torch.float32, (2, 12)))
HEADS, WIDTH = ModuleAttribute("block", "heads", 3), SizeOf(X, 1)
EACH = Arithmetic("//", WIDTH, HEADS)


def test_what_a_number_reads():
    number = Arithmetic("*", 2, EACH)
    assert [*sizes_in(number)] == [WIDTH]
    assert [*attributes_in(number)] == [HEADS]
    assert [*sizes_in(4), *attributes_in(4)] == []


def test_a_number_is_computed_with_other_sizes():
    assert compute(EACH, lambda _: 24, lambda _: 2) == 12
    assert compute(7, lambda _: 24, lambda _: 2) == 7


def test_the_numbers_of_a_node_are_found_with_their_places():
    arguments = {"input": X, "index": (slice(None, HEADS, 1), (EACH, 3)), "dim": WIDTH}
    assert numbers_in(Node("getitem", arguments, ())) == (
        (("index", 0, "stop"), HEADS),
        (("index", 1, 0), EACH),
        (("dim",), WIDTH),
    )


def test_a_number_is_shown_as_code():
    assert show_number(Arithmetic("+", EACH, 1)) == "((size 1 of x // block.heads) + 1)"
    assert show_number(ModuleAttribute("", "dim", 2)) == "dim"


@pytest.mark.parametrize(
    ("op", "left", "right", "wanted", "solve_left", "found"),
    [
        ("+", 0, 3, 10, True, 7),
        ("+", 3, 0, 10, False, 7),
        ("-", 0, 3, 10, True, 13),
        ("-", 3, 0, 10, False, -7),
        ("*", 0, 3, 12, True, 4),
        ("*", 3, 0, 13, False, None),
        ("*", 0, 0, 12, False, None),
        ("//", 0, 3, 4, True, 12),
        ("//", 12, 0, 4, False, 3),
        ("//", 12, 0, 5, False, None),
        ("%", 0, 3, 1, True, None),
    ],
)
def test_a_side_is_solved_where_one_number_fits(op, left, right, wanted, solve_left, found):
    assert undo(op, left, right, wanted, solve_left=solve_left) == found
