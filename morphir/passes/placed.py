"""A block that has found its place: what it is made of, and its recording.

What it takes over from its surroundings (layer kind, width, bias, dtype, optimizer group) is that
of the layer that feeds the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import torch
from torch import nn

from morphir.blocks import BlockKind, BlockSpec
from morphir.frontend import record
from morphir.ir import Program, TensorType
from morphir.ir.injection import led_by
from morphir.ops import DEFAULT_TABLE
from morphir.passes.base import Refusal
from morphir.passes.layers import fit
from morphir.passes.surroundings import Activation, Calls

_KERNEL: Final = 3


@final
@dataclass(frozen=True)
class Options:
    """What the caller asks of a block."""

    activation: str | None = None
    kernel_size: int | tuple[int, ...] | None = None
    groups: int | None = None
    hidden: int | None = None


@final
@dataclass(frozen=True, eq=False)
class Placement:
    """Where a block goes.

    Attributes:
        anchor: The module it runs after.
        spec: What it is, its seed aside.
        like: A tensor whose dtype and device its parameters take.
        type: Type of the value it takes, None where types are unknown.
        follows: Parameters that lead its own, those of the layer that it resembles first.
        reason: Why the anchor is not the module that was named.
    """

    anchor: str
    spec: BlockSpec
    like: torch.Tensor
    type: TensorType | None
    follows: tuple[str, ...]
    reason: str = ""


def describe(
    program: Program,
    calls: Calls,
    kind: BlockKind,
    activation: Activation,
    options: Options,
    *,
    first: bool = False,
) -> Placement | Refusal:
    """Finds out what a block after all these calls is made of.

    Args:
        program: The program.
        calls: The calls of one module.
        kind: The kind of block.
        activation: Its activation.
        options: What the caller asks of it.
        first: Whether its activation comes before its layer (DEEPER-2).
    """
    graph, call = calls[0]
    name, value = call.module, call.results[0]
    if any(c.results[0].type != value.type for _, c in calls):
        return Refusal(f"{name!r} returns tensors of different types at its calls", (name,))
    found = fit(program, graph, value, options.kernel_size or _KERNEL, options.groups)
    if isinstance(found, str):
        return Refusal(f"cannot insert a layer at {name!r}: {found}", (name,))
    for option in ("kernel_size", "groups"):
        asked = getattr(options, option)
        if asked is not None and not found.kernel:
            return Refusal(
                f"{option}={asked!r} is for a convolution, and what fits at {name!r} is a linear "
                "layer",
                (name,),
                (f"{option}=None",),
            )
    spec = BlockSpec(
        kind=kind,
        features=found.features,
        kernel=found.kernel,
        bias=found.bias,
        activation=activation.op,
        settings=activation.settings,
        activation_first=first,
        hidden=(options.hidden or found.features) if kind == "residual" else 0,
        groups=found.groups,
    )
    leaders = led_by(program, name, found.follows)
    return Placement(name, spec, found.like, value.type, leaders)


def record_block(spec: BlockSpec, placement: Placement) -> tuple[nn.Module, Program]:
    """Builds a block and records it on a value of the site's type."""
    module = spec.build(placement.like, DEFAULT_TABLE)
    if placement.type is None:
        return module, record(module).program
    sizes = placement.type.sizes(2)
    x = torch.zeros(sizes, dtype=placement.type.dtype, device=placement.like.device)
    return module, record(module, example_inputs=(x,)).program
