"""Copies a model with the optimizers over it, keeping what `copy.deepcopy` loses.

BACK-5   the copy has everything that the original has (parameter hooks, attributes, gradients,
         ties, shared storage, optimizer hooks) and shares no storage with it; what can't be
         copied is named, or refused where the copy would compute with it
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from morphir.backend.closures import check_attributes, old_closures
from morphir.cloning import Memo, clone, clone_value, held
from morphir.errors import RefusalError


@final
@dataclass(frozen=True, eq=False)
class Duplicate:
    """A copy and how it corresponds to the original.

    Attributes:
        model: The copied model.
        optimizers: The copied optimizers, in the order given.
        notes: What is not as it was, by name.
    """

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    notes: tuple[str, ...]


def attached_optimizers(model: nn.Module) -> list[Optimizer]:
    """The optimizers that hang on the model itself, as those of Stable-Baselines3 policies do."""
    return [*dict.fromkeys(held(model, Optimizer))]


def duplicate(model: nn.Module, optimizers: Sequence[Optimizer] = ()) -> Duplicate:
    """Copies a model and optimizers; the copied optimizers are over the copied parameters.

    An optimizer may hold parameters of other models too: those it goes on sharing.

    Raises:
        RefusalError: The model has a way of its own of being copied, and its copy's parameters are
            not those that the optimizers would get; or it keeps a function over its own parts.
    """
    check_attributes(model)
    memo: Memo = {}
    everyone = [*dict.fromkeys([*optimizers, *attached_optimizers(model)])]
    _copy_parameters(model, memo)
    # Empty for now: a model that holds its optimizer refers to it while it is copied.
    memo.update({id(o): object.__new__(type(o)) for o in everyone})
    try:
        copied, notes = clone(model, memo)
    except Exception as error:
        raise RefusalError(
            f"{type(model).__name__} can't be copied: {type(error).__name__}: {error}",
            suggestions=["inplace=True"],
        ) from error
    _check_parameters(model, copied, memo)
    foreign = {id(p): p for o in everyone for p in _parameters_of(o) if id(p) not in memo}
    memo.update(foreign)
    for optimizer in everyone:
        notes += _copy_optimizer(optimizer, model, memo)
    for name, parameter in model.named_parameters():
        notes += _copy_attachments(name, parameter, memo)
    notes += old_closures(model, everyone)
    notes += [
        f"{name or type(model).__name__}: it was compiled and the copy is not: call .compile() "
        "again"
        for name, module in model.named_modules()
        if vars(module).get("_compiled_call_impl") is not None
    ]
    if foreign:
        notes.append(
            f"{len(foreign)} parameters of other models are shared by the old and the new optimizer"
        )
    return Duplicate(copied, tuple(memo[id(o)] for o in optimizers), tuple(notes))


def _parameters_of(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _copy_parameters(model: nn.Module, memo: Memo) -> None:
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
    users = Counter(storage for tensor in tensors if (storage := _storage(tensor)))
    for parameter in model.parameters():
        shared = users[_storage(parameter) or 0] > 1 and type(parameter) is nn.Parameter
        # Parameter's own deepcopy clones, and would part two views of one storage.
        twin = _copy_view(parameter, memo) if shared else copy.deepcopy(parameter)
        memo[id(parameter)] = twin
        if parameter.grad is not None:
            twin.grad = parameter.grad.detach().clone()


def _storage(tensor: torch.Tensor) -> int | None:
    try:
        return tensor.untyped_storage()._cdata if tensor.numel() else None
    except NotImplementedError:  # a sparse tensor has none
        return None


def _copy_view(parameter: nn.Parameter, memo: Memo) -> nn.Parameter:
    storage = copy.deepcopy(parameter.untyped_storage(), memo)
    data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
    data.set_(storage, parameter.storage_offset(), parameter.size(), parameter.stride())
    return nn.Parameter(data, parameter.requires_grad)


def _check_parameters(model: nn.Module, copied: nn.Module, memo: Memo) -> None:
    new = dict(copied.named_parameters())
    for name, parameter in model.named_parameters():
        if new.get(name) is not memo[id(parameter)]:
            owner = model.get_submodule(name.rpartition(".")[0])
            kind = next((m for m in (model, owner) if _copies_itself(m)), model)
            raise RefusalError(
                f"{type(kind).__name__} has a way of its own of being copied, by which {name!r} "
                "gets lost or replaced",
                nodes=[name],
                suggestions=["inplace=True", "a model without a __deepcopy__ of its own"],
            )


def _copies_itself(module: nn.Module) -> bool:
    return hasattr(type(module), "__deepcopy__")


def _copy_optimizer(optimizer: Optimizer, model: nn.Module, memo: Memo) -> list[str]:
    """Fills in the copy of an optimizer: groups, state, hooks."""
    attributes = dict(vars(optimizer))
    # A learning-rate scheduler puts a wrapper here that would step the old optimizer.
    is_watched = attributes.pop("step", None) is not None
    name = type(optimizer).__name__
    copied, notes = clone_value(attributes, name, memo)
    memo[id(optimizer)].__dict__.update(copied)
    own = [s for s in held(model, LRScheduler) if s.optimizer is optimizer]
    if is_watched and not own:
        notes.append(
            f"{name}: a learning-rate scheduler drives the old one: make another over the new one, "
            "or use inplace=True"
        )
    return notes


def _copy_attachments(name: str, parameter: nn.Parameter, memo: Memo) -> list[str]:
    """Attributes and hooks, which `copy.deepcopy` drops; methods of the model become the copy's."""
    twin = memo[id(parameter)]
    attributes, notes = clone_value(dict(vars(parameter)), name, memo)
    twin.__dict__.update(attributes)
    for hook in (parameter._backward_hooks or {}).values():
        twin.register_hook(copy.deepcopy(hook, memo))
    for hook in (parameter._post_accumulate_grad_hooks or {}).values():
        twin.register_post_accumulate_grad_hook(copy.deepcopy(hook, memo))
    return notes
