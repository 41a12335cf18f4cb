"""What `transform` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from torch import nn

from morphir.ir import Certificate, Report
from morphir.lineage import Lineage
from morphir.recordings import Recording


@final
@dataclass(frozen=True, eq=False)
class TransformResult:
    """A changed model with everything that is known about it.

    Attributes:
        module: The model, of the same class as before.
        optimizer: The optimizer over it: a new one, or the caller's own with `inplace=True`. A list
            if several were given, None if none.
        report: The graded verdict.
        certificate: What the checker was given.
        lineage: Everything that was ever done to this model.
        recording: How the model was recorded; `transform(recording=...)` takes it.
    """

    module: nn.Module
    optimizer: Any
    report: Report
    certificate: Certificate
    lineage: Lineage
    recording: Recording = field(repr=False)

    def __str__(self) -> str:
        return str(self.report)
