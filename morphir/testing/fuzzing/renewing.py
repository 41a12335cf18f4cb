"""Whether the state of an optimizer begins anew where numbers do.

FUZZ-8  where a parameter has another number, or begins or ceases to be in use, the optimizer has
        what a fresh one has; elsewhere that, or what it had; of a parameter that restarts it
        has counted no step
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.ir import Certificate
from morphir.masks import Masks
from morphir.testing.fuzzing.carrying import states
from morphir.testing.fuzzing.optimizers import kind_of, start_of
from morphir.testing.snapshots import bits


def renewal_difference(
    before: tuple[nn.Module, Mapping[str, Mapping[str, Any]]],
    after: tuple[nn.Module, Optimizer],
    certificate: Certificate,
) -> str:
    """Which state is not what it should be of what has other numbers or masks, or "".

    Args:
        before: The old model, and what `states` said of it.
        after: The new model and its optimizer.
        certificate: What says whose numbers are others.
    """
    (old, kept), (model, optimizer) = before, after
    new = states(model, optimizer)
    for name in [each for each in certificate.renumbered if each in kept]:
        if name in certificate.restarted:
            if float(new[name].get("step", 0)):
                return f"step of {name} goes on"
            continue
        if not kept[name]:
            if new[name]:
                return f"{name} has state, and had none"
            continue
        (group,) = (
            each
            for each in optimizer.param_groups
            if any(p is model.get_parameter(name) for p in each["params"])
        )
        same = _unchanged(name, old, model)
        for entry, value in kept[name].items():
            start = start_of(optimizer, group, entry)
            is_moment = kind_of(optimizer, entry) is not None
            if not _fits(value, new[name].get(entry), same, start, is_moment=is_moment):
                return f"{entry} of {name} is neither what it was nor that of a fresh optimizer"
    return ""


def _unchanged(name: str, old: nn.Module, new: nn.Module) -> torch.Tensor:
    """Where a parameter has the number that it had, and is in use or not as it was."""
    found = old.get_parameter(name) == new.get_parameter(name)
    before, after = Masks(old).masks.get(name), Masks(new).masks.get(name)
    if after is not None:
        found &= (torch.ones_like(after) if before is None else before) == after
    return found


def _fits(old: Any, new: Any, same: torch.Tensor, start: float, *, is_moment: bool) -> bool:
    if not isinstance(old, torch.Tensor) or not old.dim():
        return bool(bits(old) == bits(new))  # a count of steps, which goes on
    if not isinstance(new, torch.Tensor) or new.shape != old.shape:
        return False
    # A mean of parameters is where these are, or were.
    return not is_moment or bool((new == torch.where(same & (new == old), old, start)).all())
