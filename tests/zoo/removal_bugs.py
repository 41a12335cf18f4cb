"""Bugs to plant where something goes: dead units, constants, copies, layers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from morphir.backend import resizing, scaling, splitting
from morphir.ir import Resize
from morphir.passes import compact, constants, prune, shallower
from morphir.passes.units import Known, Units
from morphir.state.leaving import Leaving
from tests.zoo.planting import Patch, on_emission, on_numbers

_SMALL = 1e-12


def _also_dead(patch: Patch, unit: int) -> None:
    """Takes one more unit of eight for dead."""
    dead = Units.dead

    def wrong(self: Units, known: Known) -> Any:
        found = dead(self, known)
        found[unit] = True
        return found

    patch.setattr(Units, "dead", wrong)
    patch.setattr(Units, "claims", lambda self, tensors, *_: dict(tensors))


# -- units that do nothing -------------------------------------------------------------------------


def silent_on_some_data_taken_for_dead(patch: Patch, rng: random.Random) -> None:
    """Unit 3 is silent on every input within -1 and 1, and the report calls it proved."""
    _also_dead(patch, 3)


def dead_for_one_reader_only(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Units, "dead", lambda self, known: ~self.alive(self.totals[0], known))
    patch.setattr(Units, "claims", lambda self, tensors, *_: dict(tensors))


def small_taken_for_zero(patch: Patch, rng: random.Random) -> None:
    def wrong(self: Units, term: Any, known: Known) -> Any:
        box = known.box(term.tensor)
        size = None if box is None else torch.maximum(box.low.abs(), box.high.abs())
        found = None if size is None else term.over(size > _SMALL, self.leaf.size)
        return np.ones(self.leaf.size, bool) if found is None else found

    patch.setattr(Units, "_nonzero", wrong)
    patch.setattr(Units, "claims", lambda self, tensors, *_: dict(tensors))


def next_unit_removed(patch: Patch, rng: random.Random) -> None:
    without = prune.without
    patch.setattr(prune, "without", lambda size, gone: without(size, [unit + 1 for unit in gone]))


def zeros_claimed_that_are_none(patch: Patch, rng: random.Random) -> None:
    """What reads a unit that is 0 itself is said to be 0 as well."""
    patch.setattr(Units, "claims", lambda self, tensors, *_: dict(tensors))


def bounds_forgotten(patch: Patch, rng: random.Random) -> None:
    patch.setattr(prune, "Resize", lambda *a, **k: Resize(*a, **{**k, "box": None}))


def wider_bounds_declared_than_used(patch: Patch, rng: random.Random) -> None:
    wider = {"x": (-rng.uniform(1.1, 9), rng.uniform(1.1, 9))}
    patch.setattr(prune, "Resize", lambda *a, **k: Resize(*a, **{**k, "box": wider}))


def bounds_of_another_input(patch: Patch, rng: random.Random) -> None:
    other = {"y": (-1.0, 1.0)}
    patch.setattr(prune, "Resize", lambda *a, **k: Resize(*a, **{**k, "box": other}))


def statistics_of_the_next_unit(patch: Patch, rng: random.Random) -> None:
    name = rng.choice(["running_mean", "running_var"])
    on_numbers(patch, f"1.{name}", lambda tensor: tensor.copy_(tensor.roll(-1)))


def bias_of_the_next_unit(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "fc.bias", lambda tensor: tensor.copy_(tensor.roll(-1)))


def neighbours_of_what_goes_taken_for_zero(patch: Patch, rng: random.Random) -> None:
    clear = Known.clear

    def wrong(self: Known, name: str, axis: int, positions: Any) -> None:
        last = self.state[name].shape[axis] - 1
        clear(self, name, axis, [*positions, *(min(p + 1, last) for p in positions)])

    patch.setattr(Known, "clear", wrong)


# -- constants -------------------------------------------------------------------------------------


def constant_removed_and_not_folded(patch: Patch, rng: random.Random) -> None:
    patch.setattr(resizing, "folded", lambda *_: {})


def constant_folded_into_one_reader_only(patch: Patch, rng: random.Random) -> None:
    folded = resizing.folded
    patch.setattr(resizing, "folded", lambda folds, numbers: folded([*folds][:1], numbers))


def constant_folded_twice(patch: Patch, rng: random.Random) -> None:
    folded = resizing.folded
    patch.setattr(resizing, "folded", lambda folds, numbers: folded([*folds, *folds], numbers))


def constant_before_its_activation_folded(patch: Patch, rng: random.Random) -> None:
    """Minus the number: relu(-1/2) is no 1/2."""
    folded = resizing.folded

    def wrong(folds: Any, numbers: Any) -> Any:
        negative = [
            type(fold)(fold.weight, fold.bias, tuple(-each for each in fold.constants))
            for fold in folds
        ]
        return folded(negative, numbers)

    patch.setattr(resizing, "folded", wrong)


def constant_folded_through_padding(patch: Patch, rng: random.Random) -> None:
    patch.setattr(constants, "_is_padded", lambda node: False)


# -- copies ----------------------------------------------------------------------------------------


def copies_by_their_weights_only(patch: Patch, rng: random.Random) -> None:
    """Unit 2 has the weights of unit 0, and another bias."""
    copies_in = compact.copies_in

    def wrong(units: Units, known: Known) -> list[int]:
        found = copies_in(units, known)
        found[2] = found[0]
        return found

    patch.setattr(compact, "copies_in", wrong)


def what_reads_copies_averaged(patch: Patch, rng: random.Random) -> None:
    name = rng.choice(["left", "right"])
    on_numbers(patch, f"{name}.weight", lambda rows: rows[:, 1].mul_(0.5))


def what_reads_the_first_copy_kept(patch: Patch, rng: random.Random) -> None:
    def wrong(tensor: torch.Tensor, atom: Any, axis: int) -> torch.Tensor:
        first = [positions[0] for positions in splitting.copies_of(atom.map)]
        return splitting._select(tensor, axis, first)

    patch.setattr(splitting, "_sum_atom", wrong)


def gradient_of_the_first_copy_kept(patch: Patch, rng: random.Random) -> None:
    patch.setitem(scaling._MERGED, "gradient", lambda each, sign, start: each[..., 0])


# -- layers ----------------------------------------------------------------------------------------


def believes_every_layer_is_an_identity(patch: Patch, rng: random.Random) -> None:
    patch.setattr(shallower, "law_of_removal", lambda *_: "SHALLOWER-1")


def neighbour_gone_as_well(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: model._modules.pop("next"))


def optimizer_holds_what_is_gone(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Leaving, "leave", lambda self, gone: None)


def old_weight_changed_on_the_way(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "fc.weight", lambda rows: rows.mul_(1 + 2**-20))
