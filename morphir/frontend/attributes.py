"""Whole numbers that modules keep, as integers that remember where they came from.

FRONT-10  what a module of torch's writes down of the shape of a tensor of its own, `in_features`,
          is a size of that tensor; any other number that may be a size is an attribute
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import fx, nn

from morphir.described import parts_along, shape_of, sizes_of, stored
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
    for key, (tensor, axis) in sizes_of(module).items():
        size = _size(module, tensor, axis, names)
        value = vars(module).get(key)
        if size is None or type(value) is not int:
            continue
        groups = parts_along(module, axis)
        if value != size.type.sizes(1)[axis] * groups:  # it means something else by now
            continue
        parts = ReadAttribute(name, _PARTS, groups)
        found[key] = size if groups == 1 else Computed("*", size, parts)
    return found


def _size(module: nn.Module, tensor: str, axis: int, names: Mapping[int, str]) -> ReadState | None:
    shape = shape_of(module, tensor)
    for held in stored(module, tensor).values():
        if id(held) in names and tuple(held.shape) == shape and axis < len(shape):
            return ReadState(names[id(held)], axis, TensorType.of(held))
    return None
