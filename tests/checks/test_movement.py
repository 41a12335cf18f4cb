"""CERT-12 on single calls: where the parts of a unit go."""

import pytest
import torch

from morphir.checks.calls import BATCH
from morphir.checks.movement import check_movement
from morphir.checks.rejection import Rejection
from morphir.checks.uniform import Uniform
from morphir.frontend import record
from morphir.ir import AxisMap, Node, Relation
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net

COPIED = Relation.copied(AxisMap.copies(2, (0, 1, 1)))
CONSTANT = Uniform.constant(2, 3)
WHOLE = Relation.product([COPIED, Relation.identity(4)])


def copied(*source: int) -> Relation:
    return Relation.copied(AxisMap.copies(2, source))


def split(*source: int) -> Relation:
    return Relation.split(AxisMap.copies(2, source))


def calls(width: int, function) -> tuple[Node, ...]:
    """The nodes of a model that only moves data."""
    net = Net(lambda s, x: function(x))
    program = record(net, example_inputs=(torch.randn(2, width, 4),)).program
    return program.graphs["forward"].nodes


def call(width: int, function) -> Node:
    (node,) = calls(width, function)
    return node


def moved(function, inside, outside) -> None:
    old, new = call(2, function), call(3, function)
    check_movement(DEFAULT_TABLE.get(new.op), old, new, [inside], [outside])


def test_cert_12_a_view_keeps_parts_together():
    moved(lambda x: x.flatten(1), (None, COPIED, None), (None, WHOLE))
    moved(lambda x: x.transpose(1, 2), (None, COPIED, None), (None, None, COPIED))


@pytest.mark.parametrize(
    ("function", "inside", "outside"),
    [
        (lambda x: x.transpose(1, 2).flatten(1), (None, None, COPIED), (None, WHOLE)),
        (lambda x: x.flip(1), (None, COPIED, None), (None, COPIED, None)),
        (lambda x: x.roll(1, 1), (None, COPIED, None), (None, COPIED, None)),
        (lambda x: x[..., 1:3], (None, COPIED, None), (None, copied(1, 0, 0), None)),
    ],
)
def test_cert_12_what_moves_to_another_unit_is_rejected(function, inside, outside):
    """Each claims too much: a flip turns the units around, and the copies with them."""
    old, new = (calls(width, function)[-1] for width in (2, 3))
    with pytest.raises(Rejection, match="CERT-12"):
        check_movement(DEFAULT_TABLE.get(new.op), old, new, [inside], [outside])


@pytest.mark.parametrize(
    ("inside", "outside", "problem"),
    [
        (copied(0, 1, -1), copied(0, 1, 1), "free or zero is moved to where it is not"),
        (copied(0, 1, -1), split(0, 1, -1), "free or zero is moved to where it is not"),
        (split(0, 1, -1), copied(0, 1, 1), "free or zero is moved to where it is not"),
        (split(0, 1, 1), copied(0, 1, 1), "different parts are moved to one"),
        (copied(0, 1, 1), copied(1, 1, 1), "different parts are moved to one"),
        (copied(0, 1, 1), copied(1, 0, 0), "a part is moved to another unit"),
        (copied(0, 1, 1), split(0, 1, 1), "a part is moved twice to one unit"),
        (split(0, 1, 1), copied(0, 1, -1), "a part of a unit is left out"),
    ],
)
def test_cert_12_says_what_is_wrong_with_where_parts_go(inside, outside, problem: str):
    """Each relation is claimed where the other one is."""
    for one in (inside, outside):
        moved(lambda x: x.transpose(1, 2), (None, one, None), (None, None, one))
    with pytest.raises(Rejection, match=f"CERT-12: .*{problem}"):
        moved(lambda x: x.transpose(1, 2), (None, inside, None), (None, None, outside))


def test_cert_12_the_first_part_counts_as_the_others_do():
    nets = [Net(lambda s, x: x.unsqueeze(-1)) for _ in range(2)]
    old, new = (
        record(net, example_inputs=(torch.randn(2, width),)).program.graphs["forward"].nodes[0]
        for net, width in zip(nets, (2, 3), strict=True)
    )
    op, inside = DEFAULT_TABLE.get(new.op), [(None, COPIED)]
    check_movement(op, old, new, inside, [(None, COPIED, None)])
    with pytest.raises(Rejection, match="CERT-12: different parts are moved to one"):
        check_movement(op, old, new, inside, [(None, copied(1, 1, 1), None)])


