"""Declarations fill in defaults, and give the layout of a call or say why they cannot."""

from dataclasses import replace

import pytest
import torch

from morphir.ops import DEFAULT_TABLE, Interval, Op
from tests.ops.layouts import zeros


def op(name: str) -> Op:
    found = DEFAULT_TABLE.get(name)
    assert found is not None
    return found


def test_arguments_are_completed_in_canonical_order():
    complete = op("layer_norm").complete({"normalized_shape": (4,), "input": 1})
    assert list(complete.items()) == [
        ("input", 1),
        ("weight", None),
        ("bias", None),
        ("normalized_shape", (4,)),
        ("eps", 1e-05),
    ]


def test_rules_read_defaults_that_a_call_left_out():
    bounds, identity_on = op("leaky_relu").bounds, op("hardtanh").identity_on
    assert bounds is not None
    assert identity_on is not None
    slope = {0.01: Interval(0.01, 0.01), "x": Interval(-1.0, 1.0)}
    assert bounds({"input": "x"}, slope.__getitem__).low == pytest.approx(-0.01)
    assert identity_on({"input": "x"}) == Interval(-1.0, 1.0)


def test_a_layout_is_made_from_shapes_alone():
    """Tensors on the meta device, or anything else that has a shape, will do."""
    x, w = torch.empty(2, 3, device="meta"), torch.empty(4, 3, device="meta")
    layout = op("linear").layout({"input": x, "weight": w}, [torch.empty(2, 4, device="meta")])
    assert str(layout).startswith("[...1:2, i:3], [o:4, i:3] -> [...1:2, o:4]")


def test_shapes_that_do_not_fit_are_refused_with_the_op_and_the_shapes():
    with pytest.raises(ValueError, match=r"op 'linear' on \(\(2, 3\), \(4, 5\)\) -> \(\(2, 4\),\)"):
        op("linear").layout({"input": zeros(2, 3), "weight": zeros(4, 5)}, [zeros(2, 4)])


def test_a_rule_whose_layout_has_other_sizes_is_refused():
    wrong = replace(op("t"), axes=op("relu").axes)
    with pytest.raises(ValueError, match="size 2 cannot be broadcast to d0:3"):
        wrong.layout({"input": zeros(2, 3)}, [zeros(3, 2)])


def test_an_op_runs_from_canonical_arguments():
    assert torch.equal(op("sub").execute({"input": 1, "other": torch.ones(2)}), torch.zeros(2))
