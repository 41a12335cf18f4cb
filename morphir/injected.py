"""The branch that an injection adds to a module, and how it is made of the module.

    INJECT-3   h1 is the module, drawn anew as its own `reset_parameters` do it, on the CPU in
               float32 from a seed; h2 is a copy of it

Nothing is known about how the author of a model drew its numbers once it is trained: what torch's
layers do when they are made is in their `reset_parameters`. A parameter that none of these draws
can't be drawn anew, and the module is refused.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.cloning import clone, held
from morphir.errors import RefusalError
from morphir.lineage import Lineage, set_lineage
from morphir.masks import Masks
from morphir.randomness import forked_random_state
from morphir.tensors import tensors_in

# What a copy of a module has no use for: who looks at the module looks at the module.
_HOOKS: Final = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_RESETS: Final = ("reset_parameters", "_reset_parameters")


@final
class InjectedBranch(nn.Module):
    """`y + (fresh(x) - frozen(x))` for a module that returns y for x; y while both are equal.

    The brackets matter: (y + a) - a is not y in floating point, and y + (a - a) is.
    """

    def __init__(self, fresh: nn.Module, frozen: nn.Module) -> None:
        super().__init__()
        self.fresh, self.frozen = fresh, frozen

    def forward(self, y: torch.Tensor, /, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Adds to a tensor what the copies make of the arguments that it was computed from."""
        return y + (_tensor(self.fresh(*args, **kwargs)) - _tensor(self.frozen(*args, **kwargs)))


def _tensor(result: Any) -> torch.Tensor:
    """The one tensor of a result: attention returns its own in a tuple, with a None."""
    if isinstance(result, torch.Tensor):
        return result
    ((_, tensor),) = tensors_in(result)
    return tensor


def build_branch(
    module: nn.Module, seed: int, without: Callable[[nn.Module], None]
) -> InjectedBranch:
    """Builds the branch that is injected beside a module; the module is only looked at.

    Args:
        module: The module.
        seed: Seed of the numbers of both copies.
        without: Takes branches that were injected earlier out of a copy.

    Raises:
        RefusalError: It has a parameter that nobody can draw anew.
    """
    fresh, drawn = (_copied(module, without) for _ in range(2))
    _draw(drawn, seed)
    with torch.no_grad():
        numbers = dict(drawn.named_parameters())
        for name, parameter in fresh.named_parameters():
            parameter.copy_(numbers[name])
    Masks(fresh).mask_parameters()
    frozen = copy.deepcopy(fresh).requires_grad_(False)
    return InjectedBranch(fresh, frozen)


def _copied(module: nn.Module, without: Callable[[nn.Module], None]) -> nn.Module:
    """A copy with neither hooks nor optimizers nor branches nor a past."""
    copied, _ = clone(module, {id(each): None for each in held(module, Optimizer)})
    without(copied)
    for each in copied.modules():
        set_lineage(each, Lineage())
        for name in _HOOKS:
            vars(each)[name].clear()
    return copied


def _draw(module: nn.Module, seed: int) -> None:
    """Draws all parameters anew, those of the parts before those of what they are parts of."""
    module.to_empty(device="cpu")
    for parameter in module.parameters():
        wide = parameter.dtype.to_complex() if parameter.is_complex() else torch.float32
        parameter.data = torch.full_like(parameter, math.nan, dtype=wide)
    with forked_random_state(seed), torch.no_grad():
        for each in reversed([*module.modules()]):
            for name in _RESETS:
                reset = getattr(each, name, None)
                if callable(reset):
                    reset()
                    break
    for name, parameter in module.named_parameters():
        if not bool(parameter.isfinite().all()):
            owner = type(module.get_submodule(name.rpartition(".")[0]))
            is_torchs = owner.__module__.startswith("torch.")
            raise RefusalError(
                f"its parameter {name!r} can't be drawn anew: no reset_parameters() does it",
                nodes=[name],
                suggestions=[
                    "at= a module without it"
                    if is_torchs
                    else f"a method reset_parameters of {owner.__name__} that draws it"
                ],
            )
