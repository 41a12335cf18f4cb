"""Where bugs are planted: the places of the library through which every change goes.

None of them is in a checker.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from morphir.axes import AxisGroups
from morphir.backend import resizing
from morphir.backend.copying import Duplicate
from morphir.backend.surgery import Surgery
from morphir.blocks import BlockSpec
from morphir.ir import AxisMap, Mapped
from morphir.state import transport

# The attribute `morphir.transform` is the function.
transform_module = importlib.import_module("morphir.transform")
Patch = pytest.MonkeyPatch
Tensors = dict[str, Any]


def on_layers(patch: Patch, change: Callable[[nn.Module], None]) -> None:
    """Does something to every inserted layer that was made an identity."""
    set_identity = BlockSpec._set_identity

    def wrong(self: BlockSpec, layer: Any) -> None:
        set_identity(self, layer)
        with torch.no_grad():
            change(layer)

    patch.setattr(BlockSpec, "_set_identity", wrong)


def on_blocks(patch: Patch, change: Callable[[Any], object]) -> None:
    """Does something to every inserted block."""
    build = BlockSpec.build

    def wrong(self: BlockSpec, *args: Any) -> nn.Module:
        block = build(self, *args)
        with torch.no_grad():
            change(block)
        return block

    patch.setattr(BlockSpec, "build", wrong)


def on_emission(patch: Patch, change: Callable[[nn.Module], None]) -> None:
    """Does something to the model after the edits were applied."""
    apply = Surgery.apply

    def wrong(self: Surgery, edits: Any) -> None:
        apply(self, edits)
        with torch.no_grad():
            change(self._model)

    patch.setattr(Surgery, "apply", wrong)


def on_copy(patch: Patch, change: Callable[[nn.Module, nn.Module], None]) -> None:
    """Does something to the copy, or to the original, after the model was copied."""
    duplicate = transform_module.duplicate

    def wrong(model: nn.Module, optimizers: Any = ()) -> Duplicate:
        copied = duplicate(model, optimizers)
        with torch.no_grad():
            change(model, copied.model)
        return copied

    patch.setattr(transform_module, "duplicate", wrong)


def nudge(tensor: torch.Tensor, rng: random.Random) -> None:
    """Moves one element by one ulp."""
    flat = tensor.view(-1)
    index = rng.randrange(flat.numel())
    flat[index] = torch.nextafter(flat[index], flat.new_tensor(9.0))


def on_plan(patch: Patch, change: Callable[[Tensors], None]) -> None:
    """Does something to the tensors of a plan: what is claimed is what is done, and wrong."""
    resize = AxisGroups.resize

    def wrong(self: AxisGroups, maps: Any, **options: Any) -> Any:
        tensors, attributes = resize(self, maps, **options)
        change(tensors)
        return tensors, attributes

    patch.setattr(AxisGroups, "resize", wrong)


def on_numbers(patch: Patch, name: str, change: Callable[[torch.Tensor], None]) -> None:
    """Does something to the numbers of one tensor of the model that was changed."""

    def wrong(model: nn.Module) -> None:
        change(model.state_dict(keep_vars=True)[name].data)

    on_emission(patch, wrong)


def on_moments(patch: Patch, change: Callable[..., torch.Tensor]) -> None:
    """Computes moments of optimizers in another way."""
    scaled = transport.scaled
    patch.setattr(transport, "scaled", lambda *args: change(scaled, *args))


def on_split(
    patch: Patch, change: Callable[[torch.Tensor, torch.Tensor, int, AxisMap], torch.Tensor]
) -> None:
    """Splits the numbers of axes that are a single atom in another way."""
    split = resizing.split

    def wrong(old: torch.Tensor, changes: Any) -> Any:
        new, lost = split(old, changes)
        for axis, each in enumerate(changes):
            if isinstance(each, Mapped) and each.map is not None and each.polarity == "split":
                new = change(old, new, axis, each.map)
        return new, lost

    patch.setattr(resizing, "split", wrong)
