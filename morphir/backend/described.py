"""Sizes that torch's own modules write down and read for nothing but their `repr`.

BACK-12  attributes that describe a module's tensors still do after these changed

Sizes that a forward reads are arguments of ops: whoever plans a change has them follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

_Description = Mapping[str, Any]


def describe(module: nn.Module) -> _Description:
    """What the descriptive attributes of a module should be; nothing where they can't be told."""
    for kind, read in _READ.items():
        if isinstance(module, kind):
            return read(module)
    return {}


def _shape(module: nn.Module, name: str) -> tuple[int, ...]:
    """The shape of a tensor of a module; of what it is computed from, where it is computed.

    Empty where it is not known.
    """
    if is_parametrized(module, name):  # reading it may update what the parametrization keeps
        parametrizations: Any = module.parametrizations
        tensors = parametrizations[name]._parameters | parametrizations[name]._buffers
        parts = [*tensors]
    else:
        tensors = module._parameters | module._buffers
        # torch.nn.utils.prune and the older spectral_norm and weight_norm
        spellings = [[name], [f"{name}_orig"], [f"{name}_g", f"{name}_v"]]
        parts = next((s for s in spellings if all(tensors.get(p) is not None for p in s)), [])
    shapes = {tuple(tensors[part].shape) for part in parts}
    largest = tuple(map(max, zip(*shapes, strict=False)))
    known = all(size in (1, most) for s in shapes for size, most in zip(s, largest, strict=False))
    return largest if known else ()


def _named(module: Any, *names: str) -> _Description:
    """The sizes of the axes of a weight, one after the other."""
    return dict(zip(names, _shape(module, "weight"), strict=False))


def _convolution(module: Any) -> _Description:
    whole, part = ("out_channels", "in_channels")[:: -1 if module.transposed else 1]
    sizes = _named(module, whole, part)
    return {**sizes, part: sizes[part] * module.groups} if part in sizes else {}


def _statistics(module: Any) -> _Description:
    shape = _shape(module, "weight") or _shape(module, "running_mean")
    return {"num_features": shape[0]} if shape else {}


def _attention(module: Any) -> _Description:
    same = ["in_proj_weight"] * 3
    names = (
        same if module._qkv_same_embed_dim else ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    )
    widths = [_shape(module, name)[1:] for name in names]
    if not all(widths):
        return {}
    ((query,), (key,), (value,)) = widths
    head = query // module.num_heads
    return {"embed_dim": query, "kdim": key, "vdim": value, "head_dim": head}


def _recurrent(module: Any) -> _Description:
    into, state = _shape(module, "weight_ih_l0"), _shape(module, "weight_hh_l0")
    if len(into) != 2 or len(state) != 2:
        return {}
    gates = {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
    projected = {"proj_size": state[1]} if module.proj_size else {}
    return {"input_size": into[1], "hidden_size": state[0] // gates, **projected}


def _cell(module: Any) -> _Description:
    into, state = _shape(module, "weight_ih"), _shape(module, "weight_hh")
    both = len(into) == len(state) == 2
    return {"input_size": into[1], "hidden_size": state[1]} if both else {}


_READ: Final[Mapping[type[nn.Module], Callable[[Any], _Description]]] = {
    nn.Linear: lambda module: _named(module, "out_features", "in_features"),
    nn.Bilinear: lambda m: _named(m, "out_features", "in1_features", "in2_features"),
    _ConvNd: _convolution,
    _NormBase: _statistics,
    nn.LayerNorm: lambda m: {"normalized_shape": s} if (s := _shape(m, "weight")) else {},
    nn.RMSNorm: lambda m: {"normalized_shape": s} if (s := _shape(m, "weight")) else {},
    nn.GroupNorm: lambda module: _named(module, "num_channels"),
    nn.Embedding: lambda module: _named(module, "num_embeddings", "embedding_dim"),
    nn.EmbeddingBag: lambda module: _named(module, "num_embeddings", "embedding_dim"),
    nn.PReLU: lambda module: _named(module, "num_parameters"),
    nn.MultiheadAttention: _attention,
    nn.RNNBase: _recurrent,
    nn.RNNCellBase: _cell,
}
