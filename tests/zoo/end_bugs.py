"""Bugs to plant where inputs and outputs get longer, and where new units come from data."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import torch

from morphir.ir import FRESH, AxisMap, Resize, Rewriter
from morphir.passes import ends, extend
from tests.zoo.planting import Patch, on_numbers


def _longer_at_the_front(asked: Any, width: int) -> Any:
    found = ends.longer(asked, width)
    return {leaf: _turned(axis_map) for leaf, axis_map in found.items()}


def _turned(axis_map: AxisMap) -> AxisMap:
    new = len(axis_map.source) - axis_map.size
    return AxisMap.copies(axis_map.size, [*[FRESH] * new, *range(axis_map.size)])


def new_positions_in_front(patch: Patch, rng: random.Random) -> None:
    patch.setattr(extend, "longer", _longer_at_the_front)


def weights_of_new_inputs_not_zero(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "0.weight", lambda rows: rows[:, 4:].fill_(1e-30))


def old_outputs_moved(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "2.bias", lambda rows: rows.copy_(rows.roll(1)))


def longer_than_it_says(patch: Patch, rng: random.Random) -> None:
    extensions = extend.extensions
    patch.setattr(
        extend,
        "extensions",
        lambda *args: tuple(replace(e, new_size=e.new_size + 1) for e in extensions(*args)),
    )


def another_axis_said_to_be_longer(patch: Patch, rng: random.Random) -> None:
    extensions = extend.extensions
    patch.setattr(
        extend, "extensions", lambda *args: tuple(replace(e, axis=0) for e in extensions(*args))
    )


def longer_and_not_said_so(patch: Patch, rng: random.Random) -> None:
    """The edit has the change of the weights, and nothing about the output."""

    def apply(edit: Resize, width: int, rewriter: Rewriter) -> list[str]:
        rewriter.resize(replace(edit, outputs=()))
        return []

    patch.setattr(extend, "_apply", apply)


def outgoing_along_the_gradient_as_well(patch: Patch, rng: random.Random) -> None:
    """A first step of training, taken before anybody asked for it."""
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    on_numbers(patch, "2.weight", lambda rows: rows[:, 6:].normal_(std=1e-3, generator=generator))


def directions_in_the_rows_of_old_units(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "0.weight", lambda rows: rows[:3].copy_(rows[6:].clone()))


def fresh_outgoing_drawn_too(patch: Patch, rng: random.Random) -> None:
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    on_numbers(patch, "2.weight", lambda rows: rows[:, 6:].normal_(generator=generator))
