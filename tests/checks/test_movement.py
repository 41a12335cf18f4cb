"""CERT-12 on single calls: where the parts of a unit go."""

import pytest
import torch

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
    ],
)
def test_cert_12_what_moves_to_another_unit_is_rejected(function, inside, outside):
    """Each claims too much: a flip turns the units around, and the copies with them."""
    old, new = (calls(width, function)[-1] for width in (2, 3))
    with pytest.raises(Rejection, match="CERT-12"):
        check_movement(DEFAULT_TABLE.get(new.op), old, new, [inside], [outside])


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
