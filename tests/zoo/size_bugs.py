"""Bugs to plant where axes change: in the plan, in the numbers, in what follows them.

As in `tests/zoo/bugs.py`, a bug never touches a checker.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import torch
from torch import nn

from morphir.axes import AxisGroups
from morphir.backend import resizing
from morphir.backend.surgery import Surgery
from morphir.ir import Added, AxisMap, Mapped
from morphir.state import transport
from tests.zoo.planting import (
    Patch,
    Tensors,
    nudge,
    on_copy,
    on_emission,
    on_moments,
    on_numbers,
    on_plan,
    on_split,
)

# -- the plan --------------------------------------------------------------------------------------


def wrong_source_at_one_consumer(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        first, second = tensors["left.weight"]
        source = [*second.map.source]
        one, other = rng.sample(range(6), 2)
        source[one], source[other] = source[other], source[one]
        share = list(AxisMap.copies(6, source).share)
        tensors["left.weight"] = first, Mapped(6, AxisMap(6, tuple(source), tuple(share)), "split")

    on_plan(patch, change)


def consumer_forgotten_in_a_second_branch(patch: Patch, rng: random.Random) -> None:
    on_plan(patch, lambda tensors: tensors.pop("left.weight", None))


def copy_where_a_split_is_needed(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        first, second = tensors["left.weight"]
        tensors["left.weight"] = first, Mapped(second.size, second.map, "copy")

    on_plan(patch, change)


def split_where_a_copy_is_needed(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        (bias,) = tensors["fc.bias"]
        tensors["fc.bias"] = (Mapped(bias.size, bias.map, "split"),)

    on_plan(patch, change)


def offsets_of_a_concatenation_permuted(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        first, second = tensors["right.weight"]
        tensors["right.weight"] = first, Added(second.terms[::-1])

    on_plan(patch, change)


def keys_copied_like_queries(patch: Patch, rng: random.Random) -> None:
    def change(tensors: Tensors) -> None:
        for name in ("k.weight", "k.bias"):
            first, *rest = tensors[name]
            tensors[name] = (Mapped(first.size, first.map, "copy"), *rest)

    on_plan(patch, change)


def attribute_not_followed(patch: Patch, rng: random.Random) -> None:
    resize = AxisGroups.resize
    patch.setattr(
        AxisGroups, "resize", lambda self, maps, **options: (resize(self, maps, **options)[0], ())
    )


# -- the numbers -----------------------------------------------------------------------------------


def share_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "left.weight", lambda tensor: nudge(tensor, rng))


def copy_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "fc.weight", lambda tensor: nudge(tensor[6:], rng))


def other_tensor_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "left.bias", lambda tensor: nudge(tensor, rng))


def means_of_copies_not_copied(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "norm.running_mean", lambda tensor: tensor[6:].zero_())


def variances_of_copies_not_copied(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "norm.running_var", lambda tensor: tensor[6:].fill_(1.0))


def fresh_outgoing_not_zero(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "left.weight", lambda tensor: tensor[:, 6:].fill_(rng.choice([1e-30, 0.1])))


def shares_not_exact(patch: Patch, rng: random.Random) -> None:
    """A product with the share in place of subtraction."""
    on_split(patch, lambda old, new, axis, axis_map: axis_map.apply(old, axis, "split"))


def outgoing_split_forgotten(patch: Patch, rng: random.Random) -> None:
    on_split(patch, lambda old, new, axis, axis_map: axis_map.apply(old, axis, "copy"))


def divided_by_one_copy_too_many(patch: Patch, rng: random.Random) -> None:
    def wrong(old: torch.Tensor, new: torch.Tensor, axis: int, axis_map: AxisMap) -> torch.Tensor:
        counts = Counter(axis_map.source)
        each = torch.tensor([1 + counts[unit] for unit in axis_map.source])
        return axis_map.apply(old, axis, "copy") / each

    on_split(patch, wrong)


def divided_by_the_new_width(patch: Patch, rng: random.Random) -> None:
    on_split(
        patch,
        lambda old, new, axis, axis_map: (
            axis_map.apply(old, axis, "copy") / len(axis_map.source) * axis_map.size
        ),
    )


def only_the_new_copies_split(patch: Patch, rng: random.Random) -> None:
    def wrong(old: torch.Tensor, new: torch.Tensor, axis: int, axis_map: AxisMap) -> torch.Tensor:
        return torch.cat([old, new.narrow(axis, axis_map.size, 3)], axis)

    on_split(patch, wrong)


def last_copy_of_the_unit_before(patch: Patch, rng: random.Random) -> None:
    def change(rows: torch.Tensor) -> None:
        source = next(unit for unit in range(6) if torch.equal(rows[unit], rows[-1]))
        rows[-1] = rows[source - 1]

    on_numbers(patch, "fc.weight", change)


def noise_after_the_split(patch: Patch, rng: random.Random) -> None:
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    on_split(
        patch,
        lambda old, new, *_: new + 1e-6 * torch.randn(new.shape, generator=generator),
    )


def biases_of_copies_zero(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "fc.bias", lambda tensor: tensor[6:].zero_())


def variances_of_the_neighbours(patch: Patch, rng: random.Random) -> None:
    on_numbers(patch, "norm.running_var", lambda tensor: tensor[6:].copy_(tensor[5:8].clone()))


# -- what belongs to the numbers -------------------------------------------------------------------


def gradient_lost(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.get_parameter("fc.weight"), "grad", None))


def gradient_not_scaled(patch: Patch, rng: random.Random) -> None:
    def wrong(old: torch.Tensor, change: Any, kind: Any) -> torch.Tensor:
        for axis, each in enumerate(change):
            source = torch.from_numpy(each.relation.source)
            old = old.index_select(axis, source.clamp(min=0))
        return old

    patch.setattr(resizing, "scaled", wrong)


def tie_broken(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        model.other.weight = nn.Parameter(model.other.weight.detach().clone())

    on_emission(patch, change)


def identity_changed_in_place(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        weight = nn.Parameter(model.left.weight.detach().clone())
        weight.grad = model.left.weight.grad
        model.left.weight = weight

    on_emission(patch, change)


def counter_of_another_dtype(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        model.norm.num_batches_tracked = model.norm.num_batches_tracked.int()

    on_emission(patch, change)


def momentum_of_a_norm_changed(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.norm, "momentum", 0.5))


def keys_in_another_order(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: model._modules.update(left=model._modules.pop("left")))


def frozen_parameter_thawed(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: model.get_parameter("fc.bias").requires_grad_(True))


def original_changed(patch: Patch, rng: random.Random) -> None:
    on_copy(patch, lambda old, new: nudge(old.get_parameter("left.weight"), rng))


def original_widened(patch: Patch, rng: random.Random) -> None:
    """The memory of a parameter is still that of the original."""
    apply, seen = Surgery.apply, []
    on_copy(patch, lambda old, new: seen.append(old))

    def wrong(self: Surgery, edits: Any) -> None:
        apply(self, edits)
        seen[-1].get_parameter("fc.bias").data = self._model.get_parameter("fc.bias").data

    patch.setattr(Surgery, "apply", wrong)


# -- optimizers ------------------------------------------------------------------------------------


def moment_not_scaled(patch: Patch, rng: random.Random) -> None:
    def wrong(scaled: Any, old: torch.Tensor, change: Any, kind: Any, fresh: float) -> torch.Tensor:
        for axis, each in enumerate(change):
            source = torch.from_numpy(each.relation.source)
            old = old.index_select(axis, source.clamp(min=0))
        return old

    on_moments(patch, wrong)


def square_scaled_like_a_gradient(patch: Patch, rng: random.Random) -> None:
    on_moments(
        patch, lambda scaled, old, change, kind, fresh: scaled(old, change, "gradient", fresh)
    )


def moment_of_another_row(patch: Patch, rng: random.Random) -> None:
    shift = rng.randrange(1, 3)
    on_moments(patch, lambda scaled, old, *rest: scaled(old.roll(shift, 0), *rest))


def moment_reset(patch: Patch, rng: random.Random) -> None:
    on_moments(patch, lambda scaled, old, *rest: scaled(old, *rest).zero_())


def moment_left_as_it_was(patch: Patch, rng: random.Random) -> None:
    on_moments(patch, lambda scaled, old, *rest: old)


def moments_of_fresh_units_those_of_others(patch: Patch, rng: random.Random) -> None:
    def wrong(scaled: Any, old: torch.Tensor, change: Any, *rest: Any) -> torch.Tensor:
        new = scaled(old, change, *rest)
        if new.shape[0] > old.shape[0]:
            new[6:] = old[:3]
        return new

    on_moments(patch, wrong)


def step_reset(patch: Patch, rng: random.Random) -> None:
    apply = transport.Transport.apply

    def wrong(self: Any, edit: Any) -> None:
        apply(self, edit)
        for optimizer in self._optimizers:
            for state in optimizer.state.values():
                state["step"] = torch.zeros(())

    patch.setattr(transport.Transport, "apply", wrong)
