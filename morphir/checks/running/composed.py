"""Ops spelled out: what they compute, by others.

Torch spells some of them out too, in a part that takes a second to import.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

from morphir.checks.running.operands import Unknown


def _variance(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return _variance_and_mean(x, *args, **kwargs)[0]


def _deviation(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return _variance_and_mean(x, *args, **kwargs)[0].sqrt()


def _variance_and_mean(
    x: torch.Tensor,
    dim: Sequence[int] | bool | None = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """From the differences to the mean; a first argument that is a flag is `unbiased`."""
    if isinstance(dim, bool):
        return _variance_and_mean(x, None, dim)
    axes = [*dim] if dim else [*range(x.dim())]
    count = math.prod(x.shape[axis] for axis in axes)
    mean = x.mean(axes, keepdim=True)
    squares = (x - mean) * (x - mean)
    lost = float(unbiased) if correction is None else correction
    variance = squares.sum(axes, keepdim=keepdim) / max(count - lost, 0)
    return variance, mean if keepdim else x.mean(axes)


def _norm(
    x: torch.Tensor,
    order: float = 2,
    axes: Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    if order not in (1, 2) or dtype is not None:
        raise Unknown
    axes = [*axes] if axes else [*range(x.dim())]
    sizes = x.abs() if order == 1 else x * x
    found = sizes.sum(axes, keepdim=keepdim)
    return found if order == 1 else found.sqrt()


def _layer_norm(
    x: torch.Tensor,
    shape: Sequence[int],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    axes = [*range(x.dim() - len(shape), x.dim())]
    normal, mean, scale = _normalized(x, axes, eps)
    return _affine(normal, weight, bias), mean, scale


def _group_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    batch: int,
    channels: int,
    _positions: int,
    groups: int,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    normal, mean, scale = _normalized(x.reshape(batch, groups, -1), [2], eps)
    shape = (1, channels, *[1] * (x.dim() - 2))
    per_channel = (None if each is None else each.reshape(shape) for each in (weight, bias))
    found = _affine(normal.reshape(x.shape), *per_channel)
    return found, mean.squeeze(2), scale.squeeze(2)


def _batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    mean: torch.Tensor | None,
    variance: torch.Tensor | None,
    training: bool,
    _momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = (1, -1, *[1] * (x.dim() - 2))
    if mean is None or variance is None:
        normal, *_ = _normalized(x, [0, *range(2, x.dim())], eps)
    elif training:
        raise Unknown
    else:
        normal = (x - mean.reshape(shape)) * (variance.reshape(shape) + eps).rsqrt()
    per_channel = (None if each is None else each.reshape(shape) for each in (weight, bias))
    return _affine(normal, *per_channel), x.new_zeros(0), x.new_zeros(0)


def _normalized(
    x: torch.Tensor, axes: Sequence[int], eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    variance, mean = _variance_and_mean(x, axes, keepdim=True, correction=0)
    scale = (variance + eps).rsqrt()
    return (x - mean) * scale, mean, scale


def _affine(
    x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def _softmax(x: torch.Tensor, axis: int, _half: bool) -> torch.Tensor:
    shares = (x - x.amax(axis, keepdim=True)).exp()
    return shares / shares.sum(axis, keepdim=True)


def _log_softmax(x: torch.Tensor, axis: int, _half: bool) -> torch.Tensor:
    shifted = x - x.amax(axis, keepdim=True)
    return shifted - shifted.exp().sum(axis, keepdim=True).log()


COMPOSED: Final[Mapping[str, Callable[..., Any]]] = {
    "var": _variance,
    "var_mean": _variance_and_mean,
    "std": _deviation,
    "linalg_vector_norm": _norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm,
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
}
