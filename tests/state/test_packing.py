"""Plain data goes into JSON and comes back as it was."""

import json
import math
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.errors import RefusalError
from morphir.state.packing import pack, unpack

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_state_7_every_value_comes_back_with_its_types(value):
    """STATE-7"""
    tensors = {}
    again = unpack(json.loads(json.dumps(pack(value, "x", tensors))), tensors.__getitem__)
    assert again == value
    assert repr(again) == repr(value)  # lists from tuples, 1 from 1.0 and True
    assert tensors == {}


def test_tensors_go_aside_under_names_that_say_where_they_were():
    value = {"betas": (0.9, torch.tensor(0.99)), "history": [torch.ones(2), None], "nan": math.nan}
    tensors = {}
    packed = pack(value, "optimizer", tensors)
    assert {*tensors} == {"optimizer/betas/1", "optimizer/history/0"}
    again = unpack(json.loads(json.dumps(packed)), tensors.__getitem__)
    assert again["betas"] == (0.9, torch.tensor(0.99))
    assert torch.equal(again["history"][0], torch.ones(2))
    assert math.isnan(again["nan"])


@pytest.mark.parametrize(
    ("value", "kind"),
    [(len, "builtin_function_or_method"), ({1: 2}, "dict"), ([{2j}], "set"), (3j, "complex")],
)
def test_what_is_no_plain_data_is_refused_by_name(value, kind):
    with pytest.raises(RefusalError, match=rf"^x\S* is a {kind}, which can't be saved without"):
        pack(value, "x", {})


def test_subclasses_of_plain_types_are_no_plain_data():
    class Count(int):
        pass

    with pytest.raises(RefusalError, match="is a Count"):
        pack(Count(3), "x", {})
    assert unpack(pack(OrderedDict(a=1), "x", {}), {}.get) == {"a": 1}


def test_two_tensors_never_share_a_name():
    with pytest.raises(RefusalError, match="two tensors would be stored under the name 'x/a'"):
        pack({"a": torch.ones(1)}, "x", {"x/a": torch.zeros(1)})


@pytest.mark.parametrize("packed", [{"code": "x"}, [1], {"tensor": 3}, {"list": {}}, {"dict": []}])
def test_what_pack_did_not_make_is_not_read(packed):
    with pytest.raises(ValueError, match="not packed data"):
        unpack(packed, {}.__getitem__)
