"""What a pass is, and the sandwich that every pass runs in.

A pass is a frozen dataclass with two methods: `requires` says whether the program fits, as a value
with a reason; `rewrite` edits it through the rewriter. It is run by `run_pass`, which checks the
structure before and after, so an author can't forget it. Whether the claim holds is checked later
on the module that was really emitted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast, final

from morphir.errors import RefusalError
from morphir.ir import Grade, Program, Rewriter, check_structure


@final
@dataclass(frozen=True)
class Refusal:
    """Why a program does not fit a pass; the infrastructure raises it as a `RefusalError`."""

    reason: str
    nodes: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()


class MorphismPass(ABC):
    """A rewrite that claims to keep the function.

    Subclasses are final frozen dataclasses; their fields are the pass's options.

    Attributes:
        name: Short name, used in reports and lineages.
        claim: The grade that the pass promises; a weaker verdict is an error.
    """

    name: ClassVar[str]
    claim: ClassVar[Grade] = Grade.PROVED

    @abstractmethod
    def requires(self, program: Program) -> Refusal | None:
        """Says why the program does not fit, or None when it does; only looks at it."""

    @abstractmethod
    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Edits the program through the rewriter; returns lines for the report."""

    @final
    def describe(self) -> str:
        """The pass with its options, as it could be typed."""
        listed = fields(cast("Any", self))
        options = ", ".join(
            f"{f.name}={getattr(self, f.name)!r}" for f in listed if self._is_set(f)
        )
        return f"{type(self).__name__}({options})"

    def _is_set(self, option: Any) -> bool:
        return bool(getattr(self, option.name) != option.default)


def run_pass(pass_: MorphismPass, rewriter: Rewriter) -> Sequence[str]:
    """Runs a pass on the rewriter's program: structure, requirements, rewrite, structure.

    Raises:
        RefusalError: The program does not fit the pass.
        VerificationError: The pass left a malformed program.
    """
    program = rewriter.program
    check_structure(program)
    refusal = pass_.requires(program)
    if refusal is not None:
        raise RefusalError(refusal.reason, nodes=refusal.nodes, suggestions=refusal.suggestions)
    before = len(rewriter.edits)
    notes = pass_.rewrite(program, rewriter)
    check_structure(rewriter.program)
    if len(rewriter.edits) == before and not notes:
        return ["nothing to do"]
    return notes
