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
from itertools import zip_longest
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


def run_pass(
    pass_: MorphismPass, rewriter: Rewriter, in_train: Rewriter | None = None
) -> Sequence[str]:
    """Runs a pass on the rewriter's program: structure, requirements, rewrite, structure.

    Args:
        pass_: The pass.
        rewriter: A rewriter over the program in eval mode; it gets the edits.
        in_train: One over the program in train mode, where that was recorded. The pass runs on it
            too, and has to come to the same edits: dropout leaves a value as it is in eval mode
            only, and what is exact after it may not be so in train mode.

    Raises:
        RefusalError: The program does not fit the pass, in one of the modes.
        VerificationError: The pass left a malformed program.
    """
    notes = _run(pass_, rewriter)
    if in_train is not None:
        try:
            _run(pass_, in_train)
        except RefusalError as refusal:
            raise RefusalError(
                f"in train mode {refusal.reason}",
                nodes=refusal.nodes,
                suggestions=refusal.suggestions,
            ) from refusal
        _check_same_edits(rewriter, in_train)
    return notes


def _run(pass_: MorphismPass, rewriter: Rewriter) -> Sequence[str]:
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


def _check_same_edits(rewriter: Rewriter, in_train: Rewriter) -> None:
    for edit, other in zip_longest(rewriter.edits, in_train.edits):
        if edit is None or other is None or (edit.anchor, edit.spec) != (other.anchor, other.spec):
            places = [each.anchor for each in (edit, other) if each is not None]
            raise RefusalError(
                f"in eval and in train mode it would be done in another way, at {places}",
                nodes=places,
                suggestions=["at= the module that computes the value"],
            )
