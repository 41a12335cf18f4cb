"""One call: its numbers, and how old and new layout correspond."""

import pytest
import torch
from torch import nn

from morphir.checks.calls import common_layout, leaves, number_of, relate_call
from morphir.checks.rejection import Rejection
from morphir.frontend import record
from morphir.ir import AxisMap, Relation
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net

COPIED = Relation.copied(AxisMap.copies(4, (0, 1, 2, 3, 3)))
SPLIT = Relation.split(AxisMap.copies(4, (0, 1, 2, 3, 3)))


def node_of(net: nn.Module, *shape: int):
    program = record(net, example_inputs=(torch.randn(*shape),)).program
    return program.graphs["forward"].nodes[-1]


def test_cert_11_the_relations_of_results_follow_from_those_of_operands():
    old, new = (node_of(nn.Linear(width, 3), 2, width) for width in (4, 5))
    op = DEFAULT_TABLE.get("linear")
    layout, there = common_layout(old, new, op)
    operands = [(None, COPIED), (None, SPLIT), (None,)]
    assert set(relate_call(layout, there, operands).values()) == {None}
    with pytest.raises(Rejection, match="CERT-11"):
        relate_call(layout, there, [(None, COPIED), (None, COPIED), (None,)])


def reshaped(*shape: int):
    return node_of(Net(lambda s, x: x.reshape(shape)), 2, 8)


def test_cert_11_a_factor_of_one_is_told_by_the_other_call():
    op = DEFAULT_TABLE.get("reshape")
    two, one = reshaped(2, 2, 4), node_of(Net(lambda s, x: x.reshape(2, 1, 4)), 2, 4)
    for old, new, heads in ((two, one, (2, 1)), (one, two, (1, 2))):
        layout, there = common_layout(old, new, op)
        sizes = [(atom.size, other.size) for atom, other in there.items()]
        assert sizes == [(2, 2), heads, (4, 4)]
        assert {*layout.roles} == {*there}


@pytest.mark.parametrize("shape", [(2, 8), (2, 4, 1, 2)])
def test_cert_11_calls_of_other_shapes_have_no_common_layout(shape: tuple[int, ...]):
    op = DEFAULT_TABLE.get("reshape")
    with pytest.raises(Rejection, match="CERT-11"):
        common_layout(reshaped(2, 2, 4), reshaped(*shape), op)


def test_leaves_pair_what_stands_in_the_same_place():
    found = [*leaves((1, slice(2, None)), (1, slice(3, None)), ("index",))]
    assert found[0] == (("index", 0), 1, 1)
    assert found[1] == (("index", 1, "start"), 2, 3)
    assert [*leaves((1, 2), (1,), ("size",))] == [(("size",), (1, 2), (1,))]


def test_a_size_is_the_number_that_it_is():
    node = node_of(Net(lambda s, x: x.reshape(x.shape[0], x.shape[1] // 2, 2)), 2, 4)
    assert number_of(node.arguments["shape"][1], node) == 2
    assert number_of(3, node) is None
