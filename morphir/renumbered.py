"""What it means that parameters and buffers get other numbers and masks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks import Given, Renewed, check_given, check_renewed, kept_of
from morphir.ir import Check, Renumbering
from morphir.ir.masks import mask_name
from morphir.state.forgotten import check_none_forgotten
from morphir.state.transport import Transport
from morphir.tensors import unequal


@final
class Renumbered:
    """The tensors that edits give other numbers or masks, as they were before."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        edits: Sequence[Renumbering],
        masked: Collection[str] = (),
    ) -> None:
        """Notes the numbers, the masks, and what optimizers keep.

        Args:
            model: The model, as it is before the edits.
            optimizers: The optimizers over it.
            edits: What will be done to it.
            masked: Its parameters that carry masks (MASK-1).
        """
        self._model, self._optimizers = model, optimizers
        self._edits = {name: edit for edit in edits for name in edit.names}
        self._masked = {*masked, *(name for edit in edits for name in edit.masks)}
        named = (*model.named_parameters(), *model.named_buffers()) if self._edits else ()
        self._tensors = {name: each for name, each in named if name in self._edits}
        self._numbers = {name: each.detach().clone() for name, each in self._tensors.items()}
        self._masks = {name: self._mask(name).clone() for name in self._tensors}
        self._kept = {
            name: {entry: value.clone() for entry, value in kept_of(each, optimizers).items()}
            for name, each in self._tensors.items()
        }

    def check_known(self) -> None:
        """Refuses where an optimizer that was not given knows what is no more (STATE-17).

        What begins to be used is left out: it was 0, and an optimizer that masks are applied for
        keeps nothing of it. So is what a given optimizer holds, as looking takes long.

        Raises:
            RefusalError: There is such an optimizer.
        """
        groups = [group for each in self._optimizers for group in each.param_groups]
        held = {id(parameter) for group in groups for parameter in group["params"]}
        changed = [
            tensor
            for name, tensor in self._tensors.items()
            if isinstance(tensor, nn.Parameter)
            and not self._edits[name].keeps
            and id(tensor) not in held
        ]
        if changed:
            edit = next(iter(self._edits.values()))
            check_none_forgotten(self._optimizers, changed, edit.at, numbers_only=True)

    @property
    def restarted(self) -> tuple[str, ...]:
        """The parameters of which optimizers are to keep nothing."""
        return tuple(
            name
            for name, each in self._tensors.items()
            if self._edits[name].restarts and isinstance(each, nn.Parameter)
        )

    def begin_anew(self, transport: Transport) -> None:
        """Lets optimizers keep of new numbers what fresh ones would, once the edits were made.

        Raises:
            RefusalError: What the state of an optimizer means is not known.
        """
        places = {}
        for name, tensor in self._tensors.items():
            places[name] = unequal(tensor, self._numbers[name])
            places[name] |= unequal(self._mask(name), self._masks[name])
            anew = self._edits[name].anew.get(name)
            if anew is not None:
                places[name] |= anew
        transport.forget(places, self.restarted)

    def check(self) -> list[Check]:
        """Checks that the edits were made (KEPT-12), and that optimizers know (KEPT-11)."""
        given, renewed = [], []
        for name, tensor in self._tensors.items():
            edit = self._edits[name]
            numbers = self._numbers[name], tensor.detach()
            masks = self._masks[name], self._mask(name)
            new = edit.numbers.get(name), edit.masks.get(name)
            given.append(Given(name, numbers, masks, *new, edit.most.get(name)))
            if self._kept[name]:
                kept = self._kept[name], kept_of(tensor, self._optimizers)
                anew = edit.anew.get(name)
                renewed.append(Renewed(name, numbers, masks, anew, *kept, restarts=edit.restarts))
        return [
            *([check_given(given)] if given else []),
            *([check_renewed(renewed)] if renewed else []),
        ]

    def _mask(self, name: str) -> torch.Tensor:
        """The mask of a tensor, ones where it has none."""
        home, _, key = mask_name(name).rpartition(".")
        held = self._model.get_submodule(home)._buffers.get(key)
        if held is None or name not in self._masked:
            return torch.ones_like(self._tensors[name])
        return held
