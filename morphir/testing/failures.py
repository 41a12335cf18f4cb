"""What a failure says: the module as source, the pass, the seed, what was found, and where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Any, final

from torch import nn

from morphir.ir import Certificate, Report
from morphir.lineage import lineage_of
from morphir.passes import MorphismPass


@final
@dataclass(frozen=True, eq=False)
class Case:
    """What a pass was tried on.

    Attributes:
        pass_: The pass.
        module: The module as it was.
        example_inputs: As for `morphir.transform`.
        entry_points: As for `morphir.transform`.
        seed: Seed of the optimizer's state.
        source: Python source with a function `make` that builds the module; "" if it is not known.

    Example:
        >>> from torch import nn
        >>> from morphir import DeeperPass
        >>> from morphir.testing import Case
        >>> print(Case(DeeperPass(at="0"), nn.Identity(), None, ("forward",)))
        pass: DeeperPass(at='0')
        seed: 0
        module:
          Identity()
    """

    pass_: MorphismPass
    module: nn.Module
    example_inputs: Any
    entry_points: Sequence[str]
    seed: int = 0
    source: str = ""

    def __str__(self) -> str:
        lines = [f"pass: {self.pass_.describe()}", f"seed: {self.seed}"]
        steps = lineage_of(self.module).steps
        if steps:
            lines += ["lineage:", indent(str(lineage_of(self.module)), "  ")]
        return "\n".join([*lines, "module:", indent(self.source or repr(self.module), "  ")])


@final
class PreservationError(AssertionError):
    """A pass did not keep what it claims to keep.

    Attributes:
        case: What it was tried on.
        reason: What went wrong, in one line.
        where: The node, module or output that disagrees, or "".
        report: What the checkers found, None where none ran.
        certificate: What the pass left for the checker, None where it left nothing.

    Example:
        >>> from torch import nn
        >>> from morphir import DeeperPass
        >>> from morphir.testing import Case, PreservationError
        >>> case = Case(DeeperPass(at="0"), nn.Identity(), None, ("forward",))
        >>> str(PreservationError(case, "it is wrong", "the head")).splitlines()[:2]
        ['it is wrong', 'at the head']
    """

    def __init__(
        self,
        case: Case,
        reason: str,
        where: str = "",
        report: Report | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.case, self.reason, self.where = case, reason, where
        self.report, self.certificate = report, certificate
        lines = [reason, f"at {where}" if where else "", "" if report is None else str(report)]
        super().__init__("\n".join([*filter(None, lines), str(case)]))


def general(text: str) -> str:
    """A message without the names and numbers of one module.

    Args:
        text: The message.
    """
    text = re.sub(r"[(,]? ?(module '[^']*', )?recipe_\w+\.py:\d+\)?", "", text)
    return re.sub(r"\d+(\.\d+)?(e-\d+)?", "N", re.sub(r"'[^']*'", "'...'", text))
