"""Spellings are written with the arguments of a sample, where they can express it."""

import torch
from torch.nn import functional as F

from morphir.ops import DEFAULT_TABLE, Op, Sample, Spelling
from morphir.ops.check_spellings import write

X = torch.zeros(2, 3)


def op(name: str) -> Op:
    found = DEFAULT_TABLE.get(name)
    assert found is not None
    return found


def test_defaults_are_left_out_and_what_follows_them_goes_by_name():
    sample = Sample({"input": X, "alpha": 2.0, "other": X})
    assert write(op("add"), Spelling(torch.add, "input, other, *, alpha=1"), sample) == (
        [X, X],
        {"alpha": 2.0},
    )
    sample = Sample({"input": X, "weight": None, "bias": X, "normalized_shape": (3,)})
    spelling = Spelling(F.layer_norm, "input, normalized_shape, weight=None, bias=None, eps=1e-05")
    assert write(op("layer_norm"), spelling, sample) == ([X, (3,)], {"bias": X})


def test_a_sample_that_a_spelling_cannot_express_is_left_out():
    clamp_min = Spelling(torch.clamp_min, "input, min")
    assert write(op("clamp"), clamp_min, Sample({"input": X, "min": 0.0})) == ([X, 0.0], {})
    assert write(op("clamp"), clamp_min, Sample({"input": X, "min": 0.0, "max": 1.0})) is None


def test_what_a_spelling_implies_must_be_what_the_sample_has():
    double = Spelling(torch.Tensor.double, "input", (("dtype", torch.float64),))
    assert write(op("to"), double, Sample({"input": X, "dtype": torch.float64})) == ([X], {})
    assert write(op("to"), double, Sample({"input": X, "dtype": torch.float32})) is None


def test_a_number_comes_first_only_where_torch_takes_it():
    sample = Sample({"input": 2.0, "other": X})
    assert write(op("sub"), Spelling(torch.sub, "input, other"), sample) is None
    assert write(op("sub"), Spelling(torch.rsub, "other, input"), sample) == ([X, 2.0], {})
