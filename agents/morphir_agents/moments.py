"""What Adam keeps of heads that are not in use.

    CYCLE-4   while a task learns, the heads of all others keep their weights to the bit; and when
              one of them comes back, so do the moments and the counts of steps of its head. But a
              unit that a method starts anew does so for all heads, and has no moments in any

With a gradient of 0 Adam goes on moving a weight by its moments, and these decay. So those of a
head are put away when its task is left, and zeros stay behind, which move nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from morphir_agents.heads import heads_of

__all__ = ["Moments", "bring_back", "put_away", "without_changed"]

Moments = Mapping[str, Tensor]
"""By the name of the parameter and of the entry of its state."""


def put_away(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Moments:
    """Take the state of the heads of the current task out of the optimizers.

    Args:
        model: Its heads have the part of the task that is left.
        optimizers: Over its parameters. Zeros stay behind.
    """
    kept = {}
    for name, entry in _entries(model, optimizers):
        kept[name] = entry.clone()
        entry.zero_()
    return kept


def bring_back(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], kept: Moments
) -> None:
    """Give the heads of the current task the state that was put away; of a new task there is none.

    Args:
        model: Its heads have the part of the task that begins.
        optimizers: Over its parameters, from which the state of the task before was put away.
        kept: What `put_away` returned for this task.
    """
    for name, entry in _entries(model, optimizers):
        if name in kept:
            entry.copy_(kept[name])


def without_changed(model: nn.Module, before: Mapping[str, Tensor], kept: Moments) -> Moments:
    """What was put away, with no moments of numbers that were drawn anew in the meantime.

    Args:
        model: Its heads have the part of a task that is away.
        before: The parameters of its heads before the change, by name.
        kept: What `put_away` returned for this task.
    """
    found = dict(kept)
    for name, layer in heads_of(model):
        for own in layer.own:
            parameter = f"{name}.{own}"
            if parameter not in before:
                continue  # it was injected, and nothing was put away
            changed = layer.part_of(layer.get_parameter(own) != before[parameter])
            for entry, tensor in kept.items():
                if entry.startswith(f"{parameter}.") and tensor.dim():
                    found[entry] = tensor.masked_fill(changed, 0)
    return found


def _entries(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> Iterator[tuple[str, Tensor]]:
    """What optimizers keep of the heads of the current task; views."""
    state = {parameter: held for each in optimizers for parameter, held in each.state.items()}
    for name, layer in heads_of(model):
        for own in layer.own:
            for entry, tensor in state.get(layer.get_parameter(own), {}).items():
                part = layer.part_of(tensor) if tensor.dim() else tensor  # a count of steps
                yield f"{name}.{own}.{entry}", part
