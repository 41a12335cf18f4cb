"""Tensors that are checked while old and new are both there.

A model that is edited in place has no old tensors any more when it is recorded again. So each
change is compared at the moment it is made (CERT-10), and by a digest of the new tensor it is known
later that this is the one that was compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch

from morphir.checks.bits import digest, equal_bits
from morphir.checks.weights import unrelated
from morphir.ir import TensorChange


@final
class Commits:
    """What was found when tensors changed."""

    def __init__(self, claimed: Mapping[str, TensorChange]) -> None:
        """Says how the axes of each tensor are claimed to change."""
        self._claimed = claimed
        self._found: dict[str, tuple[str, str | None]] = {}
        self._same: dict[tuple[int, int], bool] = {}

    def check(self, name: str, old: torch.Tensor, new: torch.Tensor) -> None:
        """Compares a tensor that is about to be replaced with the new one, if that is claimed."""
        if name in self._claimed:
            relations = [axis.relation for axis in self._claimed[name]]
            self._found[name] = unrelated(old, new, relations), digest(new)

    def equal_bits(self, old: torch.Tensor | None, new: torch.Tensor | None) -> bool:
        """Whether two tensors have the same bits; both modes ask it of the same ones."""
        key = id(old), id(new)
        if key not in self._same:
            self._same[key] = equal_bits(old, new)
        return self._same[key]

    def outcome(self, name: str, change: TensorChange, now: torch.Tensor | None) -> str | None:
        """Why a tensor is not related to the old one, "" if it is, None if it was not compared."""
        if name not in self._found or self._claimed[name] != change or now is None:
            return None
        problem, known = self._found[name]
        is_it = known is not None and digest(now) == known
        return problem if is_it else "it is another tensor than the one that was compared"
