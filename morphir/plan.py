"""A dry run: what passes would do to a model.

DRY-1   a plan changes nothing, whether it succeeds or is a refusal
DRY-2   what a plan says is what `transform` does: the same tensors change to the same shapes,
        the same attributes follow, the same modules go to the same places
DRY-3   where a pass or an optimizer refuses, the plan is that refusal, in the same words
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import nn

from morphir.backend.apart import check_apart
from morphir.backend.copying import attached_optimizers, duplicate
from morphir.checks import Inventory, Original
from morphir.described import describe
from morphir.errors import RefusalError
from morphir.frontend.unread import unread_note
from morphir.ir import AttributeChange, Grade, Resize, Rewriter
from morphir.passes.base import MorphismPass
from morphir.pipeline import Application
from morphir.planned import (
    Plan,
    PlannedStage,
    count_parameters,
    planned_branch,
    planned_module,
    planned_removal,
    planned_tensors,
)
from morphir.recordings import Clock, Traces, Twins
from morphir.stages import Passes, as_passes, check_model, rewrite, stages_of, told
from morphir.state.optimizer import optimizers_over
from morphir.state.transport import StateRules, Transport


def plan(
    model: nn.Module,
    pass_: Passes,
    *,
    optimizer: Any = None,
    example_inputs: Any = None,
    entry_points: Sequence[str] = ("forward",),
    state_rules: StateRules | None = None,
) -> Plan:
    """Says what `transform` would do with these arguments, or why it would refuse.

    A pass that changes sizes needs the model as the passes before it left it; these are then
    carried out on a copy that is thrown away. The last one is not: what shows only on the changed
    model (a hook that computes with the output, a path that depends on the width) is for
    `transform` to find.

    Args:
        model: Any module.
        pass_: A pass or a list of passes.
        optimizer: As for `transform`: its state may be a reason to refuse.
        example_inputs: As for `transform`.
        entry_points: As for `transform`.
        state_rules: As for `transform`.

    Returns:
        The plan, which prints; its `refusal` is None where nothing speaks against it.

    Raises:
        RefusalError: The arguments are wrong, or the model cannot be recorded.
        VerificationError: A pass that had to be carried out did not hold.

    Example:
        >>> import torch, morphir
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> planned = morphir.plan(net, morphir.WiderPass(at="0", width=16))
        >>> for tensor in planned.tensors:
        ...     print(tensor.name, tensor.change)
        0.weight f32[8 -> 16 copy, 4]
        0.bias f32[8 -> 16 copy]
        2.weight f32[2, 8 -> 16 split]
    """
    if isinstance(model, list | tuple):
        raise RefusalError(
            "found a list of models, expected one",
            suggestions=["one of them: models that change in lockstep have the same plan"],
        )
    check_model(model)
    passes = as_passes(pass_)
    with torch.inference_mode(False), torch.enable_grad():
        planning = _Planning(model, optimizer, example_inputs, entry_points, state_rules)
        return planning.run(passes)


@final
class _Planning:
    """Plans stage after stage; all but the last are carried out on a copy."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        example_inputs: Any,
        entry_points: Sequence[str],
        rules: StateRules | None,
    ) -> None:
        self._target, self._rules = model, rules
        self._optimizers = optimizers_over(model, optimizer, attached_optimizers(model))
        self._transport = Transport(self._optimizers, model, rules)
        self._inputs, self._entry_points = example_inputs, entry_points
        self._before = Traces.of(model, example_inputs, entry_points)
        self._original: Original | None = None  # once there is a copy
        self._twins: Twins | None = None

    def run(self, passes: Sequence[MorphismPass]) -> Plan:
        program = self._before.eval.program
        planned: list[PlannedStage] = []
        unread = ""
        refused: tuple[str, ...] = ()
        refusal: RefusalError | None = None
        *others, last = stages_of(passes)
        try:
            for stage in (*others, last):
                refused = tuple(each.describe() for each in stage)
                rewriter, found = self._plan(stage)
                unread = unread_note(self._target, program, rewriter.resizes) or unread
                if stage is not last and rewriter.edits:
                    self._carry_out(rewriter, stage)
                planned.append(found)
        except RefusalError as error:
            refusal = error
        return Plan(
            program.model,
            count_parameters(program),
            tuple(planned),
            refusal,
            refused if refusal is not None else (),
            (*program.notes, *filter(None, [unread])),
        )

    def _plan(self, stage: Sequence[MorphismPass]) -> tuple[Rewriter, PlannedStage]:
        program = self._before.eval.program
        rewriter, said = rewrite(stage, self._before, Clock())
        for edit in rewriter.resizes:
            self._transport.check_state(edit)
            check_apart(self._target, edit.tensors)
        resizes = rewriter.resizes
        return rewriter, PlannedStage(
            told(said),
            tuple(each for edit in resizes for each in planned_tensors(program, edit)),
            tuple(each for edit in resizes for each in _attributes(self._target, edit)),
            (
                *(planned_module(edit) for edit in rewriter.insertions),
                *(planned_branch(rewriter.program, edit) for edit in rewriter.injections),
            ),
            tuple(planned_removal(program, edit) for edit in rewriter.removals),
            on_copy=self._original is not None,
        )

    def _carry_out(self, rewriter: Rewriter, stage: Sequence[MorphismPass]) -> None:
        """Does what `transform` does, on a copy, and records what comes out."""
        if self._original is None:
            self._original = Original.of(self._target, self._optimizers)
            self._twins = Twins.of(self._target) if self._before.eval.inputs else None
            copied = duplicate(self._target, self._optimizers)
            self._target, self._optimizers = copied.model, [*copied.optimizers]
            since = self._original.inventory
        else:
            since = Inventory.of(self._target, self._optimizers)
        application = Application(
            self._target,
            self._optimizers,
            self._before,
            self._twins,
            rewriter,
            self._original,
            since,
            Clock(),
            self._rules,
        )
        least = Grade.weakest([each.claim for each in stage])
        application.run(self._inputs, self._entry_points, least)
        self._before, self._twins = application.after, application.new_twins
        self._transport = Transport(self._optimizers, self._target, self._rules)


