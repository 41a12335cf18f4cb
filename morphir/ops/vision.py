"""Resizing images, and moving channels into space and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.base import Instance, Op
from morphir.ops.bounds import Reader, same
from morphir.ops.declare import everywhere, samples
from morphir.ops.interval import ANYTHING, Interval


def _interpolate_rule(instance: Instance) -> str:
    rank = len(instance.shapes[0]) - 2
    space = " ".join(f"S{k}" for k in range(rank))
    new_space = " ".join(f"S{k}'" for k in range(rank))
    return f"b c {space} -> b c {new_space} | lin b c"


def _interpolate_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """Cubic interpolation overshoots."""
    return ANYTHING if a["mode"] == "bicubic" else of(a["input"])


def _grid_rule(instance: Instance) -> str:
    """Positions are shared by all channels."""
    rank = len(instance.shapes[0]) - 2
    image, grid, new = (" ".join(f"{name}{k}" for k in range(rank)) for name in "SPP")
    return f"b c {image}, b {grid} Place -> b c {new} | lin c"


def _patches(name: str, parameters: str, axes: str, *choices: Any) -> Op:
    """Windows of an image as columns, channels outermost: copies of pixels, or sums of them."""
    return Op(
        name=name,
        parameters=parameters,
        run=getattr(F, name),
        spellings=(getattr(F, name),),
        axes=axes,
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(*shape), **more} for shape, more in choices)),
    )


def _movement(name: str, parameters: str, axes: str, choices: Any) -> Op:
    return Op(
        name=name,
        parameters=parameters,
        run=getattr(torch, name),
        spellings=everywhere(name),
        axes=axes,
        bounds=same,
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(*shape), **more} for shape, more in choices)),
    )


OPS = (
    Op(
        name="interpolate",
        parameters=(
            "input, size=None, scale_factor=None, mode='nearest', align_corners=None, "
            "recompute_scale_factor=None, antialias=False"
        ),
        run=F.interpolate,
        spellings=(F.interpolate,),
        axes=_interpolate_rule,
        bounds=_interpolate_bounds,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, 4, 4), "scale_factor": 2},
                {"input": d(2, 3, 4), "size": 6, "mode": "linear"},
                {"input": d(2, 1, 4, 4), "size": (3, 5), "mode": "bilinear", "align_corners": True},
                {"input": d(2, 3, 4, 4), "size": 6, "mode": "bicubic"},
                {"input": d(2, 3, 4, 4), "size": 2, "mode": "area"},
            )
        ),
    ),
    Op(
        name="grid_sample",
        parameters="input, grid, mode='bilinear', padding_mode='zeros', align_corners=None",
        run=F.grid_sample,
        spellings=(F.grid_sample,),
        axes=_grid_rule,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, 4, 4), "grid": d(2, 3, 2, 2), "align_corners": False},
                {"input": d(1, 3, 2, 2, 3), "grid": d(1, 2, 1, 2, 3), "align_corners": True},
            )
        ),
    ),
    _patches(
        "unfold",
        "input, kernel_size, dilation=1, padding=0, stride=1",
        "... c H W -> ... (c K) L' | lin ... c",
        ((2, 3, 4, 4), {"kernel_size": 2}),
        ((3, 4, 5), {"kernel_size": (2, 3), "padding": 1, "stride": 2}),
    ),
    _patches(
        "fold",
        "input, output_size, kernel_size, dilation=1, padding=0, stride=1",
        "... (c K) L -> ... c H' W' | lin ... c",
        ((2, 12, 9), {"output_size": (4, 4), "kernel_size": 2}),
        ((8, 4), {"output_size": (4, 4), "kernel_size": 2, "stride": 2}),
    ),
    _movement(
        "pixel_shuffle",
        "input, upscale_factor",
        "... (c R S) H W -> ... c H' W' | lin ... c; R = upscale_factor; S = upscale_factor",
        (((2, 8, 2, 3), {"upscale_factor": 2}), ((4, 2, 2), {"upscale_factor": 2})),
    ),
    _movement(
        "pixel_unshuffle",
        "input, downscale_factor",
        "... c H W -> ... (c R S) H' W' | lin ... c; R = downscale_factor; S = downscale_factor",
        (((2, 3, 4, 6), {"downscale_factor": 2}), ((1, 2, 2), {"downscale_factor": 2})),
    ),
    _movement(
        "channel_shuffle",
        "input, groups",
        "b (g c) ... -> b (c g) ... | lin b g c ...; g = groups",
        (((2, 6, 3, 3), {"groups": 2}), ((2, 4, 3, 3), {"groups": 4})),
    ),
)
