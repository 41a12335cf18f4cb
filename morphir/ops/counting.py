"""Counting and searching: what comes out has other axes than what goes in, and all are fixed."""

from __future__ import annotations

from typing import Any

import torch

from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import BoundsRule, within
from morphir.ops.broadcast import nothing_moves
from morphir.ops.declare import everywhere, samples

_COUNT = within(0.0, float("inf"))


def _fixed(
    name: str, parameters: str, make: Any, bounds: BoundsRule | None = None, **owners: str
) -> Op:
    return Op(
        name=name,
        parameters=parameters,
        run=getattr(torch, name),
        spellings=everywhere(name, **owners),
        axes=nothing_moves,
        bounds=bounds,
        samples=samples(make),
    )


OPS = (
    _fixed(
        "histc",
        "input, bins=100, min=0, max=0",
        lambda d: ({"input": d(9), "bins": 4, "min": -1, "max": 1}, {"input": d(2, 3)}),
        torch="input, bins=100, min=0, max=0, *, !out=None",
    ),
    _fixed(
        "bincount",
        "input, weights=None, minlength=0",
        lambda d: (
            {"input": d.integers(4, 6)},
            {"input": d.integers(4, 6), "weights": d(6), "minlength": 5},
        ),
    ),
    _fixed(
        "masked_select",
        "input, mask",
        lambda d: ({"input": d(3, 4), "mask": d.flags(3, 4)},),
        torch="input, mask, *, !out=None",
    ),
    Op(
        name="nonzero",
        parameters="input",
        run=torch.nonzero,
        spellings=(
            Spelling(torch.nonzero, "input, *, !out=None, !as_tuple=False"),
            Spelling(torch.Tensor.nonzero, "input, *, !as_tuple=False"),
        ),
        axes=nothing_moves,
        bounds=_COUNT,
        samples=samples(lambda d: ({"input": d.integers(2, 3, 4)},)),
    ),
)