def _attributes(model: nn.Module, edit: Resize) -> Iterator[AttributeChange]:
    """What follows: what the forward reads, then what torch's modules write down of their sizes."""
    yield from edit.attributes
    known = {(change.module, change.name) for change in edit.attributes}
    changed = dict(_resized(model, "", edit).named_modules())
    for owner, module in model.named_modules():
        before, after = describe(module), describe(changed[owner])
        for name, new in after.items():
            old = before.get(name)
            if old is None or old == new or (owner, name) in known:
                continue
            if old == getattr(module, name, None):  # what was something else means something else
                yield AttributeChange(owner, name, old, new)


def _resized(module: nn.Module, owner: str, edit: Resize) -> nn.Module:
    """A module as the edit makes it, down to its parts; its tensors have no numbers."""

    def resized(tensors: Mapping[str, torch.Tensor | None]) -> dict[str, torch.Tensor | None]:
        found = dict(tensors)
        for key, tensor in tensors.items():
            name = f"{owner}.{key}".removeprefix(".")
            if tensor is not None and name in edit.tensors:
                shape = edit.new_shape(name)
                found[key] = torch.empty(shape, dtype=tensor.dtype, device="meta")
        return found

    parts = {
        key: part and _resized(part, f"{owner}.{key}".removeprefix("."), edit)
        for key, part in module._modules.items()
    }
    shell = object.__new__(type(module))
    own = {"_parameters": resized(module._parameters), "_buffers": resized(module._buffers)}
    numbers = {each.name: each.new for each in edit.attributes if each.module == owner}
    vars(shell).update({**vars(module), **numbers, **own, "_modules": parts})
    return shell
