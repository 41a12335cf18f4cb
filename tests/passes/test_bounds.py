"""Bounds of inputs, and what is none."""

import math
from typing import Any

import pytest
import torch

from morphir.errors import RefusalError
from morphir.passes.bounds import bounds_of, is_box


@pytest.mark.parametrize(
    "box", [(-1, 1.5), [0.0, 0.0], {}, {"x": (-math.inf, 2)}, (torch.zeros(()), torch.ones(1))]
)
def test_pairs_of_numbers_in_order(box: Any):
    assert is_box(box)


@pytest.mark.parametrize(
    "box",
    [
        5, "ab", (1, -1), (1, 2, 3), (0, "a"), (math.nan, 1), {"x": 5}, {"x": None}, {"x": (1, 0)},
        (torch.zeros(3), torch.ones(3)), (torch.zeros(()) * 1j, 1),
    ],
)  # fmt: skip
def test_anything_else_is_none(box: Any):
    assert not is_box(box)


def test_bounds_are_for_all_inputs_or_by_name():
    assert bounds_of((torch.zeros(()), 1), ["x", "y"]) == {"x": (0.0, 1.0), "y": (0.0, 1.0)}
    assert bounds_of({"y": [0, 1]}, ["x", "y"]) == {"y": (0.0, 1.0)}
    with pytest.raises(RefusalError, match=r"box= names 'z', and the inputs are \['x', 'y'\]"):
        bounds_of({"z": (0, 1)}, ["y", "x"])
