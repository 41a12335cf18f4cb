"""What a pass is, and the sandwich that every pass runs in.

A pass is a frozen dataclass with two methods: `requires` says whether the program fits, as a value
with a reason; `rewrite` edits it through the rewriter. It is run by `run_pass`, which checks the
structure before and after, so an author can't forget it. Whether the claim holds is checked later
on the module that was really emitted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest
from typing import Any, ClassVar, cast, final

from morphir.errors import RefusalError
from morphir.ir import Grade, Insertion, Program, Rewriter, check_structure
from morphir.tensors import tensors_in


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
        resizes: Whether it changes the sizes of axes. It is then given one program of both modes
            (`morphir.ir.both_modes`), and is applied and checked on its own.
        renumbers: Whether it changes numbers or masks while axes stay, on its own as well.
        injects: Whether it injects branches, on its own as well.
        removes: Whether it removes modules, which is not checked together with insertions.
    """

    name: ClassVar[str]
    resizes: ClassVar[bool] = False
    renumbers: ClassVar[bool] = False
    injects: ClassVar[bool] = False
    removes: ClassVar[bool] = False

    @property
    def claim(self) -> Grade:
        """The grade that the pass promises; a weaker verdict is an error."""
        return Grade.PROVED

    @property
    def stages(self) -> tuple[MorphismPass, ...]:
        """The passes that it is carried out as, one after the other."""
        return (self,)

    def requires(self, program: Program) -> Refusal | None:
        """Says why the program does not fit, or None when it does; only looks at it.

        A pass whose plan is what finds that out raises the refusal in `rewrite`, before any edit.
        """
        return None

    @abstractmethod
    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Edits the program through the rewriter; returns lines for the report."""

    @final
    def describe(self) -> str:
        """The pass with its options, as it could be typed."""
        listed = fields(cast("Any", self))
        options = ", ".join(
            f"{f.name}={_shown(getattr(self, f.name))}" for f in listed if self._is_set(f)
        )
        return f"{type(self).__name__}({options})"

    def _is_set(self, option: Any) -> bool:
        value = getattr(self, option.name)
        holds_data = next(tensors_in(value), None) is not None  # which can't be compared
        return holds_data or bool(value != option.default)


def _shown(value: Any) -> str:
    """An option as it could be typed; of data and functions only that they are there."""
    holds_data = next(tensors_in(value), None) is not None
    return "..." if holds_data or callable(value) else repr(value)


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
    before = [each.program for each in (rewriter, in_train) if each is not None]
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
        _check_same_edits(pass_, rewriter, in_train, before)
    return notes


def _run(pass_: MorphismPass, rewriter: Rewriter) -> Sequence[str]:
    program = rewriter.program
    check_structure(program)
    refusal = pass_.requires(program)
    if refusal is not None:
        raise RefusalError(refusal.reason, nodes=refusal.nodes, suggestions=refusal.suggestions)
    before = len(rewriter.edits)
    try:
        notes = pass_.rewrite(program, rewriter)
    except RefusalError as found:
        if found.nodes:
            raise
        at = getattr(pass_, "at", None)  # the planner names axes, and the pass the module
        named = [at] if isinstance(at, str) else at if isinstance(at, tuple | list) else []
        nodes = [each for each in named if each]
        raise RefusalError(found.reason, nodes=nodes, suggestions=found.suggestions) from found
    check_structure(rewriter.program)
    if len(rewriter.edits) == before and not notes:
        return ["nothing to do"]
    return notes


def _check_same_edits(
    pass_: MorphismPass, rewriter: Rewriter, in_train: Rewriter, before: Sequence[Program]
) -> None:
    if rewriter.removals != in_train.removals:
        differing = {*rewriter.removals} ^ {*in_train.removals}
        raise RefusalError(
            "these are the identity in one of the modes only",
            nodes=sorted({edit.name for edit in differing}),
        )
    for edit, other in zip_longest(rewriter.insertions, in_train.insertions):
        difference = _difference(edit, other)
        if difference is None:
            continue
        found, options = difference
        nodes = [each.anchor for each in (edit, other) if each is not None]
        raise RefusalError(
            f"{found}, as the model does not run the same operations there in both",
            nodes=[*dict.fromkeys(nodes)],
            suggestions=[*_alternatives(pass_, before, [*options, ("block", "residual")])]
            or ["at= a place around which the forward does not depend on the mode"],
        )


def _difference(
    edit: Insertion | None, other: Insertion | None
) -> tuple[str, list[tuple[str, Any]]] | None:
    """How what is done for eval mode differs from that for train mode; options that settle it."""
    if edit is None or other is None:
        place = edit or other
        assert place is not None
        mode = "train" if edit is None else "eval"
        return f"a layer after {place.anchor!r} would go in for {mode} mode only", []
    if edit.anchor != other.anchor:
        return (
            f"for eval mode the layer would have to go after {edit.anchor!r}, for train mode "
            f"after {other.anchor!r}",
            [("at", edit.anchor), ("at", other.anchor)],
        )
    for key, value in edit.spec.items():
        wanted = other.spec.get(key)
        if value != wanted:
            return (
                f"the {key} of a layer after {edit.anchor!r} would have to be {value!r} for eval "
                f"mode and {wanted!r} for train mode",
                [(key, value), (key, wanted)],
            )
    return None


def _alternatives(
    pass_: MorphismPass, before: Sequence[Program], options: Sequence[tuple[str, Any]]
) -> Iterator[str]:
    """Those of the options with which the pass does the same in both modes: they are tried."""
    for name, value in options:
        if hasattr(pass_, name):
            changed = replace(cast("Any", pass_), **{name: value})
            first, second = map(Rewriter, before)
            try:
                _run(changed, first)
                _run(changed, second)
            except RefusalError:
                continue
            pairs = zip_longest(first.insertions, second.insertions)
            if all(_difference(*pair) is None for pair in pairs):
                yield f"{name}={value!r}"
