"""Parameter lists are read, and arguments bound to them as torch binds them."""

import pytest

from morphir.ops.parameters import MISSING, bind_arguments, is_default, parse_parameters


def bind(text, *args, **kwargs):
    return bind_arguments(parse_parameters(text), args, kwargs)


def test_a_list_is_read():
    weight, bias, p = parse_parameters("weight, bias=None, p=inf")
    assert (weight.name, weight.default) == ("weight", MISSING)
    assert (bias.name, bias.default) == ("bias", None)
    assert p.default == float("inf")


def test_defaults_with_commas_are_read():
    assert [p.default for p in parse_parameters("a=(1, 2), b='x'")] == [(1, 2), "x"]


def test_arguments_are_bound_by_position_and_by_name():
    assert bind("input, weight, bias=None", 1, weight=2) == {"input": 1, "weight": 2, "bias": None}


@pytest.mark.parametrize("args", [(1, 2, 3), (1, (2, 3)), (1, [2, 3])])
def test_a_variadic_parameter_takes_the_rest_or_one_sequence(args):
    assert bind("input, *shape", *args) == {"input": 1, "shape": (2, 3)}


def test_lists_become_tuples():
    assert bind("tensors, dim=0", [1, [2]]) == {"tensors": (1, (2,)), "dim": 0}


def test_what_is_ignored_is_dropped():
    assert bind("input, -inplace=False", 1, inplace=True) == {"input": 1}


def test_what_is_accepted_by_default_only_is_dropped_or_does_not_fit():
    assert bind("input, !out=None", 1, out=None) == {"input": 1}
    assert bind("input, !out=None", 1, out=2) is None


def test_keyword_only_parameters_take_no_position():
    assert bind("end, *, dtype=None", 3, dtype=4) == {"end": 3, "dtype": 4}
    assert bind("end, *, dtype=None", 3, 4) is None


def test_torch_knows_some_parameters_by_another_name():
    assert bind("input, split_size_or_sections:split_size", 1, split_size_or_sections=2) == {
        "input": 1,
        "split_size": 2,
    }
    assert bind("input, dim=None, keepdim=False", 1, axis=0, keepdims=True) == {
        "input": 1,
        "dim": 0,
        "keepdim": True,
    }


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"out": 2}), ((), {"weight": 1})]
)
def test_a_call_that_does_not_fit_is_none(args, kwargs):
    assert bind("input, weight=0", *args, **kwargs) is None


def test_a_default_has_the_same_type_and_value():
    assert is_default(1, 1)
    assert not is_default(1.0, 1)
    assert not is_default(True, 1)
