"""The helpers of declarations find spellings and draw samples."""

import operator
import random

import torch
from torch.nn import functional as F

from morphir.ops.declare import Draw, everywhere, infix, method, samples, two_operands, unary


def test_a_name_is_found_everywhere_once():
    functions = [spelling.function for spelling in everywhere("relu")]
    assert functions == [torch.relu, torch.Tensor.relu, F.relu]
    assert len(everywhere("conv2d")) == 1, "torch.conv2d and F.conv2d are one function"


def test_owners_may_have_their_own_parameters():
    found = {s.function: s.parameters for s in everywhere("relu", functional="input, x=1")}
    assert found == {torch.relu: "", torch.Tensor.relu: "", F.relu: "input, x=1"}


def test_samples_are_a_function_of_the_seed():
    make = samples(lambda draw: [{"input": draw(2, 3)}])
    first, again, other = (next(iter(make(random.Random(seed)))) for seed in (1, 1, 2))
    assert torch.equal(first.arguments["input"], again.arguments["input"])
    assert not torch.equal(first.arguments["input"], other.arguments["input"])


def test_binary_samples_broadcast():
    shapes = [
        (tuple(a["input"].shape), tuple(getattr(a["other"], "shape", ("number",))))
        for a in two_operands(Draw(random.Random(0)))
    ]
    assert ((2, 1, 4), (3, 1)) in shapes
    assert ((3, 4), ("number",)) in shapes


def test_methods_and_operators_take_their_operands_by_name():
    assert method(torch.Tensor.reshape_as)(input=torch.ones(2), other=torch.ones(2, 1)).dim() == 2
    assert infix(operator.sub)(input=3, other=1) == 2


def test_a_unary_op_has_every_spelling():
    op = unary("tanh")
    assert op.run is torch.tanh
    assert len(op.spellings) == 3
