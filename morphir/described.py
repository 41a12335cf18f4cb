"""What torch's own modules write down of the shapes of their tensors.

BACK-12  attributes that describe a module's tensors still do after these changed

Most are the size of an axis, and a table says of which (FRONT-10 reads it as well). The others are
computed from several tensors here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import is_parametrized

_Description = Mapping[str, Any]
_Axis = tuple[str, int]

# Attribute to the tensor and the axis of it that it is the size of. Of a convolution with groups,
# the second axis of the weight has the channels of one group.
_SIZES: Final[Mapping[type[nn.Module], Mapping[str, _Axis]]] = {
    nn.Linear: {"out_features": ("weight", 0), "in_features": ("weight", 1)},
    nn.Bilinear: {
        "out_features": ("weight", 0),
        "in1_features": ("weight", 1),
        "in2_features": ("weight", 2),
    },
    _ConvTransposeNd: {"in_channels": ("weight", 0), "out_channels": ("weight", 1)},
    _ConvNd: {"out_channels": ("weight", 0), "in_channels": ("weight", 1)},
    nn.GroupNorm: {"num_channels": ("weight", 0)},
    nn.Embedding: {"num_embeddings": ("weight", 0), "embedding_dim": ("weight", 1)},
    nn.EmbeddingBag: {"num_embeddings": ("weight", 0), "embedding_dim": ("weight", 1)},
    nn.PReLU: {"num_parameters": ("weight", 0)},
    nn.RNNBase: {"input_size": ("weight_ih_l0", 1)},
    nn.RNNCellBase: {"input_size": ("weight_ih", 1), "hidden_size": ("weight_hh", 1)},
}


def sizes_of(module: nn.Module) -> Mapping[str, _Axis]:
    """Which attributes are sizes, each with the tensor and the axis of it that has this size."""
    if isinstance(module, _NormBase):  # it may have either, both or none
        named = next((n for n in ("running_mean", "weight") if shape_of(module, n)), None)
        return {"num_features": (named, 0)} if named else {}
    return next((sizes for kind, sizes in _SIZES.items() if isinstance(module, kind)), {})


def parts_along(module: nn.Module, axis: int) -> int:
    """How many groups of channels there are, of which an axis of a weight has those of one."""
    return module.groups if isinstance(module, _ConvNd) and axis == 1 else 1


def stored(module: nn.Module, name: str) -> Mapping[str, torch.Tensor]:
    """The tensors that a tensor of a module is computed from: in most cases itself.

    Returns:
        Name to tensor, in the order of the spellings; empty where there is no such tensor.
    """
    if is_parametrized(module, name):  # reading it may update what the parametrization keeps
        parametrizations: Any = module.parametrizations
        held = parametrizations[name]._parameters | parametrizations[name]._buffers
        return {f"parametrizations.{name}.{part}": tensor for part, tensor in held.items()}
    held = module._parameters | module._buffers
    # torch.nn.utils.prune and the older spectral_norm and weight_norm
    for spelling in ([name], [f"{name}_orig"], [f"{name}_g", f"{name}_v"]):
        found = {part: each for part in spelling if (each := held.get(part)) is not None}
        if len(found) == len(spelling):
            return found
    return {}


def shape_of(module: nn.Module, name: str) -> tuple[int, ...]:
    """The shape of a tensor of a module, empty where it is not known."""
    shapes = {tuple(tensor.shape) for tensor in stored(module, name).values()}
    largest = tuple(map(max, zip(*shapes, strict=False)))
    known = all(size in (1, most) for s in shapes for size, most in zip(s, largest, strict=False))
    return largest if known else ()


def describe(module: nn.Module) -> _Description:
    """What the descriptive attributes of a module should be; nothing where they can't be told.

    Sizes that a forward reads are arguments of ops: whoever plans a change has them follow.
    """
    others = (read(module) for kind, read in _COMPUTED.items() if isinstance(module, kind))
    return {**dict(_read_sizes(module)), **next(others, {})}


def _read_sizes(module: nn.Module) -> Iterator[tuple[str, int]]:
    for attribute, (name, axis) in sizes_of(module).items():
        shape = shape_of(module, name)
        if axis < len(shape):
            yield attribute, shape[axis] * parts_along(module, axis)


def _normalised(module: Any) -> _Description:
    shape = shape_of(module, "weight")
    return {"normalized_shape": shape} if shape else {}


def _attention(module: Any) -> _Description:
    same = ["in_proj_weight"] * 3
    names = (
        same if module._qkv_same_embed_dim else ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    )
    widths = [shape_of(module, name)[1:] for name in names]
    if not all(widths):
        return {}
    ((query,), (key,), (value,)) = widths
    head = query // module.num_heads
    return {"embed_dim": query, "kdim": key, "vdim": value, "head_dim": head}


def _recurrent(module: Any) -> _Description:
    state = shape_of(module, "weight_hh_l0")
    if len(state) != 2:
        return {}
    gates = {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
    projected = {"proj_size": state[1]} if module.proj_size else {}
    return {"hidden_size": state[0] // gates, **projected}


def _transformer(module: Any) -> _Description:
    """What it checks its inputs against, and the heads, are those of its layers."""
    layers = (each for each in module.modules() if isinstance(each, nn.MultiheadAttention))
    first = next(layers, None)
    width = None if first is None else _attention(first).get("embed_dim")
    return {} if first is None or width is None else {"d_model": width, "nhead": first.num_heads}


_COMPUTED: Final[Mapping[type[nn.Module], Callable[[Any], _Description]]] = {
    nn.LayerNorm: _normalised,
    nn.RMSNorm: _normalised,
    nn.MultiheadAttention: _attention,
    nn.RNNBase: _recurrent,
    nn.Transformer: _transformer,
}
