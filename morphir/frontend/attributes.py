"""Whole numbers that modules keep, as integers that remember where they came from.

FRONT-10  what a module of torch's writes down of the shape of a tensor of its own, `in_features`,
          is a size of that tensor; any other number that may be a size is an attribute
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from morphir.frontend.sizes import (
    Computed,
    Expression,
    ReadAttribute,
    ReadState,
    SizeWatch,
    TaggedInt,
)
from morphir.ir import TensorType

# What modules of torch call the sizes of axes that their forward reads. Their other numbers
# (kernels, strides, flags) never change, and would only make the text form harder to read.
_SIZES: Final = {
    "embed_dim",
    "groups",
    "hidden_size",
    "normalized_shape",
    "num_groups",
    "num_heads",
    "unflattened_size",
}
_PARTS: Final = "groups"  # what the second axis of a convolution's weight has one of
# What they write down of a tensor: its name, and which of its axes it is.
_WRITTEN: Final[tuple[tuple[type[nn.Module], Mapping[str, tuple[str, int]]], ...]] = (
    (nn.Linear, {"out_features": ("weight", 0), "in_features": ("weight", 1)}),
    (
        nn.Bilinear,
        {
            "out_features": ("weight", 0),
            "in1_features": ("weight", 1),
            "in2_features": ("weight", 2),
        },
    ),
    (_ConvTransposeNd, {"in_channels": ("weight", 0), "out_channels": ("weight", 1)}),
    (_ConvNd, {"out_channels": ("weight", 0), "in_channels": ("weight", 1)}),
    (_NormBase, {"num_features": ("running_mean", 0)}),
    (_NormBase, {"num_features": ("weight", 0)}),
    (nn.GroupNorm, {"num_channels": ("weight", 0)}),
    (nn.Embedding, {"num_embeddings": ("weight", 0), "embedding_dim": ("weight", 1)}),
    (nn.EmbeddingBag, {"num_embeddings": ("weight", 0), "embedding_dim": ("weight", 1)}),
    (nn.PReLU, {"num_parameters": ("weight", 0)}),
    (nn.RNNBase, {"input_size": ("weight_ih_l0", 1)}),
    (nn.RNNCellBase, {"input_size": ("weight_ih", 1), "hidden_size": ("weight_hh", 1)}),
)
# Where a tensor is computed from one of its shape: pruning, spectral and weight normalisation.
_SPELLINGS: Final = ("{}", "{}_orig", "{}_v", "parametrizations.{}.original")


def tag_numbers(name: str, module: nn.Module, names: Mapping[int, str], watch: SizeWatch) -> None:
    """Tags the whole numbers of a user's module, and of any module those that are sizes (FRONT-10).

    Args:
        name: The qualified name of the module.
        module: The module, whose attributes are replaced.
        names: Identity of each parameter and buffer to its qualified name.
        watch: What takes note of what becomes of the numbers.
    """
    kind = type(module)  # the code of a graph module is the user's
    of_torch = kind.__module__.startswith("torch.") and not issubclass(kind, fx.GraphModule)
    written = _written(name, module, names)
    for key, value in [*vars(module).items()]:
        if key in written:
            module.__dict__[key] = TaggedInt(value, written[key], watch)
        elif of_torch and key not in _SIZES:
            continue
        elif type(value) is int and not (of_torch and value == 1):  # one group cannot become two
            module.__dict__[key] = TaggedInt(value, ReadAttribute(name, key, value), watch)
        elif key in _SIZES and isinstance(value, tuple) and all(type(n) is int for n in value):
            module.__dict__[key] = tuple(
                TaggedInt(number, ReadAttribute(name, f"{key}[{k}]", number), watch)
                for k, number in enumerate(value)
            )


def _written(name: str, module: nn.Module, names: Mapping[int, str]) -> dict[str, Expression]:
    """The attributes that say what a shape says, each with the size that it is."""
    found: dict[str, Expression] = {}
    for kind, attributes in _WRITTEN:
        if not isinstance(module, kind):
            continue
        for key, (tensor, axis) in attributes.items():
            size = _size(module, tensor, axis, names)
            value = vars(module).get(key)
            if size is None or type(value) is not int or key in found:
                continue
            number = size.type.sizes(1)[axis]
            groups = vars(module).get(_PARTS, 1) if isinstance(module, _ConvNd) and axis else 1
            if value != number * groups:  # what was something else means something else
                continue
            parts = ReadAttribute(name, _PARTS, groups)
            found[key] = size if groups == 1 else Computed("*", size, parts)
    return found


def _size(module: nn.Module, tensor: str, axis: int, names: Mapping[int, str]) -> ReadState | None:
    for spelling in _SPELLINGS:
        owner, _, key = spelling.format(tensor).rpartition(".")
        home = _submodule(module, owner)
        held = None if home is None else (home._parameters | home._buffers).get(key)
        if isinstance(held, torch.Tensor) and id(held) in names and axis < held.dim():
            return ReadState(names[id(held)], axis, TensorType.of(held))
    return None


def _submodule(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
