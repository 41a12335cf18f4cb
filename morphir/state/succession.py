"""New parameters take the place of old ones, which stop to learn.

STATE-20  where a branch is injected, every parameter of the copy that learns joins the group of the
          one whose place it takes, with the state of a fresh optimizer, or is frozen as that is;
          what was there leaves its groups with its state, and has no gradient from then on
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.ir import Injection
from morphir.state.leaving import Leaving
from morphir.state.optimizer import Joining


@final
class Succession:
    """Carries injections out in optimizers and flags; `undo` takes that back."""

    def __init__(self, optimizers: Sequence[Optimizer], model: nn.Module) -> None:
        """Says in which optimizers, and whose parameters."""
        self._joining, self._leaving = Joining(optimizers, model), Leaving(optimizers)
        self._model = model
        self._frozen: list[tuple[nn.Parameter, bool, torch.Tensor | None]] = []

    def carry_out(self, edits: Sequence[Injection]) -> None:
        """Has what learns take the place of what did, once the branches are in the model.

        Args:
            edits: The injections.

        Raises:
            RefusalError: An optimizer can't take a new parameter, or give one away.
        """
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        for edit in edits:
            for name, old in edit.heirs.items():
                self._joining.join({name: parameters[name]}, [(old, parameters[old])])
        gone = {name: parameters[name] for edit in edits for name in edit.freezes}
        self._leaving.leave(gone)
        for parameter in gone.values():
            self._frozen.append((parameter, parameter.requires_grad, parameter.grad))
            parameter.requires_grad_(False)
            parameter.grad = None

    def undo(self) -> None:
        """Takes back what `carry_out` did."""
        while self._frozen:
            parameter, requires_grad, gradient = self._frozen.pop()
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
        self._leaving.undo()
        self._joining.undo()

    @property
    def notes(self) -> list[str]:
        """What was done, a line per group."""
        return [*self._joining.notes, *self._leaving.notes]
