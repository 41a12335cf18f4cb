"""Bugs to plant where an axis has parts: heads, gates, groups, halves, blocks, and their seams."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import torch

from morphir.axes import obligations, polarity
from morphir.backend import resizing
from morphir.ir import AxisChange, AxisMap, Mapped, Multiplied
from tests.zoo.planting import Patch, Tensors, nudge, on_emission, on_numbers, on_plan, on_split


def _rotated(each: AxisChange) -> Mapped:
    """The same change with the units that come next."""
    assert isinstance(each, Mapped)
    assert each.map is not None
    source = [(unit + 1) % each.size for unit in each.map.source]
    return Mapped(each.size, AxisMap(each.size, tuple(source), each.map.share), each.polarity)


def _first(tensors: Tensors, names: Sequence[str], change: Any) -> None:
    """Does something to the first axis of tensors."""
    for name in names:
        axis, *rest = tensors[name]
        tensors[name] = (change(axis), *rest)


# -- streams and layers with two readers -----------------------------------------------------------


def branch_widened_with_a_map_of_its_own(patch: Patch, rng: random.Random) -> None:
    names = ("down.weight", "down.bias")
    on_plan(patch, lambda tensors: _first(tensors, names, _rotated))


def units_copied_unevenly_before_a_norm(patch: Patch, rng: random.Random) -> None:
    """The planner would refuse them: one unit is there three times, another once."""
    uneven = AxisMap.copies(6, (0, 1, 2, 3, 4, 5, 0, 0, 2, 3, 4, 5))

    def change(tensors: Tensors) -> None:
        for name, axes in tensors.items():
            tensors[name] = tuple(
                Mapped(6, uneven, axis.polarity) if axis.map is not None else axis for axis in axes
            )

    on_plan(patch, change)


def eps_of_the_norm_changed(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.get_submodule("norm"), "eps", 1e-4))


def normalised_over_the_old_width(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.get_submodule("norm"), "normalized_shape", (6,)))


def shared_layer_changed_at_one_call(patch: Patch, rng: random.Random) -> None:
    """The other name goes on with what was there before."""
    old: list[Any] = []
    resize = resizing.resize

    def wrong(model: Any, *args: Any) -> Any:
        old.append(copy.deepcopy(model.inner))
        yield from resize(model, *args)
        model.again = old[-1]

    from morphir.backend import surgery

    patch.setattr(surgery, "resize", wrong)


def shared_layer_made_two(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model, "again", copy.deepcopy(model.inner)))


def tied_weight_split_twice(patch: Patch, rng: random.Random) -> None:
    def again(old: Any, new: torch.Tensor, axis: int, axis_map: AxisMap) -> torch.Tensor:
        share = torch.tensor([float(each) for each in axis_map.share])
        return new * share

    on_split(patch, again)


def polarities_exchanged(patch: Patch, rng: random.Random) -> None:
    of = polarity.Polarities.of
    patch.setattr(
        polarity.Polarities, "of", lambda *args: "copy" if of(*args) == "split" else "split"
    )


def thirds_rounded(patch: Patch, rng: random.Random) -> None:
    on_split(patch, lambda old, new, axis, axis_map: axis_map.apply(old, axis, "split"))


def literal_not_minded(patch: Patch, rng: random.Random) -> None:
    """A number in the code is taken for one that follows."""
    patch.setattr(obligations.Obligations, "meet", lambda self: None)


# -- parts -----------------------------------------------------------------------------------------


def halves_interleaved(patch: Patch, rng: random.Random) -> None:
    """Unit by unit the two halves of a GLU, in place of one half after the other."""

    def change(rows: torch.Tensor) -> None:
        rows.copy_(rows.unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1).clone())

    on_numbers(patch, "up.weight", change)


def gate_of_another_unit(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        axis, rest = tensors["up.weight"]
        value, gate = axis.terms
        tensors["up.weight"] = type(axis)((value, _rotated(gate))), rest

    on_plan(patch, change)


def bias_for_a_layer_without_one(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        model.down.bias = torch.nn.Parameter(torch.randn(2, generator=generator))

    on_emission(patch, change)


def seam_off_by_one(patch: Patch, rng: random.Random) -> None:
    """The second operand of a concatenation is read from one column before its first."""
    on_numbers(patch, "head.weight", lambda rows: rows[:, 8:].copy_(rows[:, 8:].roll(1, 1)))


def other_operand_split_as_well(patch: Patch, rng: random.Random) -> None:
    """The columns of what did not change are halved, as if they had copies too."""
    on_numbers(patch, "head.weight", lambda rows: rows[:, 9:].mul_(0.5))


def _rotated_heads(axis: Multiplied) -> Multiplied:
    heads, *rest = axis.factors
    return Multiplied((_rotated(heads), *rest))


def queries_of_another_head(patch: Patch, rng: random.Random) -> None:
    names = ("q.weight", "q.bias")
    on_plan(patch, lambda tensors: _first(tensors, names, _rotated_heads))


def heads_permuted_before_attention_only(patch: Patch, rng: random.Random) -> None:
    """Queries, keys and values agree on the heads, and what reads them has other ones."""

    def change(tensors: Tensors) -> None:
        names = [f"{layer}.{key}" for layer in "qkv" for key in ("weight", "bias")]
        _first(tensors, names, _rotated_heads)

    on_plan(patch, change)


def heads_counted_before_groups(patch: Patch, rng: random.Random) -> None:
    """The output reads (queries of each group, groups) where the heads lie the other way round."""

    def change(tensors: Tensors) -> None:
        first, axis = tensors["out.weight"]
        groups, each, width = axis.factors
        tensors["out.weight"] = first, Multiplied((each, groups, width))

    on_plan(patch, change)


def scale_of_the_new_width(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model, "scale", 24**-0.5))


def gates_interleaved(patch: Patch, rng: random.Random) -> None:
    """Unit by unit the four gates, in place of one gate after the other."""

    def change(tensors: Tensors) -> None:
        def other_way(axis: Multiplied) -> Multiplied:
            return Multiplied(axis.factors[::-1])

        names = [name for name in tensors if name.startswith("cell.")]
        _first(tensors, names, other_way)

    on_plan(patch, change)


def gates_in_another_order(patch: Patch, rng: random.Random) -> None:
    def change(rows: torch.Tensor) -> None:
        rows.copy_(rows.unflatten(0, (4, -1))[[0, 1, 3, 2]].flatten(0, 1).clone())

    on_numbers(patch, f"cell.weight_hh_l{rng.randrange(2)}", change)


def recurrent_columns_copied(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        rows, columns = tensors["cell.weight_hh_l0"]
        tensors["cell.weight_hh_l0"] = rows, Mapped(columns.size, columns.map, "copy")

    on_plan(patch, change)


def second_layer_reads_other_units(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        rows, columns = tensors["cell.weight_ih_l1"]
        tensors["cell.weight_ih_l1"] = rows, _rotated(columns)

    on_plan(patch, change)


def one_of_two_biases_not_copied(patch: Patch, rng: random.Random) -> None:
    def change(rows: torch.Tensor) -> None:
        rows.unflatten(0, (3, -1))[:, 3:].zero_()

    on_numbers(patch, "cell.bias_hh_l0", change)


def copies_in_another_group(patch: Patch, rng: random.Random) -> None:
    """The new channels of each group of a convolution are copies of those of the other one."""

    def change(rows: torch.Tensor) -> None:
        groups = rows.unflatten(0, (2, -1))
        groups[:, 3:] = groups[:, 3:].flip(0)

    on_numbers(patch, "2.weight", change)


def groups_left_as_they_were(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.get_submodule("2"), "groups", 2))


def filter_of_the_channel_before(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "4.weight", lambda rows: rows[3:].copy_(rows[2:-1].clone()))


def channels_in_the_place_of_pixels(patch: Patch, rng: random.Random) -> None:
    """Behind a flatten the pixels are taken for the major factor of the columns."""

    def change(tensors: Tensors) -> None:
        first, axis = tensors["6.weight"]
        groups, channels, *pixels = axis.factors
        tensors["6.weight"] = first, Multiplied((groups, *pixels, channels))

    on_plan(patch, change)


def row_of_another_token(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "0.weight", lambda rows: rows.copy_(rows.roll(1, 0)))


def embedding_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "0.weight", lambda rows: nudge(rows, rng))
