"""Normalisation, softmax and attention, which torch computes at once, spelled out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from morphir.field.modular import Unsupported
from morphir.field.residues import Kernel, Run

aten = torch.ops.aten


def _affine(tensor: Any, weight: Any, bias: Any, shape: Sequence[int] | None = None) -> Any:
    if weight is not None:
        tensor = tensor * (weight if shape is None else weight.reshape(shape))
    if bias is not None:
        tensor = tensor + (bias if shape is None else bias.reshape(shape))
    return tensor


def _channels(tensor: Any) -> list[int]:
    return [1, -1, *[1] * (tensor.dim() - 2)]


def _normalised(tensor: Any, axes: Sequence[int], eps: float) -> tuple[Any, Any, Any]:
    mean = tensor.mean(axes, keepdim=True)
    centred = tensor - mean
    scale = aten.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    return centred * scale, mean, scale


def layer_norm(
    run: Run, tensor: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> Any:
    """Layer normalisation."""
    found, mean, scale = _normalised(tensor, [*range(-len(shape), 0)], eps)
    return _affine(found, weight, bias), mean, scale


def group_norm(
    run: Run, tensor: Any, weight: Any, bias: Any, rows: int, width: int, size: int, groups: int,
    eps: float,
) -> Any:  # fmt: skip
    """Group normalisation."""
    found, mean, scale = _normalised(tensor.reshape(rows, groups, -1), [-1], eps)
    flat = [each.reshape(rows, groups) for each in (mean, scale)]
    return _affine(found.reshape(tensor.shape), weight, bias, _channels(tensor)), *flat


def batch_norm(
    run: Run, tensor: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool,
    momentum: float, eps: float,
) -> Any:  # fmt: skip
    """Batch normalisation; in training it updates its running statistics."""
    shape = _channels(tensor)
    if training:
        axes = [axis for axis in range(tensor.dim()) if axis != 1]
        old = mean, variance
        mean, variance = tensor.mean(axes), tensor.var(axes, correction=0)
        count = tensor.numel() // tensor.shape[1]
        news = mean, variance * count / max(1, count - 1)
        for buffer, new in zip(old, news, strict=True):
            if buffer is not None:
                buffer.copy_(buffer * (1 - momentum) + new * momentum)
    scale = aten.rsqrt(variance + eps)
    found = (tensor - mean.reshape(shape)) * scale.reshape(shape)
    return _affine(found, weight, bias, shape), mean, scale


def frozen_batch_norm(
    run: Run, tensor: Any, weight: Any, bias: Any, mean: Any, variance: Any, *settings: Any
) -> Any:
    """Batch normalisation by its running statistics."""
    return batch_norm(run, tensor, weight, bias, mean, variance, False, *settings)


def softmax(run: Run, tensor: Any, axis: int, *rest: Any) -> Any:
    """Exponentials, divided by their sum."""
    powers = aten.exp(tensor)
    return powers / powers.sum(axis, keepdim=True)


def log_softmax(run: Run, tensor: Any, axis: int, *rest: Any) -> Any:
    """The logarithm of the softmax."""
    return tensor - log_sum_exp(run, tensor, [axis], True)


def log_sum_exp(run: Run, tensor: Any, axes: Sequence[int], keepdim: bool = False) -> Any:
    """The logarithm of a sum of exponentials."""
    return aten.log(aten.exp(tensor).sum(axes, keepdim=keepdim))


def attention(
    run: Run, query: Any, key: Any, value: Any, dropout: float = 0.0, causal: bool = False, *,
    attn_mask: Any = None, scale: float | None = None, **rest: Any,
) -> Any:  # fmt: skip
    """Scaled dot-product attention; heads of keys and values may serve several queries."""
    if dropout:
        raise Unsupported("dropout")
    shared = query.shape[-3] // key.shape[-3]
    if shared > 1:
        key, value = (each.repeat_interleave(shared, -3) for each in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * factor
    if causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype is not torch.bool:
        scores = scores + attn_mask
        attn_mask = run.lift(attn_mask) != run.number(-math.inf)
    if attn_mask is not None:
        scores = torch.where(attn_mask, scores, -math.inf)
    found = softmax(run, scores, -1) @ value
    return found, log_sum_exp(run, scores, [-1])


def norm(
    run: Run, tensor: Any, order: float = 2, axes: Any = None, keepdim: bool = False, **rest: Any
) -> Any:
    """The length of vectors."""
    along = [*range(tensor.dim())] if axes is None else axes
    if order == 1:
        return tensor.abs().sum(along, keepdim=keepdim)
    if order == math.inf:
        return tensor.abs().amax(along, keepdim=keepdim)
    if order == 2:
        return aten.sqrt((tensor * tensor).sum(along, keepdim=keepdim))
    if order <= 0:
        raise Unsupported(f"a norm of order {order}")
    return aten.pow(aten.pow(tensor.abs(), order).sum(along, keepdim=keepdim), 1 / order)


def distances(run: Run, these: Any, others: Any, order: float = 2, *rest: Any) -> Any:
    """The distance of each vector to each other one."""
    return norm(run, these.unsqueeze(-2) - others.unsqueeze(-3), order, [-1])


def running_log_sum_exp(run: Run, tensor: Any, axis: int) -> Any:
    """The logarithms of the sums of all beginnings of exponentials."""
    return aten.log(aten.exp(tensor).cumsum(axis))


COMPUTED: Final[Mapping[str, Kernel]] = {
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    "native_batch_norm": batch_norm,
    "_native_batch_norm_legit": batch_norm,
    "_native_batch_norm_legit_no_training": frozen_batch_norm,
    "_softmax": softmax,
    "_safe_softmax": softmax,
    "_log_softmax": log_softmax,
    "logsumexp": log_sum_exp,
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "logcumsumexp": running_log_sum_exp,
    "linalg_vector_norm": norm,
    "_cdist_forward": distances,
    "_euclidean_dist": distances,
}
