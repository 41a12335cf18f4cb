"""What it means for optimizers that parameters get other numbers and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks import Renewed, check_renewed, kept_of
from morphir.ir import Check, Renumbering
from morphir.ir.masks import mask_name
from morphir.state.transport import Transport


@final
class Renumbered:
    """The parameters that edits give other numbers or masks, as they were before."""

    def __init__(
        self, model: nn.Module, optimizers: Sequence[Optimizer], edits: Sequence[Renumbering]
    ) -> None:
        """Notes the numbers, the masks, and what optimizers keep.

        Args:
            model: The model, as it is before the edits.
            optimizers: The optimizers over it.
            edits: What will be done to it.
        """
        self._optimizers = optimizers
        parameters = dict(model.named_parameters())
        self._edits = {name: edit for edit in edits for name in edit.names if name in parameters}
        self._parameters = {name: parameters[name] for name in self._edits}
        self._model = model
        self._numbers = {name: each.detach().clone() for name, each in self._parameters.items()}
        self._masks = {name: self._mask(name).clone() for name in self._edits}
        self._kept = {name: kept_of(each, optimizers) for name, each in self._parameters.items()}

    @property
    def restarted(self) -> tuple[str, ...]:
        """The parameters of which optimizers are to keep nothing."""
        return tuple(name for name, edit in self._edits.items() if edit.restarts)

    def begin_anew(self, transport: Transport) -> None:
        """Lets optimizers keep of new numbers what fresh ones would, once the edits were made.

        Raises:
            RefusalError: What the state of an optimizer means is not known.
        """
        places = {}
        for name, parameter in self._parameters.items():
            places[name] = parameter.detach() != self._numbers[name]
            places[name] |= self._mask(name) != self._masks[name]
            anew = self._edits[name].anew.get(name)
            if anew is not None:
                places[name] |= anew
        transport.forget(places, self.restarted)

    def check(self) -> list[Check]:
        """Checks that they do, where they kept anything (KEPT-11)."""
        found = [
            Renewed(
                name,
                (self._numbers[name], parameter.detach()),
                (self._masks[name], self._mask(name)),
                self._edits[name].anew.get(name),
                self._kept[name],
                kept_of(parameter, self._optimizers),
                self._edits[name].restarts,
            )
            for name, parameter in self._parameters.items()
            if self._kept[name]
        ]
        return [check_renewed(found)] if found else []

    def _mask(self, name: str) -> torch.Tensor:
        """The mask of a parameter, ones where it has none."""
        home, _, key = mask_name(name).rpartition(".")
        held = self._model.get_submodule(home)._buffers.get(key)
        parameter = self._parameters[name]
        if held is None or held.shape != parameter.shape:
            return torch.ones_like(parameter)
        return held
