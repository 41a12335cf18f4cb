"""Several models that change in lockstep: an online network and its target, twins, replicas.

LOCK-1   models of one structure get the same changes, from the same draws; all of them or none
LOCK-2   models that differ are refused with the first difference, before anything changes
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.errors import RefusalError
from morphir.frontend import check_module
from morphir.lineage import (
    AnyStep,
    InjectionStep,
    Lineage,
    NumbersStep,
    ResizeStep,
    Step,
    lineage_of,
)
from morphir.masks import Masks
from morphir.result import TransformResult

_SHOWN: Final = 8  # units, and tensors


def check_lockstep(models: Sequence[Any], optimizer: Any, *, inplace: bool) -> None:
    """Refuses models that are not of one structure, and optimizers that can't be told apart.

    Raises:
        RefusalError: Two models differ, or their pasts do, or they are one, or share an optimizer
            that would have to be copied twice (LOCK-2).
    """
    if not models:
        raise RefusalError("found an empty list of models", suggestions=["[online, target]"])
    for model in models:
        check_module(model)
    if len({id(model) for model in models}) < len(models):
        raise RefusalError("a model is listed twice", suggestions=["each model once"])
    for number, model in enumerate(models[1:], 1):
        difference = _difference(models[0], model)
        if difference:
            raise RefusalError(f"models 0 and {number} are not of one structure: {difference}")
        _check_same_past(number, lineage_of(models[0]), lineage_of(model))
    for each in [] if inplace else _listed(optimizer):
        owners = [n for n, model in enumerate(models) if _holds(each, model)]
        if len(owners) > 1:
            raise RefusalError(
                f"the {type(each).__name__} holds parameters of models {owners[0]} and "
                f"{owners[1]}, and each copy of a model would get a copy of it",
                suggestions=["inplace=True", "one module that holds both"],
            )


def _difference(first: nn.Module, other: nn.Module) -> str:
    """The first way in which two models differ, in words, or ""."""
    sides = [
        {
            **{name: type(module).__qualname__ for name, module in model.named_modules()},
            **{n: (*p.shape,) for n, p in model.named_parameters(remove_duplicate=False)},
            **{n: (*b.shape,) for n, b in model.named_buffers(remove_duplicate=False)},
        }
        for model in (first, other)
    ]
    for name in [*dict.fromkeys((*sides[0], *sides[1]))]:
        was, now = (side.get(name, "missing") for side in sides)
        if was != now:
            return f"{name or 'the model itself'} is {was} in one and {now} in the other"
    return ""


def _listed(optimizer: Any) -> list[Any]:
    if optimizer is None:
        return []
    return [*optimizer] if isinstance(optimizer, list | tuple) else [optimizer]


def _holds(optimizer: Any, model: nn.Module) -> bool:
    own = {id(p) for p in model.parameters()}
    groups = optimizer.param_groups if isinstance(optimizer, Optimizer) else []
    return any(id(p) in own for group in groups for p in group["params"])


def optimizers_by_model(models: Sequence[nn.Module], optimizer: Any) -> list[Any]:
    """For each model the given optimizers over it: none, one, or a list.

    Raises:
        RefusalError: One is over none of the models.
    """
    given = _listed(optimizer)
    for each in given:
        if not any(_holds(each, model) for model in models):
            kind = type(each).__name__
            raise RefusalError(f"the {kind} holds no parameter of any of the models")
    found = ([each for each in given if _holds(each, model)] for model in models)
    return [own if len(own) > 1 else next(iter(own), None) for own in found]


def check_same_changes(results: Sequence[TransformResult], pasts: Sequence[int]) -> None:
    """Refuses if the models did not get the same changes (LOCK-1).

    Args:
        results: What became of them.
        pasts: How many steps the lineage of each had before.

    Raises:
        RefusalError: A pass decided by the numbers of the models, which are not the same.
    """
    first = _lasting(results[0].lineage)
    for number, result in enumerate(results[1:], 1):
        parting = _parting(first, _lasting(result.lineage))
        if parting is not None:
            raise RefusalError(
                _would(number, *parting),
                suggestions=[
                    "the model that changes alone, which the other follows as it is averaged"
                    if any(isinstance(step, NumbersStep) for step in parting)
                    else "morphir.replay(result.lineage, other) of one that changes, where the "
                    "function of the other need not be kept",
                ],
            )
        if any(isinstance(step, NumbersStep) for step in result.lineage.steps[pasts[number] :]):
            _check_same_masks(number, results[0].module, result.module)


def _check_same_masks(number: int, first: nn.Module, other: nn.Module) -> None:
    own = Masks(other).masks
    for name, mask in Masks(first).masks.items():
        if name in own and not torch.equal(mask, own[name].to(mask)):
            parted = int((mask != own[name].to(mask)).sum())
            raise RefusalError(
                f"models 0 and {number} would have different masks: {parted} of the "
                f"{mask.numel()} numbers of {name!r} would be in use in one of them only",
                suggestions=[
                    "keep='random' or score='random', which draw the same for both",
                    "model 0 alone, and morphir.Masks(online).mask_parameters(target) after it",
                ],
            )


def _check_same_past(number: int, first: Lineage, other: Lineage) -> None:
    """Refuses models that came by their structure in different ways (LOCK-2)."""
    parting = _parting(first.replayed, other.replayed)
    if parting is not None:
        went = [
            f"model {n} went through {step}" if step is not None else f"model {n} did not"
            for n, step in zip((0, number), parting, strict=True)
        ]
        went.sort(key=lambda each: each.endswith("did not"))
        raise RefusalError(f"models 0 and {number} have another past: {', and '.join(went)}")


def _lasting(lineage: Lineage) -> Sequence[AnyStep]:
    """What has to be the same: what a replay carries out, and what was done last."""
    last = lineage.steps[-1:]
    return (*lineage.replayed, *(step for step in last if step not in lineage.replayed))


def _parting(
    first: Sequence[AnyStep], other: Sequence[AnyStep]
) -> tuple[AnyStep | None, AnyStep | None] | None:
    """The first steps that differ, of which one may be missing; None where none do."""
    pairs = zip_longest(first, other)
    return next(((one, two) for one, two in pairs if _said(one) != _said(two)), None)


def _would(number: int, one: AnyStep | None, other: AnyStep | None) -> str:
    if one is None or other is None:
        who, but, step = (number, 0, other) if one is None else (0, number, one)
        return f"model {who} would change and model {but} would not: {step}{_gone(step)}"
    said = f"{one}, and {other}" if str(one) != str(other) else _told(one, other)
    return f"models 0 and {number} would change differently: {said}"


def _gone(step: AnyStep | None) -> str:
    """Of which units a step is, where some go, and in which tensors."""
    if not isinstance(step, ResizeStep):
        return ""
    maps = step.changes["maps"]
    units = [_some(gone) for each in maps if (gone := _replaced(each["size"], each["source"]))]
    if not units:
        return ""
    return f", of units {' and '.join(units)} in {_some([*step.changes['tensors']])}"


def _told(one: AnyStep, other: AnyStep) -> str:
    """What differs in two steps of one size: the units."""
    if isinstance(one, ResizeStep) and isinstance(other, ResizeStep):
        maps = zip(one.changes["maps"], other.changes["maps"], strict=True)
        for units in ((_replaced(m["size"], m["source"]) for m in pair) for pair in maps):
            first, second = units
            if first != second:
                return f"{one}, of units {_some(first)} in one and {_some(second)} in the other"
    return f"{one}, with other numbers"


def _replaced(size: int, source: Sequence[int]) -> list[int]:
    """The units that go, or give way to new ones."""
    return [unit for unit in range(size) if unit not in {*source}]


def _some(each: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, each[:_SHOWN]))
    return f"{shown}, ..." if len(each) > _SHOWN else shown or "none"


def _said(step: AnyStep | None) -> object:
    if step is None:
        return None
    if isinstance(step, ResizeStep):
        return step.at, step.law, dict(step.changes), step.attributes, dict(step.spec)
    if isinstance(step, NumbersStep):
        return step.at, step.law, dict(step.spec), step.parameters
    spec = dict(step.spec) if isinstance(step, Step | InjectionStep) else None
    return step.anchor, step.name, step.law, spec
