"""ReDo: dormant units start anew.

    REDO-1   a unit with a score of at most the threshold (PRUNE-2) starts anew: random incoming
             numbers, outgoing ones that are 0, and optimizer state as a fresh optimizer has it

Sokar et al. 2023, algorithm 1. If the threshold is 0 nothing changes on the data; otherwise as much
as nearly dormant units contributed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from morphir.ir import Grade, Program, Rewriter
from morphir.passes.base import MorphismPass
from morphir.passes.prune import PruneDormantPass


@final
@dataclass(frozen=True)
class RecycleDormantPass(MorphismPass):
    """Start dormant units anew, as ReDo does; what that changes is measured on the data.

    It is `PruneDormantPass(mode="reseed")` by the name that it is known by. What an optimizer
    counts for a whole tensor, such as the steps of Adam, goes on, as in the authors' code.

    Args:
        data: Inputs, in the form of `example_inputs`, on which units are dormant.
        at: Qualified name of the module whose output features are looked at, a glob, or a list of
            them; by default every axis that can change.
        threshold: The largest score of a unit that is dormant: 0 for silent ones only.
        seed: Seed of the new numbers.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "recycle"
    renumbers: ClassVar[bool] = True

    data: Any
    at: str | Sequence[str] | None = None
    threshold: float = 0.025
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        _ = self._pruning

    @property
    def claim(self) -> Grade:
        """That of the pruning in whose mode it is."""
        return self._pruning.claim

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Starts the units anew."""
        return self._pruning.rewrite(program, rewriter)

    @property
    def _pruning(self) -> PruneDormantPass:
        return PruneDormantPass(
            at=self.at, data=self.data, threshold=self.threshold, mode="reseed", seed=self.seed
        )
