"""Which layer fits a value: Linear or convolution, how wide, in which dtype, resembling what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from morphir.ir import Graph, Node, Program, TensorType, Value
from morphir.passes.surroundings import AFFINE, CONVOLUTIONS, upstream


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

    Args:
        program: The program.
        graph: The entry point.
        value: The value that the layer takes.
        kernel_size: Kernel of a convolution, per axis or one for all.
        groups: Groups of a convolution; by default those of the one that feeds the value.
    """
    nodes = [*upstream(graph, value)]
    affine = next((node for node in nodes if node.op in AFFINE), None)
    feeding = nodes if affine is None else [affine, *(n for n in nodes if n is not affine)]
    follows = _parameters(program, feeding)
    if affine is None:  # attention, an embedding, a norm: their results are rows
        return _row_layer(program, value, follows)
    shape = _shape(program, affine, value, kernel_size)
    if isinstance(shape, str):
        return shape
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


def _parameters(program: Program, nodes: list[Node]) -> tuple[str, ...]:
    names = (v.name for node in nodes for v in node.operands if v.origin == "state")
    return tuple(n for n in dict.fromkeys(names) if program.state[n].kind == "parameter")


def _like(program: Program, follows: tuple[str, ...], kind: TensorType | None) -> torch.Tensor:
    """An empty tensor of the value's dtype on the parameters' device."""
    entries = [program.state[name] for name in (*follows, *program.state)]
    devices = [entry.tensor.device for entry in entries if entry.tensor is not None]
    dtype = entries[0].type.dtype if kind is None else kind.dtype
    return torch.empty(0, dtype=dtype, device=devices[0] if devices else "cpu")


def _groups(affine: Node, asked: int | None) -> int:
    own = affine.arguments.get("groups", 1)
    return asked if asked is not None else own if isinstance(own, int) else 1


def _shape(
    program: Program, affine: Node, value: Value, kernel_size: int | tuple[int, ...]
) -> tuple[int, tuple[int, ...]] | str:
    spatial = CONVOLUTIONS.get(affine.op, 0)
    if value.type is None:
        rows = _rows(program, affine)
        if rows is None:
            return "without example inputs its shape is unknown"
        return rows, _kernel(kernel_size, spatial) if spatial else ()
    rank = len(value.type.shape)
    is_image = bool(spatial) and rank == spatial + 2
    if spatial and rank > 3 and not is_image:
        return f"its output {value.type} is neither an image of the convolution before it nor a row"
    features = value.type.shape[1 if is_image else -1] if rank else None
    if not isinstance(features, int):
        return f"its output {value.type} has no feature axis of a fixed size"
    kernel = _kernel(kernel_size, spatial) if is_image else ()
    if is_image and len(kernel) != spatial:
        return f"kernel_size={kernel_size!r} does not fit a {spatial}-dimensional convolution"
    return features, kernel


def _kernel(kernel_size: int | tuple[int, ...], spatial: int) -> tuple[int, ...]:
    return kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * spatial


def _rows(program: Program, affine: Node) -> int | None:
    """The width of a layer from its weight; None where that is computed."""
    weight = affine.arguments.get("weight", affine.arguments.get("mat2"))
    if not isinstance(weight, Value) or weight.origin != "state":
        return None
    rows = program.state[weight.name].type.shape[1 if affine.op == "addmm" else 0]
    return rows if isinstance(rows, int) else None
