"""Which layer fits a value: Linear or convolution, how wide, in which dtype, resembling what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, final

import torch

from morphir.ir import Graph, Node, Program, TensorType, Value, whole_number
from morphir.ir.types import Dim
from morphir.passes.surroundings import AFFINE, CONVOLUTIONS, upstream

_REACH: Final = 64  # nodes whose parameters a layer follows


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """A layer that can stand behind a value.

    Attributes:
        features: Its width, in and out.
        kernel: Its kernel size per axis; empty for a linear layer.
        groups: Its number of groups.
        bias: Whether it has a bias.
        like: A tensor of its dtype and on its device.
        follows: The parameters that feed the value, those of the layer it resembles first.
    """

    features: int
    kernel: tuple[int, ...]
    groups: int
    bias: bool
    like: torch.Tensor
    follows: tuple[str, ...]


def fit(
    program: Program,
    graph: Graph,
    value: Value,
    kernel_size: int | tuple[int, ...],
    groups: int | None,
) -> Fit | str:
    """Finds the layer for a value, or says why there is none.

    It resembles the last linear layer or convolution that ran before the value, among those that
    feed it and whose results are of its kind: how much lies in between differs between the modes.

    Args:
        program: The program.
        graph: The entry point.
        value: The value that the layer takes.
        kernel_size: Kernel of a convolution, per axis or one for all.
        groups: Groups of a convolution; by default those of the one that feeds the value.
    """
    layers = [node for node in upstream(graph, value) if node.op in AFFINE]
    near = islice(upstream(graph, value), _REACH)
    if not layers:  # attention, an embedding, a norm: their results are rows
        return _row_layer(program, value, _parameters(program, near))
    shapes = {layer: _shape(program, layer, value, kernel_size) for layer in layers}
    affine = next((layer for layer in layers if not isinstance(shapes[layer], str)), layers[0])
    shape = shapes[affine]
    if isinstance(shape, str):
        return shape
    follows = _parameters(program, chain([affine], near))
    features, kernel = shape
    count = _groups(affine, groups) if kernel else 1
    if count < 1 or features % count:
        return f"groups={count} does not divide its {features} channels"
    bias = affine.arguments.get("bias") is not None or affine.op == "addmm"
    return Fit(features, kernel, count, bias, _like(program, follows, value.type), follows)


def _row_layer(program: Program, value: Value, follows: tuple[str, ...]) -> Fit | str:
    sizes = () if value.type is None else value.type.shape
    if len(sizes) not in (2, 3) or not isinstance(sizes[-1], int):
        return f"no linear layer or convolution feeds it, and its output {value.type} is no row"
    return Fit(sizes[-1], (), 1, True, _like(program, follows, value.type), follows)


def _parameters(program: Program, nodes: Iterable[Node]) -> tuple[str, ...]:
    names = (v.name for node in nodes for v in node.operands if v.origin == "state")
    return tuple(n for n in dict.fromkeys(names) if program.state[n].kind == "parameter")


def _like(program: Program, follows: tuple[str, ...], kind: TensorType | None) -> torch.Tensor:
    """An empty tensor of the value's dtype on the parameters' device."""
    entries = [program.state[name] for name in (*follows, *program.state)]
    devices = [entry.tensor.device for entry in entries if entry.tensor is not None]
    dtype = entries[0].type.dtype if kind is None else kind.dtype
    return torch.empty(0, dtype=dtype, device=devices[0] if devices else "cpu")


def _groups(affine: Node, asked: int | None) -> int:
    own = whole_number(affine.arguments.get("groups", 1))
    return asked if asked is not None else own or 1


def _shape(
    program: Program, affine: Node, value: Value, kernel_size: int | tuple[int, ...]
) -> tuple[int, tuple[int, ...]] | str:
    spatial = CONVOLUTIONS.get(affine.op, 0)
    made = _features(program, affine)
    if value.type is None:
        if made is None:
            return "without example inputs its shape is unknown"
        return made, _kernel(kernel_size, spatial) if spatial else ()
    sizes = value.type.shape
    is_row = _is_row(sizes, made, spatial)
    is_image = bool(spatial) and len(sizes) == spatial + 2 and (sizes[1] == made or not is_row)
    if not is_image and not is_row:
        return f"its output {value.type} is neither an image of the layer before it nor a row"
    features = sizes[1 if is_image else -1]
    if not isinstance(features, int):
        return f"its output {value.type} has no feature axis of a fixed size"
    kernel = _kernel(kernel_size, spatial) if is_image else ()
    if is_image and len(kernel) != spatial:
        return f"kernel_size={kernel_size!r} does not fit a {spatial}-dimensional convolution"
    return features, kernel


def _is_row(sizes: Sequence[Dim], made: int | None, spatial: int) -> bool:
    """Whether features come last; of more than a few axes that is known by their number only."""
    if len(sizes) < (3 if spatial else 4):
        return bool(sizes)
    return sizes[-1] == made and (not spatial or len(sizes) <= spatial + 2)


def _kernel(kernel_size: int | tuple[int, ...], spatial: int) -> tuple[int, ...]:
    return kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * spatial


def _features(program: Program, affine: Node) -> int | None:
    """How many features a layer makes, from its weight; None where that is not known."""
    weight = affine.arguments.get("weight", affine.arguments.get("mat2"))
    if not isinstance(weight, Value):
        return None
    kind = program.state[weight.name].type if weight.origin == "state" else weight.type
    is_turned = affine.op == "addmm" or affine.op.startswith("conv_transpose")
    features = None if kind is None else kind.shape[is_turned]
    is_transposed = affine.op.startswith("conv_transpose")
    groups = whole_number(affine.arguments.get("groups", 1)) if is_transposed else 1
    return features * groups if isinstance(features, int) and groups is not None else None
