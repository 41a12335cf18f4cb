"""Bugs to plant where a module begins anew: its copies, what learns, what an optimizer holds."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from morphir import injected
from morphir.backend import surgery
from morphir.injected import InjectedBranch
from morphir.state.leaving import Leaving
from morphir.state.optimizer import Joining
from morphir.state.succession import Succession
from tests.zoo.planting import Patch, nudge


def _on_branches(patch: Patch, change: Callable[[Any], object]) -> None:
    """Does something to every branch, before it is in the model."""
    build = surgery.build_branch

    def wrong(*args: Any) -> InjectedBranch:
        branch = build(*args)
        with torch.no_grad():
            change(branch)
        return branch

    patch.setattr(surgery, "build_branch", wrong)


def _after_succession(patch: Patch, change: Callable[[Any, Any], object]) -> None:
    """Does something once parameters have taken the places of others."""
    carry_out = Succession.carry_out

    def wrong(self: Succession, edits: Any) -> None:
        carry_out(self, edits)
        for edit in edits:
            change(self, edit)

    patch.setattr(Succession, "carry_out", wrong)


# -- the copies ------------------------------------------------------------------------------------


def second_copy_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    _on_branches(patch, lambda branch: nudge(rng.choice([*branch.frozen.parameters()]), rng))


def second_copy_drawn_on_its_own(patch: Patch, rng: random.Random) -> None:
    def change(branch: InjectedBranch) -> None:
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        for parameter in branch.frozen.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)

    _on_branches(patch, change)


def second_copy_forgotten(patch: Patch, rng: random.Random) -> None:
    patch.setattr(InjectedBranch, "forward", lambda self, y, x: y + self.fresh(x))


def added_before_it_is_subtracted(patch: Patch, rng: random.Random) -> None:
    """The same over the real numbers, and rounded."""
    patch.setattr(InjectedBranch, "forward", lambda self, y, x: y + self.fresh(x) - self.frozen(x))


def copies_drawn_from_the_users_random_state(patch: Patch, rng: random.Random) -> None:
    patch.setattr(injected, "forked_random_state", lambda seed: nullcontext())


# -- what learns -----------------------------------------------------------------------------------


def second_copy_learns(patch: Patch, rng: random.Random) -> None:
    _on_branches(patch, lambda branch: branch.frozen.requires_grad_(True))


def what_was_there_goes_on_learning(patch: Patch, rng: random.Random) -> None:
    def change(self: Any, edit: Any) -> None:
        self._model.get_parameter(rng.choice(edit.freezes)).requires_grad_(True)

    _after_succession(patch, change)


def first_copy_does_not_learn(patch: Patch, rng: random.Random) -> None:
    def change(self: Any, edit: Any) -> None:
        for name in edit.heirs:
            self._model.get_parameter(name).requires_grad_(False)

    _after_succession(patch, change)


def gradient_of_what_was_there_left(patch: Patch, rng: random.Random) -> None:
    def change(self: Any, edit: Any) -> None:
        parameter = self._model.get_parameter(rng.choice(edit.freezes))
        parameter.grad = torch.ones_like(parameter)

    _after_succession(patch, change)


# -- what an optimizer holds -----------------------------------------------------------------------


def first_copy_in_no_optimizer(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Joining, "join", lambda self, new, leaders: None)


def what_was_there_held_by_the_optimizer(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Leaving, "leave", lambda self, gone: None)


def moments_of_others_lost_with_it(patch: Patch, rng: random.Random) -> None:
    leave = Leaving.leave

    def wrong(self: Leaving, gone: Any) -> None:
        leave(self, gone)
        if gone:
            for optimizer in self._optimizers:
                optimizer.state.clear()

    patch.setattr(Leaving, "leave", wrong)
