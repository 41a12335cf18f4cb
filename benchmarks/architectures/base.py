"""What an architecture of the coverage benchmark is, and how its numbers are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import nn

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@final
@dataclass(frozen=True)
class Site:
    """Output features that are widened.

    Attributes:
        at: Qualified name of the layer.
        width: How many output features it gets.
        copies_only: Whether a statistic over them (LayerNorm, RMSNorm) admits only copies of all.
        heads: How many heads that is, where the features are heads.
    """

    at: str
    width: int
    copies_only: bool = False
    heads: int | None = None


@final
@dataclass(frozen=True)
class Architecture:
    """A model and the places where it is changed.

    Attributes:
        name: Family and model.
        build: Makes the model, with random weights.
        inputs: Draws arguments by entry point, from torch's random state.
        inner: A hidden layer, or the inner convolution of a bottleneck.
        trunk: A residual stream, or the channels of a stage.
        insert: The module in the middle of the model after which a layer is inserted.
        readers: The layers whose columns read the units of `inner`.
        dead: The units of `inner` that are made dead.
        columns: Which columns of the readers read these, where they are not the same ones.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Mapping[str, Arguments]]
    inner: Site
    trunk: Site
    insert: str
    readers: tuple[str, ...]
    dead: tuple[int, ...] = (1, 4, 7)
    columns: tuple[int, ...] = ()

    def model(self, seed: int) -> nn.Module:
        """The model in eval mode, with numbers that tell any change of it."""
        torch.manual_seed(seed)
        return randomise(self.build()).eval()


def image_model(
    family: str,
    create: Callable[..., nn.Module],
    model: str,
    size: int = 32,
    options: Mapping[str, Any] | None = None,
    **sites: Any,
) -> Architecture:
    """A model that its library creates by name and options, on images of one size."""
    build = partial(create, model, **(options or {}))
    return Architecture(f"{family}/{model}", build, images(size), **sites)


def images(size: int) -> Callable[[], dict[str, Arguments]]:
    """Two square images."""
    return lambda: {"forward": ((torch.randn(2, 3, size, size),), {})}


@torch.no_grad()
def randomise(model: nn.Module) -> nn.Module:
    """Draws all parameters and statistics again.

    At initialisation some models return constants (a zero head, scales of 1e-6), on which no change
    could be seen.
    """
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.1)
        else:
            parameter.uniform_(0.5, 1.5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model


@torch.no_grad()
def silence(model: nn.Module, architecture: Architecture) -> None:
    """Zeroes everything that goes into and comes out of the dead units of the inner site."""
    layer = model.get_submodule(architecture.inner.at)
    units = torch.tensor(architecture.dead)
    layer.weight.index_fill_(_outputs(layer), units, 0)
    if layer.bias is not None:
        layer.bias.index_fill_(0, units, 0)
    columns = torch.tensor(architecture.columns or architecture.dead)
    for name in architecture.readers:
        reader = model.get_submodule(name)
        reader.weight.index_fill_(1 - _outputs(reader), columns, 0)


def width(layer: nn.Module) -> int:
    """How many output features a layer has, by its weight."""
    return int(layer.weight.shape[_outputs(layer)])


def _outputs(layer: nn.Module) -> int:
    """The axis of a layer's weight that stands for its output features."""
    return 1 if type(layer).__name__ == "Conv1D" else 0  # the one of Hugging Face is transposed
