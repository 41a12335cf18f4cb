"""Whether what surrounds a model was carried over: what its optimizer holds, and its state.

FUZZ-5  after an application the optimizer holds every parameter that learns once; what was left
        alone has its state to the bit, what was resized has that of FUZZ-4, what stopped to learn
        has none; what is saved and loaded is the same, to the bit
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.ir import Certificate, TensorChange
from morphir.lineage import InjectionStep, lineage_of
from morphir.testing.fuzzing.duality import transported
from morphir.testing.fuzzing.evidence import Inputs, outputs
from morphir.testing.fuzzing.optimizers import kind_of, start_of
from morphir.testing.snapshots import bits, difference, numbers

_ROUNDINGS = 8  # of the dtype, between a moment and its share


def holds(model: nn.Module, optimizer: Optimizer) -> str:
    """What is wrong with the parameters that an optimizer holds, or "".

    Args:
        model: The model.
        optimizer: Its optimizer.
    """
    held = [id(each) for group in optimizer.param_groups for each in group["params"]]
    own = {id(each): (name, each) for name, each in model.named_parameters()}
    stopped = _stopped(model)
    for key, (name, parameter) in own.items():
        count = held.count(key)
        # What is inserted behind something that stopped to learn does not learn, and is in none.
        may_be_out = bool(stopped) and not parameter.requires_grad
        allowed = (0,) if name in stopped else (0, 1) if may_be_out else (1,)
        if count not in allowed:
            return f"{name} is {count} times in the optimizer"
    return "" if {*held} <= {*own} else "it holds a parameter that the model has not"


def _stopped(model: nn.Module) -> set[str]:
    """The parameters that injections have frozen, and those that they made so."""
    steps = [step for step in lineage_of(model).steps if isinstance(step, InjectionStep)]
    copies = tuple(f"{step.name}.frozen." for step in steps)
    frozen = {name for step in steps for name in step.freezes}
    return frozen | {n for n, _ in model.named_parameters() if copies and n.startswith(copies)}


def states(model: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """The state of every parameter, by name; the tensors are copies.

    Args:
        model: The model.
        optimizer: Its optimizer.
    """
    return {
        name: {
            entry: value.detach().clone() if isinstance(value, torch.Tensor) else value
            for entry, value in optimizer.state.get(parameter, {}).items()
        }
        for name, parameter in model.named_parameters()
    }


def state_difference(
    old: Mapping[str, Mapping[str, Any]],
    model: nn.Module,
    optimizer: Optimizer,
    certificate: Certificate,
) -> str:
    """Which moment is not what it should be, or "".

    Args:
        old: What `states` said before.
        model: The new model.
        optimizer: Its optimizer.
        certificate: What says how axes changed.
    """
    new = states(model, optimizer)
    groups = {
        name: next(g for g in optimizer.param_groups if any(p is each for each in g["params"]))
        for name, p in model.named_parameters()
        if any(p is each for group in optimizer.param_groups for each in group["params"])
    }
    frozen = {name for claim in certificate.insertions for name in claim.freezes}
    for name, entries in old.items():
        if name in frozen and name in new and new[name]:
            return f"{name} has stopped to learn, and the optimizer has state for it"
        if name not in new or name in frozen or certificate.is_inverse:
            continue  # removed, or merged, whose moments are not told by their shares
        if name in certificate.renumbered:
            continue  # FUZZ-8
        change = certificate.tensors.get(name)
        for entry, value in entries.items():
            if entry not in new[name]:
                return f"{entry} of {name} is gone"
            expected, start, kind = value, 0.0, kind_of(optimizer, entry)
            if change is not None and isinstance(value, torch.Tensor) and value.dim():
                if kind is None:  # a value: it is split as the parameter is
                    continue
                start = start_of(optimizer, groups[name], entry)
                expected = transported(value, change, kind, start)
            wrong = _wrong(expected, new[name][entry], change, start)
            if wrong:
                return f"{entry} of {name} {wrong}"
    return ""


def stored_difference(
    before: tuple[nn.Module, Optimizer], loaded: tuple[nn.Module, Optimizer], given: Inputs
) -> str:
    """What differs of a model and its optimizer that were saved and loaded, or "".

    Args:
        before: Model and optimizer that were saved.
        loaded: Those that were loaded.
        given: Inputs for them.
    """
    views = [
        {
            **numbers(model),
            **{
                f"{entry} of {name}": bits(value)
                for name, entries in states(model, optimizer).items()
                for entry, value in entries.items()
            },
            **{
                f"what {name} returns": bits(value)
                for name, value in outputs(copy.deepcopy(model), given).items()
            },
        }
        for model, optimizer in (before, loaded)
    ]
    return difference(*views)


def _wrong(expected: Any, found: Any, change: TensorChange | None, start: float) -> str:
    if change is None or not isinstance(found, torch.Tensor):
        return "" if bits(expected) == bits(found) else "is not what it was"
    if expected.shape != found.shape:
        return f"has the shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    sizes = expected.double().abs() + 4 * start  # what it is counted from is rounded too
    kind = torch.finfo(found.dtype)
    gaps = (expected.double() - found.double()).abs()
    is_off = ~(gaps <= _ROUNDINGS * kind.eps * sizes + kind.tiny)
    if not is_off.any():
        return ""
    worst = int(gaps.argmax())
    return f"is off by {gaps.flatten()[worst]:.2g}, of {sizes.flatten()[worst]:.2g}"
