"""Optimizers that nobody mentioned.

    STATE-17  an optimizer with state for a parameter that changes its shape, or whose numbers start
              anew, takes part in the change, or the change is refused

A fused optimizer steps through a parameter and its moments without looking at their sizes: moments
of the old shape beside a parameter of the new one overwrite memory that belongs to something else.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence

import torch
from torch.optim import Optimizer

from morphir.errors import RefusalError


def check_none_forgotten(
    optimizers: Sequence[Optimizer],
    changed: Collection[torch.Tensor],
    name: str,
    *,
    numbers_only: bool = False,
) -> None:
    """Refuses if an optimizer that was not given has state for one of the parameters (STATE-17).

    Args:
        optimizers: Those that were given.
        changed: Parameters that change.
        name: What to say changes.
        numbers_only: Whether they keep their shapes, and get other numbers.

    Raises:
        RefusalError: There is such an optimizer.
    """
    known = {id(optimizer) for optimizer in optimizers}
    if not any(id(each) not in known for each in _alive_over(changed)):
        return
    gc.collect()  # one that nobody holds any more may wait for this in a cycle with its scheduler
    forgotten = [each for each in _alive_over(changed) if id(each) not in known]
    if forgotten:
        found = type(forgotten[0]).__name__
        what, then = (
            ("numbers start anew", "it would go on with what it kept of the old ones")
            if numbers_only
            else ("shape changes", "its next step would fail, or write where it must not")
        )
        raise RefusalError(
            f"{found} holds the state of parameters whose {what}, and was not given: {then}",
            nodes=[name],
            suggestions=[
                "optimizer=[...] with every optimizer over the model",
                f"del the {found}, with its schedulers, if it is used no more",
            ],
        )


def _alive_over(changed: Collection[torch.Tensor]) -> Iterator[Optimizer]:
    kinds = {*_subclasses(Optimizer)}
    # An object refers to its class: one walk over the heap, in C, which takes tens of milliseconds.
    for each in gc.get_referrers(*kinds):
        if type(each) in kinds and any(each.state.get(tensor) for tensor in changed):
            yield each


def _subclasses(kind: type[Optimizer]) -> Iterator[type[Optimizer]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)
