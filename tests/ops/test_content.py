"""Where more than types decides."""

import pytest
import torch

from morphir.frontend import record
from morphir.ir import Node
from morphir.ops import DEFAULT_TABLE
from morphir.ops.content import may_drop_batch, tells_python
from tests.checks.pairs import Net


def last(function) -> Node:
    program = record(Net(lambda s, x: function(x)), example_inputs=(torch.ones(3, 1, 1),)).program
    return program.graphs["forward"].nodes[-1]


@pytest.mark.parametrize(
    ("function", "tells"),
    [
        (lambda x: x + 1, False),
        (lambda x: x[:, 0], False),
        (lambda x: x[x > 0], True),
        (lambda x: x.masked_select(x > 0), True),
        (lambda x: x.nonzero(), True),
        (lambda x: x * torch.tensor(2.0).to(x), False),
    ],
)
def test_python_knows_sizes_that_depend_on_content(function, tells: bool):
    node = last(function)
    assert tells_python(node, DEFAULT_TABLE.get(node.op)) is tells


def test_python_may_know_anything_behind_an_op_that_is_not_declared():
    assert tells_python(Node("torch.mystery", {}, ()), None)


@pytest.mark.parametrize(
    ("function", "may"),
    [
        (lambda x: x.squeeze(), True),
        (lambda x: x.squeeze(-1), False),
        (lambda x: x.squeeze(0), True),
        (lambda x: x.squeeze((1, 2)), False),
        (lambda x: x.relu(), False),
    ],
)
def test_a_batch_of_one_may_be_squeezed_away(function, may: bool):
    assert may_drop_batch(last(function)) is may
