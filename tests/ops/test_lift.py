"""Maps of atoms are lifted to tensors and to the numbers among the arguments."""

from fractions import Fraction

import pytest
import torch

from morphir.ir.axis_map import FRESH, AxisMap
from morphir.ops.axes import SizeRule, linear_layout, make_layout
from morphir.ops.forms import Atom, Product, Sum
from morphir.ops.lift import determined, map_tensor, new_arguments, new_size, polarities_of

H, D, A, B = Atom("h", 2), Atom("d", 3), Atom("a", 2), Atom("b", 1)
SWAP = AxisMap.copies(2, (1, 0))
GROWN = AxisMap.copies(3, (0, 1, 2, 2))
HALVES = AxisMap(2, (0, 1, 1), (Fraction(1), Fraction(1, 4), Fraction(3, 4)))


def test_axis_8_a_map_of_a_product_maps_each_factor():
    """AXIS-8: heads swap as blocks, and the last unit of every head is copied."""
    x = torch.arange(6)
    mapped = map_tensor(x, (Product((H, D)),), {H: SWAP, D: GROWN}, [["copy", "copy"]])
    assert mapped.tolist() == [3, 4, 5, 5, 0, 1, 2, 2]


def test_axis_8_a_map_of_a_sum_concatenates():
    """AXIS-8."""
    x = torch.arange(3)
    mapped = map_tensor(x, (Sum((A, B)),), {A: SWAP}, [["copy", "copy"]])
    assert mapped.tolist() == [1, 0, 2]


def test_one_dimension_may_hold_copies_and_splits():
    """Copied heads and a split width: what a fused projection of queries and keys looks like."""
    x = torch.ones(4)
    axes = (Product((H, A)),)
    mapped = map_tensor(x, axes, {H: AxisMap.copies(2, (0, 1, 1)), A: HALVES}, [["copy", "split"]])
    assert mapped.tolist() == [1.0, 0.25, 0.75] * 3


def test_axis_9_a_fresh_split_position_is_determined_and_a_fresh_copied_one_is_not():
    """AXIS-9: where a split atom is fresh the value is 0, whatever the others are."""
    fresh = {A: AxisMap.copies(2, (0, FRESH)), H: AxisMap.copies(2, (0, FRESH))}
    known = determined((2, 2), (A, H), fresh, [["copy"], ["split"]])
    assert known.tolist() == [[True, True], [False, True]]


def test_polarities_are_listed_by_tensor_axis_and_position():
    layout = linear_layout([(Product((H, D)),)], [(H, D)])
    operands, outputs = polarities_of(layout, {D: ("split", "split")})
    assert operands == [[["copy", "split"]]]
    assert outputs == [[["copy"], ["split"]]]


def test_sizes_follow_their_forms():
    assert new_size(Product((H, D)), {D: GROWN}) == 8
    assert new_size(Sum((H, D)), {D: GROWN}) == 6


def test_numbers_among_the_arguments_follow():
    rules = [SizeRule(("shape", 1), D), SizeRule(("index", 0, "start"), D, -1)]
    layout = linear_layout([(D,)], [(D,)], sizes=rules)
    changed = new_arguments({"shape": (7, 3), "index": (slice(-3, None),)}, layout, {D: GROWN})
    assert changed == {"shape": (7, 4), "index": (slice(-4, None),)}


def test_numbers_that_cannot_follow_are_refused():
    rules = [SizeRule(("k",), A), SizeRule(("k",), H)]
    layout = make_layout([(A, H)], [(A, H)], sizes=rules)
    with pytest.raises(ValueError, match="2 and 3"):
        new_arguments({"k": 2}, layout, {H: HALVES})
    with pytest.raises(ValueError, match=r"stay equal get the sizes \[2, 3\]"):
        new_arguments({}, make_layout([(A, H)], [(A, H)], ties=[(A, H)]), {H: HALVES})
