"""Puts the edits of a rewriter into a module, touching nothing else, and can take them out again.

BACK-1   what an edit does not name keeps its key, its place among the keys, its identity,
         hooks, flags, dtype and device
BACK-2   a layer is added to an `nn.Sequential` that only runs its children, never to a list of
         modules; elsewhere its anchor hosts it (BACK-3)
BACK-4   `undo` restores every class, key, order, attribute and number
BACK-18  what was inserted is taken out as if it had never been there
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import final

import torch
from torch import nn

from morphir.backend.hosting import (
    add_guest,
    is_guest,
    own_way_of_copying,
    remember,
    remove_branches,
    remove_guest,
)
from morphir.backend.renumbering import put_numbers
from morphir.backend.resizing import Watch, resize
from morphir.errors import RefusalError
from morphir.injected import build_branch
from morphir.ir import Edit, Injection, Insertion, Removal, Renumbering, Resize


@final
class Surgery:
    """Edits one model; `undo` restores it exactly.

    Attributes:
        exact: State entry to its numbers in float64, where the edits had to round them.
    """

    def __init__(
        self,
        model: nn.Module,
        sequentials: Collection[str] | None = None,
        *,
        given: Mapping[str, torch.Tensor] | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Starts with nothing done.

        Args:
            model: What is edited.
            sequentials: The Sequentials that run their children in order and in no other way; by
                default every one with a forward of nn.Sequential.
            given: State entry to the numbers of its free positions, for those that a pass computes.
            watch: Called with the name of a tensor that changes its shape, the old numbers and the
                new ones, while both are there. If it raises, everything is undone.
        """
        self._model = model
        self._sequentials = sequentials
        self._given, self._watch = given or {}, watch
        self._undo: list[Callable[[], None]] = []
        self.exact: dict[str, torch.Tensor] = {}

    def apply(self, edits: Sequence[Edit]) -> None:
        """Applies edits in order; if one fails, those before it are undone.

        Raises:
            RefusalError: The model has no such place, or it takes no layer or change.
        """
        try:
            for edit in edits:
                if isinstance(edit, Insertion):
                    self._insert(edit)
                elif isinstance(edit, Removal):
                    self._remove(edit)
                elif isinstance(edit, Renumbering):
                    self._renumber(edit)
                elif isinstance(edit, Injection):
                    self._inject(edit)
                else:
                    self._resize(edit)
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Takes every edit out again, the last one first."""
        while self._undo:
            self._undo.pop()()

    def _resize(self, edit: Resize) -> None:
        for undo in resize(self._model, edit, self._given, self._watch, self.exact):
            self._undo.append(undo)

    def _renumber(self, edit: Renumbering) -> None:
        for undo in put_numbers(self._model, edit):
            self._undo.append(undo)

    def _remove(self, edit: Removal) -> None:
        home, _, key = edit.name.rpartition(".")
        try:
            parent, module = map(self._model.get_submodule, (home, edit.name))
        except AttributeError as error:
            raise RefusalError(f"there is no {edit.name!r}", nodes=[edit.anchor]) from error
        _check_no_hooks(edit.name, module)
        fits = is_guest(parent, key) if edit.inside else _runs_children_in_order(parent)
        if not fits:
            raise RefusalError(
                f"{edit.name!r} is called by the code of {type(parent).__name__}, so that it can't "
                "be taken out",
                nodes=[edit.name],
                suggestions=["a child of a Sequential, or what a DeeperPass inserted"],
            )
        self._undo.append(remember(parent))
        if edit.inside:
            remove_guest(parent, key)
        else:
            del parent._modules[key]

    def _insert(self, edit: Insertion) -> None:
        anchor = self._model.get_submodule(edit.anchor)
        home, _, key = edit.name.rpartition(".")
        parent = self._free_place(edit.name)
        self._undo.append(remember(parent))
        edit.module.train(anchor.training)
        if not edit.inside:
            after = edit.anchor.rpartition(".")[2]
            _check_sequential(home, parent, after)
            _add_child(parent, key, edit.module, after)
            return
        _check_forward(edit.anchor, anchor)
        if _runs_children_in_order(anchor):
            self._check_plain(edit.anchor, anchor)
            anchor.add_module(key, edit.module)  # a Sequential runs its last child on its output
            return
        _check_copying(edit.anchor, anchor)
        add_guest(anchor, key, edit.module)

    def _inject(self, edit: Injection) -> None:
        home, _, key = edit.name.rpartition(".")
        if home != edit.anchor:
            raise ValueError(f"{edit.name!r} is no child of {edit.anchor!r}")
        anchor = self._free_place(edit.name)
        _check_forward(edit.anchor, anchor)
        _check_copying(edit.anchor, anchor)
        try:
            branch = build_branch(anchor, edit.spec["seed"], remove_branches)
        except RefusalError as refusal:
            nodes = [f"{edit.anchor}.{each}".removeprefix(".") for each in refusal.nodes]
            place = repr(edit.anchor) if edit.anchor else "the model"
            raise RefusalError(
                f"{place} can't begin anew: {refusal.reason}",
                nodes=nodes,
                suggestions=refusal.suggestions,
            ) from refusal
        self._undo.append(remember(anchor))
        branch.train(anchor.training)
        add_guest(anchor, key, branch)
        for name, other in edit.heirs.items():
            learns = self._model.get_parameter(other).requires_grad
            self._model.get_parameter(name).requires_grad_(learns)

    def _free_place(self, name: str) -> nn.Module:
        """The module that gets a child of this name.

        Raises:
            RefusalError: It has something of this name.
        """
        home, _, key = name.rpartition(".")
        parent = self._model.get_submodule(home)
        if key in parent._modules or hasattr(parent, key):
            owner = repr(home) if home else "the model"
            raise RefusalError(f"{owner} already has a {key!r}", nodes=[name])
        return parent

    def _check_plain(self, name: str, anchor: nn.Module) -> None:
        if self._sequentials is not None and name not in self._sequentials:
            last = next(reversed(anchor._modules), None)
            raise RefusalError(
                "it is a Sequential whose children are also used by index, in a loop or on their "
                "own, so one more child would change more than its output",
                nodes=[name],
                suggestions=[f"at={f'{name}.{last}'!r}"] if last else [],
            )


def _runs_children_in_order(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _check_sequential(name: str, parent: nn.Module, after: str) -> None:
    if not _runs_children_in_order(parent) or after not in parent._modules:
        raise RefusalError(
            f"a layer after {after!r} needs an nn.Sequential with that child, found "
            f"{type(parent).__name__} with {[*parent._modules]}",
            nodes=[name],
        )


def _check_no_hooks(name: str, module: nn.Module) -> None:
    for inner in module.modules():
        hooks = (v for k, v in vars(inner).items() if k.endswith("_hooks") and "state" not in k)
        if any(hooks):
            raise RefusalError(
                f"{name!r} has hooks, which would go with it",
                nodes=[name],
                suggestions=["remove the hooks first"],
            )


def _check_forward(name: str, anchor: nn.Module) -> None:
    if "forward" in vars(anchor):
        raise RefusalError(
            "its forward was replaced on the instance, so nothing can be run after it",
            nodes=[name],
            suggestions=["a forward hook, or a subclass, in place of the assignment to .forward"],
        )


def _check_copying(name: str, anchor: nn.Module) -> None:
    method = own_way_of_copying(anchor)
    if method:
        raise RefusalError(
            f"it is copied by {method}, which would lose a layer that runs inside it",
            nodes=[name],
            suggestions=["at= a module inside it, or one that feeds it"],
        )


def _add_child(parent: nn.Module, key: str, child: nn.Module, after: str) -> None:
    """Adds a child right after another; a Sequential runs them in the order of `_modules`."""
    names = [*parent._modules]
    parent.add_module(key, child)
    for name in names[names.index(after) + 1 :]:
        parent._modules[name] = parent._modules.pop(name)