def test_cert_12_what_is_zero_may_be_taken_for_free():
    moved(lambda x: x.mT, (None, split(0, 1, -1), None), (None, None, copied(0, 1, -1)))


def test_cert_12_operands_are_told_apart_and_so_are_results():
    """Of a sum the second term comes second; of two halves each is looked at."""
    old, new = (call(width, lambda x: torch.cat([x, x], 1)) for width in (2, 3))
    op, inside = DEFAULT_TABLE.get("cat"), [(None, COPIED, None)] * 2
    both = Relation.sum([COPIED, COPIED])
    check_movement(op, old, new, inside, [(None, both, None)])
    turned = Relation.copied(AxisMap.copies(4, (2, 3, 3, 0, 1, 1)))
    with pytest.raises(Rejection, match="CERT-12: a part is moved to another unit"):
        check_movement(op, old, new, inside, [(None, turned, None)])
    old, new = (calls(width, lambda x: x.chunk(2, 2))[0] for width in (2, 3))
    op, right, wrong = (
        DEFAULT_TABLE.get(new.op),
        (None, COPIED, None),
        (None, copied(1, 0, 0), None),
    )
    check_movement(op, old, new, [right], [right, right])
    for outputs in ([right, wrong], [wrong, right]):
        with pytest.raises(Rejection, match="CERT-12: a part is moved to another unit"):
            check_movement(op, old, new, [right], outputs)


@pytest.mark.parametrize("comes_first", [True, False])
def test_cert_12_units_may_share_an_axis_with_the_batch(comes_first: bool):
    def merged(x: torch.Tensor) -> torch.Tensor:
        return (x if comes_first else x.transpose(0, 1)).flatten(0, 1)

    old, new = (calls(width, merged)[-1] for width in (2, 3))
    op, batch = DEFAULT_TABLE.get("flatten"), Relation.identity(BATCH)
    inside = (None, COPIED, None) if comes_first else (COPIED, None, None)
    for one in (COPIED, copied(1, 0, 0)):
        factors = [batch, one] if comes_first else [one, batch]
        outside = (Relation.product(factors), None)
        if one is COPIED:
            check_movement(op, old, new, [inside], [outside])
        else:
            with pytest.raises(Rejection, match="CERT-12: a part is moved to another unit"):
                check_movement(op, old, new, [inside], [outside])


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_cert_12_a_tensor_that_says_where_is_not_moved(dtype: torch.dtype):
    """Rows that are looked up by their numbers: the layout says what becomes of them."""
    net = Net(lambda s, x: x[:, s.index], index=torch.tensor([0, 1]))
    program = record(net, example_inputs=(torch.ones(2, 3, 4, dtype=dtype),)).program
    (node,) = program.graphs["forward"].nodes
    turned = Relation.copied(AxisMap.copies(2, (1, 0)))
    relations = [(None, None, None), (None,)]
    check_movement(DEFAULT_TABLE.get("getitem"), node, node, relations, [(None, turned, None)])


def test_cert_12_equal_units_are_moved_as_they_are():
    """Of a constant any unit may be taken for any other, of what repeats an axis only its kind."""
    moved(lambda x: x.transpose(1, 2), (None, CONSTANT, None), (None, None, CONSTANT))
    both = Uniform.product([CONSTANT, Uniform.identity(4)])
    moved(lambda x: x.flatten(1), (None, CONSTANT, None), (None, both))
    wrong = Uniform.product([Uniform.identity(4), CONSTANT])
    with pytest.raises(Rejection, match="CERT-12"):
        moved(lambda x: x.flatten(1), (None, CONSTANT, None), (None, wrong))


def test_cert_12_calls_that_compute_are_not_looked_at():
    old, new = call(2, torch.relu), call(3, torch.relu)
    turned = Relation.copied(AxisMap.copies(2, (1, 0, 0)))
    check_movement(
        DEFAULT_TABLE.get("relu"), old, new, [(None, COPIED, None)], [(None, turned, None)]
    )


def test_cert_12_the_last_unit_may_have_no_part():
    """CERT-12: what is left out of a split is said to be zero, be it the last unit."""
    gone = split(0, 0, 0)
    moved(lambda x: x.transpose(1, 2), (None, gone, None), (None, None, gone))
    with pytest.raises(Rejection, match="CERT-12"):
        moved(lambda x: x.transpose(1, 2), (None, gone, None), (None, None, split(0, 0, 1)))
