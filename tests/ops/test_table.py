"""Torch calls are recognised, whatever their spelling."""

import operator
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from morphir.ir import TensorType, Value
from morphir.ops import DEFAULT_TABLE, OPS, Op, OpTable, Spelling
from morphir.ops.table import in_place_forms

X = Value("input", "x", TensorType(torch.float32, (2, 3)))
Y = Value("input", "y", TensorType(torch.float32, (2, 3)))


def bound(function, *args, **kwargs):
    found = DEFAULT_TABLE.bind(function, args, kwargs)
    return None if found is None else (found[0].name, found[1])


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (torch.Tensor.add, (X, Y), {}, ("add", {"input": X, "other": Y})),
        (torch.Tensor.__rsub__, (X, 1), {}, ("sub", {"input": 1, "other": X})),
        (torch.rsub, (X, 1), {}, ("sub", {"input": 1, "other": X})),
        (operator.add, (1, X), {}, ("add", {"input": 1, "other": X})),
        (torch.Tensor.add_, (X, Y), {"alpha": 2}, ("add", {"input": X, "other": Y, "alpha": 2})),
        (F.relu, (X,), {"inplace": True}, ("relu", {"input": X})),
        (torch.Tensor.relu_, (X,), {}, ("relu", {"input": X})),
        (torch.Tensor.T.__get__, (X,), {}, ("t", {"input": X})),
        (torch.Tensor.double, (X,), {}, ("to", {"input": X, "dtype": torch.float64})),
        (torch.Tensor.to, (X, torch.half), {}, ("to", {"input": X, "dtype": torch.float16})),
        (torch.Tensor.to, (X, Y), {}, ("type_as", {"input": X, "other": Y})),
        (torch.max, (X,), {}, ("amax", {"input": X})),
        (torch.max, (X, 1), {}, ("max_with_indices", {"input": X, "dim": 1})),
        (torch.max, (X, Y), {}, ("maximum", {"input": X, "other": Y})),
        (torch.Tensor.sum, (X, -1), {}, ("sum", {"input": X, "dim": -1})),
        (torch.Tensor.mean, (X,), {"axis": (0, 1)}, ("mean", {"input": X, "dim": (0, 1)})),
        (torch.Tensor.view, (X, 3, 2), {}, ("reshape", {"input": X, "shape": (3, 2)})),
        (torch.Tensor.var, (X, 1, False), {}, ("var", {"input": X, "dim": 1, "correction": 0})),
        (torch.arange, (3,), {}, ("arange", {"end": 3})),
        (torch.arange, (1, 3), {}, ("arange", {"start": 1, "end": 3})),
        (F.max_pool2d, (X, 2), {}, ("max_pool2d", {"input": X, "kernel_size": 2})),
    ],
)
def test_a_call_is_bound_to_canonical_arguments(function, args, kwargs, expected):
    """OPS-2: defaults are left out, operands are in their canonical order."""
    assert bound(function, *args, **kwargs) == expected


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (torch.special.zeta, (X, Y), {}),
        (torch.add, (X, Y), {"out": Y}),
        (torch.Tensor.view, (X, torch.int32), {}),
        (F.max_pool2d, (X, 2), {"return_indices": True}),
        (F.embedding, (X, Y), {"max_norm": 1.0}),
        (torch.where, (X,), {}),
        ([], (), {}),
    ],
)
def test_what_no_spelling_covers_is_undeclared(function, args, kwargs):
    assert bound(function, *args, **kwargs) is None


def test_ops_are_found_by_name():
    assert DEFAULT_TABLE.get("relu") in OPS
    assert DEFAULT_TABLE.get("torch.special.xlogy") is None


def test_what_only_looks_like_an_in_place_form_is_none():
    """`x.bernoulli_()` flips a fair coin, `x.bernoulli()` one with the probabilities in x."""
    assert bound(torch.Tensor.bernoulli, X) == ("bernoulli", {"input": X})
    assert bound(torch.Tensor.bernoulli_, X) == ("bernoulli", {"input": X, "p": 0.5})
    assert bound(torch.Tensor.normal_, X, 1) == ("normal_like", {"input": X, "mean": 1})
    assert bound(torch.normal, X) == ("normal", {"mean": X})


def test_in_place_forms_are_found_by_name():
    assert torch.Tensor.add_ in in_place_forms(torch.Tensor.add)
    assert torch.Tensor.__iand__ in in_place_forms(torch.Tensor.__and__)
    assert in_place_forms(torch.Tensor.T.__get__) == []


def op(name: str) -> Op:
    found = DEFAULT_TABLE.get(name)
    assert found is not None
    return found


def test_a_name_is_declared_once():
    with pytest.raises(ValueError, match=r"declared twice: \['relu'\]"):
        OpTable([op("relu"), op("relu")])


def test_a_callable_means_one_op():
    with pytest.raises(ValueError, match="means both 'relu' and 'tanh'"):
        OpTable([op("relu"), replace(op("tanh"), spellings=(torch.relu,))])


def test_a_callable_may_mean_several_ops_where_it_says_when():
    on_numbers = Spelling(torch.relu, "input", when=lambda a: isinstance(a["input"], int))
    table = OpTable([replace(op("tanh"), spellings=(on_numbers,)), op("relu")])
    for argument, expected in ((1, "tanh"), (X, "relu")):
        found = table.bind(torch.relu, (argument,), {})
        assert found is not None
        assert found[0].name == expected
