"""Memory that was handed out: to numpy, or as a pointer to whoever has it."""

from __future__ import annotations

from typing import final

import torch

from morphir.errors import RefusalError


@final
class Exposure:
    """Remembers what tensors held when their memory was handed out."""

    def __init__(self) -> None:
        self._known: list[tuple[torch.Tensor, int, torch.Tensor]] = []

    def add(self, tensor: torch.Tensor) -> None:
        """Says that a tensor's memory is about to be handed out."""
        if not tensor.is_meta and all(tensor is not known for known, _, _ in self._known):
            self._known.append((tensor, _version(tensor), tensor.detach().clone()))

    def check(self) -> None:
        """Checks that nobody wrote to it unseen, and restores it.

        Raises:
            RefusalError: Somebody did.
        """
        for tensor, version, before in self._known:
            same = (tensor == before) | ((tensor != tensor) & (before != before))
            if _version(tensor) == version and not bool(same.all()):
                tensor.data.copy_(before)
                raise RefusalError(
                    "the model writes to a tensor's memory through numpy or a pointer, which "
                    "cannot be followed",
                    suggestions=["torch operations, or a copy of the array"],
                )


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
