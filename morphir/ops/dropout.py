"""Dropout and its relatives: the operand itself in eval mode, random in train mode.

The layout is that of a given mask, whose axes are those of what it drops. Torch draws its mask anew
for each copy of a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import Reader
from morphir.ops.declare import LINEAR, samples
from morphir.ops.interval import ANYTHING, Interval


def _identity_on(a: Mapping[str, Argument]) -> Interval | None:
    return None if a["training"] else ANYTHING


def _scaling_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """In train mode zeros and multiples of at least one."""
    x = of(a["input"])
    return x.sign.hull(Interval(0.0, 0.0)) if a["training"] else x


def _affine_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    return ANYTHING if a["training"] else of(a["input"])


def _dropout(
    functional: str,
    other: str,
    bounds: Any,
    *,
    training: bool,
    keeps_zero: bool,
    shape: tuple[int, ...],
) -> Op:
    """Declares `F.functional` and `torch.other`, which takes `train` in the place of `training`."""
    function = getattr(F, functional)
    return Op(
        name=functional,
        parameters="input, p=0.5, training=False",
        run=lambda input, p=0.5, training=False: function(input, p, training),
        spellings=(
            Spelling(function, f"input, p=0.5, training={training}, -inplace=False"),
            *((Spelling(getattr(torch, other), "input, p, training"),) if other else ()),
        ),
        axes=LINEAR,
        bounds=bounds,
        identity_on=_identity_on,
        keeps_zero=keeps_zero,
        samples=samples(
            lambda d: (
                {"input": d(*shape)},
                {"input": d(*shape), "p": 0.1},
                {"input": d(*shape), "p": 0.0, "training": True},
            )
        ),
    )


OPS = (
    _dropout("dropout", "dropout", _scaling_bounds, training=True, keeps_zero=True, shape=(3, 4)),
    _dropout("dropout1d", "", _scaling_bounds, training=True, keeps_zero=True, shape=(2, 3, 4)),
    _dropout(
        "dropout2d",
        "feature_dropout",
        _scaling_bounds,
        training=True,
        keeps_zero=True,
        shape=(2, 3, 4, 4),
    ),
    _dropout(
        "dropout3d", "", _scaling_bounds, training=True, keeps_zero=True, shape=(2, 3, 4, 4, 4)
    ),
    _dropout(
        "alpha_dropout",
        "alpha_dropout",
        _affine_bounds,
        training=False,
        keeps_zero=False,
        shape=(3, 4),
    ),
    _dropout(
        "feature_alpha_dropout",
        "feature_alpha_dropout",
        _affine_bounds,
        training=False,
        keeps_zero=False,
        shape=(2, 3, 4),
    ),
)
