"""The contract check draws maps that a role accepts, and tries them all."""

import random
from fractions import Fraction

import pytest
import torch

from morphir.ir.axis_map import FRESH
from morphir.ops import DEFAULT_TABLE, Op, Sample
from morphir.ops.axes import Role, make_layout
from morphir.ops.check import check_axes, check_op, draw_map, draw_shares, tied_sizes
from morphir.ops.forms import Atom, Product
from morphir.ops.verdict import ContractError

WAYS = (("copy", "copy"), ("split", "split"))


def draws(maps: str, way, count: int = 200):
    numbers = random.Random(0)
    return [draw_map(3, Role("", maps, WAYS), way, numbers) for _ in range(count)]


@pytest.mark.parametrize("maps", ["any", "onto", "equal", "permutation"])
@pytest.mark.parametrize("way", WAYS)
def test_drawn_maps_are_accepted_and_rarely_the_identity(maps, way):
    found = draws(maps, way)
    role = Role("", maps, WAYS)
    assert all(role.accepts(axis_map, way) for axis_map in found)
    assert sum(axis_map.is_identity for axis_map in found) < 60


def test_copies_lose_units_and_splits_do_not():
    assert any(len({*m.source} - {FRESH}) < 3 for m in draws("any", WAYS[0]))
    assert all({0, 1, 2} <= {*m.source} for m in draws("any", WAYS[1]))


def test_fresh_positions_unequal_and_negative_shares_are_drawn():
    found = draws("any", WAYS[1])
    assert any(FRESH in m.source for m in found)
    assert any(min(m.share) < 0 for m in found)


def test_axis_1_shares_sum_to_one():
    """AXIS-1."""
    shares = draw_shares((0, 1, 0, FRESH, 0), random.Random(1))
    assert shares[0] + shares[2] + shares[4] == 1
    assert shares[1] == 1
    assert shares[3] == Fraction(0)


def test_a_size_may_be_asked_for():
    numbers = random.Random(0)
    assert len(draw_map(3, Role("", "any", WAYS), WAYS[1], numbers, 5).source) == 5


def test_a_product_that_is_tied_changes_by_whole_blocks():
    """AXIS-4 for attention: its width stays heads times the width of a head."""
    width, heads, head = Atom("e", 6), Atom("h", 2), Atom("d", 3)
    tied = (width, Product((heads, head)))
    flows = {width: "map", heads: "map", head: "fixed"}
    layout = make_layout([tied], [tied], flows, ties=[tied])
    drawn = [tied_sizes(layout, [width], random.Random(seed)) for seed in range(9)]
    assert {sizes[width] // sizes[heads] for sizes in drawn} == {3}
    assert {sizes[heads] for sizes in drawn} == {2, 3, 4}
    assert tied_sizes(layout, [head], random.Random(0)) == {}


def test_where_heads_are_copied_equally_so_is_the_width():
    heads, tail = Atom("h", 2), Atom("t", 2)
    layout = make_layout([(heads, tail)], [(tail,)], {heads: "stat"}, ties=[(heads, tail)])
    sizes = {tied_sizes(layout, [tail], random.Random(seed))[tail] for seed in range(9)}
    assert sizes == {2, 4, 6}
    role = layout.roles[heads]
    assert len(draw_map(2, role, role.ways[0], random.Random(0), 6).source) == 6


def test_a_random_op_draws_the_same_for_the_same_call():
    before = torch.get_rng_state()
    bernoulli = DEFAULT_TABLE.get("bernoulli")
    assert bernoulli is not None
    check_op(bernoulli, DEFAULT_TABLE, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_tied_parts_change_together():
    """AXIS-4 for `chunk`: halves of unequal new sizes would be cut elsewhere."""
    chunk = DEFAULT_TABLE.get("chunk")
    assert chunk is not None
    for sample in chunk.samples(random.Random(0)):
        check_axes(chunk, sample, random.Random(1), trials=40)


def test_axis_11_a_layout_that_does_not_hold_for_one_unit_is_caught():
    """AXIS-11: random maps of six units rarely leave one; the check does it on purpose."""

    def run(input: torch.Tensor) -> torch.Tensor:
        return input.sin() if input.shape[1] > 1 else input.cos() * input.amax(0)

    op = Op(
        "wave", "input", run, (run,), "b c -> b c | fixed b",
        samples=lambda _: [Sample({"input": torch.randn(3, 60, dtype=torch.float64)})],
    )  # fmt: skip
    with pytest.raises(ContractError, match="AXIS-4"):
        check_axes(op, next(iter(op.samples(random.Random(0)))), random.Random(0), trials=4)
