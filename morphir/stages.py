"""Stages: which passes are checked together, and the edits that they come to.

`transform` carries stages out and `plan` shows them, so what one refuses the other refuses in the
same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from torch import nn

from morphir.errors import RefusalError
from morphir.frontend import check_module
from morphir.ir import Rewriter, both_modes
from morphir.passes.base import MorphismPass, run_pass
from morphir.recordings import Clock, Traces

Passes = MorphismPass | Sequence[MorphismPass]
Said = Sequence[tuple[MorphismPass, Sequence[str]]]


def check_model(model: Any) -> None:
    """Refuses what is no model, or one that nothing can be done with.

    Raises:
        RefusalError: It is; the message says what to do.
    """
    check_module(model)


def check_writable(model: nn.Module) -> None:
    """Refuses a model that can't be edited in place.

    Raises:
        RefusalError: It has tensors that were made in inference mode.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise RefusalError(
                "a tensor was made in inference mode, so it can't be written to",
                nodes=[name],
                suggestions=["inplace=False", "build the model outside of torch.inference_mode()"],
            )


def as_passes(pass_: Any) -> list[MorphismPass]:
    """The passes that a caller gave, one or several.

    Raises:
        RefusalError: It is something else.
    """
    passes = [*pass_] if isinstance(pass_, list | tuple) else [pass_]
    wrong = [each for each in passes if not isinstance(each, MorphismPass)]
    if passes and not wrong:
        return passes
    found = f"{wrong[0]!r}" if wrong else "an empty list"
    raise RefusalError(
        f"expected a pass or a flat list of passes, found {found}",
        suggestions=["morphir.DeeperPass(at='extractor.2')"],
    )


def stages_of(passes: Sequence[MorphismPass]) -> list[list[MorphismPass]]:
    """Passes that are checked together: in a row that insert, or remove; all others alone."""

    def together(each: tuple[int, MorphismPass]) -> tuple[int, bool]:
        number, pass_ = each
        alone = pass_.resizes or pass_.renumbers or pass_.injects
        return (number if alone else -1), pass_.removes

    every = [stage for each in passes for stage in each.stages]
    grouped = groupby(enumerate(every), together)
    return [[each for _, each in group] for _, group in grouped]


def rewrite(passes: Sequence[MorphismPass], before: Traces, clock: Clock) -> tuple[Rewriter, Said]:
    """Runs the passes of a stage on what was recorded; the model is not looked at.

    Returns:
        The edits, with the program that they make, and what each pass says about them.

    Raises:
        RefusalError: The program does not fit a pass.
    """
    with clock("rewrite"):
        in_eval = before.eval.program
        apart = None if before.are_one or before.train is None else before.train.program
        if passes[0].resizes or passes[0].renumbers:
            rewriter = Rewriter(in_eval if apart is None else both_modes(in_eval, apart))
            return rewriter, [(each, run_pass(each, rewriter)) for each in passes]
        rewriter, in_train = Rewriter(in_eval), None if apart is None else Rewriter(apart)
        return rewriter, [(each, run_pass(each, rewriter, in_train)) for each in passes]


def next_edits(
    stages: list[list[MorphismPass]], before: Traces, clock: Clock
) -> tuple[Rewriter, Said, Said]:
    """Runs stages until one edits something or none is left; they are taken off the list.

    Returns:
        The edits, what is said by the stages that edited nothing, and by the last one.

    Raises:
        RefusalError: The program does not fit a pass.
    """
    idle: list[tuple[MorphismPass, Sequence[str]]] = []
    while True:
        rewriter, said = rewrite(stages.pop(0), before, clock)
        if rewriter.edits or not stages:
            return rewriter, idle, said
        idle += said


def told(said: Said) -> tuple[str, ...]:
    """What each pass said, below the pass as it could be typed."""
    return tuple("\n  ".join([pass_.describe(), *lines]) for pass_, lines in said)
