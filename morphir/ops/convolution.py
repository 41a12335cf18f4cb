"""Convolutions and transposed convolutions of any dimension."""

from __future__ import annotations

from typing import Any

import torch

from morphir.ops.base import Op
from morphir.ops.declare import Draw, everywhere, samples

_KERNELS = ("K", "K L", "K L M")
_SPACES = ("H", "H W", "H W D")
_NEW_SPACES = ("H'", "H' W'", "H' W' D'")


def _conv(dims: int) -> Op:
    """`conv1d`, `conv2d`, `conv3d`."""
    name = f"conv{dims}d"
    space, new_space, kernel = (s[dims - 1] for s in (_SPACES, _NEW_SPACES, _KERNELS))

    def draws(d: Draw) -> Any:
        size, small = (5,) * dims, (3,) * dims
        yield {"input": d(2, 3, *size), "weight": d(4, 3, *small), "bias": d(4)}
        yield {
            "input": d(2, 4, *size),
            "weight": d(6, 2, *small),
            "bias": d(6),
            "groups": 2,
            "padding": 1,
        }
        yield {"input": d(2, 3, *size), "weight": d(3, 1, *small), "groups": 3, "stride": 2}
        yield {
            "input": d(2, 3, *size),
            "weight": d(6, 1, *small),
            "bias": d(6),
            "groups": 3,
            "dilation": 2,
        }
        yield {"input": d(2, 1, *size), "weight": d(1, 1, *small), "padding": "same"}
        yield {"input": d(2, *size), "weight": d(3, 2, *small)}

    return Op(
        name=name,
        parameters="input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
        run=getattr(torch, name),
        spellings=everywhere(name),
        axes=(
            f"... (g i) {space}, (g o) i {kernel}, (g o) -> ... (g o) {new_space}"
            " | lin o; g = groups"
        ),
        samples=samples(draws),
    )


def _conv_transpose(dims: int) -> Op:
    """`conv_transpose1d`, `conv_transpose2d`, `conv_transpose3d`."""
    name = f"conv_transpose{dims}d"
    space, new_space, kernel = (s[dims - 1] for s in (_SPACES, _NEW_SPACES, _KERNELS))

    def draws(d: Draw) -> Any:
        size, small = (4,) * dims, (3,) * dims
        yield {"input": d(2, 3, *size), "weight": d(3, 4, *small), "bias": d(4), "stride": 2}
        yield {"input": d(2, 4, *size), "weight": d(4, 3, *small), "groups": 2, "padding": 1}
        yield {"input": d(2, 3, *size), "weight": d(3, 1, *small), "bias": d(3), "groups": 3}
        yield {"input": d(2, *size), "weight": d(2, 3, *small), "stride": 2, "output_padding": 1}

    return Op(
        name=name,
        parameters=(
            "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1"
        ),
        run=getattr(torch, name),
        spellings=everywhere(name),
        axes=(
            f"... (g i) {space}, (g i) o {kernel}, (g o) -> ... (g o) {new_space}"
            " | lin o; g = groups"
        ),
        samples=samples(draws),
    )


OPS = (*map(_conv, (1, 2, 3)), *map(_conv_transpose, (1, 2, 3)))
