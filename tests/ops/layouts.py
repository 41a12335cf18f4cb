"""Layouts of concrete calls, as text."""

import random
from typing import Any

import torch

from morphir.ops import DEFAULT_TABLE, Layout, Sample
from morphir.ops.check import check_axes
from morphir.tensors import tensors_in


def layout_of(name: str, **arguments: Any) -> Layout:
    """The layout of one call of a declared op."""
    op = DEFAULT_TABLE.get(name)
    assert op is not None, f"{name} is not declared"
    outputs = [tensor for _, tensor in tensors_in(op.execute(arguments))]
    return op.layout(arguments, outputs)


def forms_of(name: str, **arguments: Any) -> str:
    """The forms of one call without its roles: `[d0:2, (f6:2 f3:3)] -> [d0:2, f6:2, f3:3]`."""
    return str(layout_of(name, **arguments)).partition(" | ")[0]


def roles_of(name: str, **arguments: Any) -> dict[str, str]:
    """The role of every atom of one call, by the atom's name."""
    roles = layout_of(name, **arguments).roles
    return {atom.name: role.kind for atom, role in roles.items()}


def rules_of(name: str, **arguments: Any) -> list[str]:
    """What ties the numbers among the arguments to the axes, as text."""
    text = str(layout_of(name, **arguments))
    return [flag for flag in text.partition(" | ")[2].split("; ") if " = " in flag]


def zeros(*shape: int) -> torch.Tensor:
    """A tensor of which only the shape matters."""
    return torch.zeros(shape, dtype=torch.float64)


def check_layout_of(name: str, **arguments: Any) -> None:
    """Checks AXIS-4 on one call."""
    op = DEFAULT_TABLE.get(name)
    assert op is not None, f"{name} is not declared"
    check_axes(op, Sample(arguments), random.Random(0), trials=6)
