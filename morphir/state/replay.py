"""Replays a lineage on another model of the same structure.

A target network, a replica, a frozen opponent, a fresh instance at load time.

    STATE-3   replaying a lineage on a model of the structure that it started from gives, module for
              module and key for key, the structure that it ended with, new layers with the same
              initial numbers, and new units from the same draws
    STATE-4   a replay that does not fit changes nothing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.backend.copying import attached_optimizers
from morphir.backend.surgery import Surgery
from morphir.blocks import BlockSpec
from morphir.errors import RefusalError
from morphir.frontend import check_module
from morphir.ir import Edit, Insertion, Removal, Renumbering, Resize, is_inside
from morphir.lineage import (
    AnyStep,
    InjectionStep,
    Lineage,
    NumbersStep,
    RemovalStep,
    ResizeStep,
    Step,
    lineage_of,
    set_lineage,
    structure_of,
)
from morphir.masks import Masks
from morphir.ops import DEFAULT_TABLE
from morphir.state.leaving import Leaving
from morphir.state.optimizer import Joining, optimizers_over
from morphir.state.succession import Succession
from morphir.state.transport import StateRules, Transport


def replay(
    lineage: Lineage,
    model: nn.Module,
    *,
    optimizer: Any = None,
    state_rules: StateRules | None = None,
) -> nn.Module:
    """Does to a model, in place, what was done to another (STATE-3).

    Nothing is recorded or proved: the steps are those that were proved on a model of the same
    structure. If one does not fit, all are undone. A layer that was removed there is removed here,
    whether or not it is an identity here too.

    Args:
        lineage: What to do.
        model: A model of the structure that the lineage started from, or one that already carries
            its first steps.
        optimizer: An optimizer over the model that should take the new parameters, or a list of
            them. Optimizers that hang on the model itself take them as well.
        state_rules: As for `transform`.

    Returns:
        The same model.

    Raises:
        RefusalError: The model does not have the structure; nothing changed.
    """
    check_module(model)
    if not isinstance(lineage, Lineage):
        raise RefusalError(
            f"expected a morphir.Lineage, found {type(lineage).__name__}",
            suggestions=["result.lineage", "morphir.inspect(path).lineage"],
        )
    optimizers: list[Optimizer] = optimizers_over(model, optimizer, attached_optimizers(model))
    own, wanted = lineage_of(model).replayed, lineage.replayed
    if wanted[: len(own)] != own:
        raise RefusalError(
            "the model has a lineage of its own, which is not the beginning of this one",
            suggestions=["a fresh model of the original structure"],
        )
    replaying = _Replaying(model, optimizers, state_rules)
    application = max((step.application for step in own), default=0)
    try:
        with torch.inference_mode(False):
            for step in wanted[len(own) :]:
                if step.application != application:
                    _check_structure(step, model)
                    application = step.application
                replaying.carry_out(step)
    except BaseException:
        replaying.undo()
        raise
    set_lineage(model, lineage)
    return model


def _check_structure(step: AnyStep, model: nn.Module) -> None:
    if structure_of(model) == step.structure:
        return
    held = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    named: Sequence[str] = ()
    if isinstance(step, ResizeStep):
        named = [*step.changes["tensors"]]
    elif isinstance(step, NumbersStep):
        named = step.parameters
    elif isinstance(step, InjectionStep):
        named = step.freezes
    elif isinstance(step, Step):
        named = step.follows
    missing = [name for name in named if name not in held]
    first = f": it has no {missing[0]!r}" if missing else ""
    raise RefusalError(
        f"the parameters of this {type(model).__name__} have other names or shapes than those of "
        f"the model that the lineage was made on{first}",
        nodes=[step.at if isinstance(step, ResizeStep | NumbersStep) else step.anchor],
        suggestions=["a model made by the same code with the same settings"],
    )


class _Undoable(Protocol):
    def undo(self) -> None: ...


@final
class _Replaying:
    """Carries out steps on one model; `undo` takes them back, the last one first."""

    def __init__(
        self, model: nn.Module, optimizers: Sequence[Optimizer], rules: StateRules | None
    ) -> None:
        self._model, self._optimizers = model, optimizers
        self._rules = rules
        self._done: list[_Undoable] = []

    def carry_out(self, step: AnyStep) -> None:
        """Does to the model and its optimizers what a step says."""
        if isinstance(step, ResizeStep):
            self._resize(step.edit)
        elif isinstance(step, RemovalStep):
            self._remove(step.edit)
        elif isinstance(step, NumbersStep):
            self._renumber(step)
        elif isinstance(step, InjectionStep):
            self._inject(step)
        else:
            self._insert(step)

    def undo(self) -> None:
        """Undoes the steps that were carried out, and what there is of one that failed."""
        while self._done:
            self._done.pop().undo()

    def _operate(self, edit: Edit) -> None:
        surgery = Surgery(self._model)
        self._done.append(surgery)
        surgery.apply([edit])

    def _resize(self, edit: Resize) -> None:
        transport = Transport(self._optimizers, self._model, self._rules)
        transport.check(edit)
        self._operate(edit)
        self._done.append(transport)
        transport.apply(edit)

    def _renumber(self, step: NumbersStep) -> None:
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        masked = Masks(self._model).masks
        new = [name for name in step.parameters if name in parameters and name not in masked]
        ones = {name: torch.ones_like(parameters[name]) for name in new}
        self._operate(Renumbering(step.at, step.law, ones, step.spec))

    def _remove(self, edit: Removal) -> None:
        parameters = self._model.named_parameters()
        gone = {name: each for name, each in parameters if is_inside(name, [edit.name])}
        self._operate(edit)
        leaving = Leaving(self._optimizers)
        self._done.append(leaving)
        leaving.leave(gone)

    def _inject(self, step: InjectionStep) -> None:
        succession = Succession(self._optimizers, self._model)
        try:
            self._operate(step.edit)
            self._done.append(succession)
            succession.carry_out([step.edit])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _not_done(step, error) from error

    def _insert(self, step: Step) -> None:
        parameters = dict(self._model.named_parameters())
        edit = _edit(step, self._model, parameters)
        self._operate(edit)
        new = {f"{edit.name}.{key}": p for key, p in edit.module.named_parameters()}
        joining = Joining(self._optimizers, self._model)
        self._done.append(joining)
        joining.join(new, [(n, parameters[n]) for n in edit.follows if n in parameters])


def _edit(step: Step, model: nn.Module, parameters: Mapping[str, nn.Parameter]) -> Insertion:
    likes = [parameters[name] for name in step.follows if name in parameters]
    like = next(iter((*likes, *parameters.values())), torch.empty(0))
    try:
        model.get_submodule(step.anchor)
        module = BlockSpec.from_dict(step.spec).build(like, DEFAULT_TABLE)
    except (AttributeError, TypeError, ValueError) as error:
        raise _not_done(step, error) from error
    return Insertion(step.anchor, step.name, module, step.law, step.spec, step.follows, step.inside)


def _not_done(step: Step | InjectionStep, error: Exception) -> RefusalError:
    return RefusalError(
        f"step {step.name!r} of the lineage can't be done: {error}", nodes=[step.anchor]
    )
