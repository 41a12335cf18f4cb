"""Bugs to plant where numbers and masks change: what is in use, and what optimizers keep of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from morphir import recordings
from morphir.backend import surgery
from morphir.masks import Masks
from morphir.passes import prune, reset, truncate
from morphir.state.transport import Transport
from tests.zoo.planting import Patch, on_numbers


def _once_given(patch: Patch, change: Callable[[Any, Any, dict[str, Any]], object]) -> None:
    """Does something once numbers and masks were given, with what they were before."""
    put = surgery.put_numbers

    def wrong(model: nn.Module, edit: Any) -> Iterator[Any]:
        before = {name: each.detach().clone() for name, each in model.state_dict().items()}
        yield from put(model, edit)
        with torch.no_grad():
            change(model, edit, before)

    patch.setattr(surgery, "put_numbers", wrong)


def _on_given(patch: Patch, change: Callable[[Any], Any]) -> None:
    """Gives other numbers and masks than were planned."""
    put = surgery.put_numbers
    patch.setattr(surgery, "put_numbers", lambda model, edit: put(model, change(edit)))


def _one_of(places: torch.Tensor, rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.choice(places.nonzero().tolist()))


# -- masks -----------------------------------------------------------------------------------------


def new_weight_not_zero(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        layer = model[2]
        layer.weight[_one_of(layer.weight_mask > before["2.weight_mask"], rng)] = 1e-3

    _once_given(patch, change)


def masked_weight_not_zero(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        place = _one_of(before["2.weight_mask"] > model[2].weight_mask, rng)
        model[2].weight[place] = before["2.weight"][place]

    _once_given(patch, change)


def wrong_side_of_the_mask(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        model[2].weight.copy_(before["2.weight"] * (1 - model[2].weight_mask))

    _once_given(patch, change)


def other_mask_changed_as_well(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        mask = model[4].weight_mask
        mask[_one_of(mask == 0, rng)] = 1

    _once_given(patch, change)


def mask_of_another_layer(patch: Patch, rng: random.Random) -> None:
    """Of a layer whose weight has the same shape."""
    _on_given(patch, lambda edit: replace(edit, masks={"4.weight": edit.masks["2.weight"]}))


def less_in_use_than_planned(patch: Patch, rng: random.Random) -> None:
    """One that begins to be used does not; it is 0 either way."""

    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        mask = model[2].weight_mask
        mask[_one_of(mask > before["2.weight_mask"], rng)] = 0

    _once_given(patch, change)


def mask_shared_with_the_target(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        for name in Masks(model.online).masks:
            online, target = (each.get_submodule(name[0]) for each in (model.online, model.target))
            target.weight_mask = online.weight_mask

    _once_given(patch, change)


def first_mask_not_saved(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        model[2].register_buffer("weight_mask", model[2].weight_mask, persistent=False)

    _once_given(patch, change)


def mask_of_new_units_that_of_others(patch: Patch, rng: random.Random) -> None:
    def change(mask: torch.Tensor) -> None:
        row = rng.choice(range(6, 9))
        mask[row] = 1 - mask[row]

    on_numbers(patch, "0.weight_mask", change)


# -- what starts anew ------------------------------------------------------------------------------


def outgoing_weights_of_new_units_not_zero(patch: Patch, rng: random.Random) -> None:
    begin = prune.numbers_anew

    def wrong(program: Any, *rest: Any) -> Any:
        numbers, places = begin(program, *rest)
        old = program.state["2.weight"].tensor.detach()
        return {**numbers, "2.weight": old.clone()}, places

    patch.setattr(prune, "numbers_anew", wrong)


def more_pruned_than_may_be(patch: Patch, rng: random.Random) -> None:
    drawn = truncate._drawn
    patch.setattr(truncate, "_drawn", lambda places, most, *rest: drawn(places, most + 1, *rest))


def drawn_from_the_users_random_state(patch: Patch, rng: random.Random) -> None:
    patch.setitem(reset._LAYER, "weight", lambda old, fan_in, generator: torch.rand(old.shape))


def neighbour_drawn_as_well(patch: Patch, rng: random.Random) -> None:
    def change(model: Any, edit: Any, before: dict[str, Any]) -> None:
        model[4].bias.uniform_(-0.1, 0.1)

    _once_given(patch, change)


# -- what optimizers keep --------------------------------------------------------------------------


def moments_of_what_begins_to_be_used_kept(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Transport, "forget", lambda self, changed, restarted=(): None)


def moments_of_what_stayed_cleared(patch: Patch, rng: random.Random) -> None:
    forget = Transport.forget

    def wrong(self: Transport, changed: Any, restarted: Any = ()) -> None:
        every = {name: torch.ones_like(places) for name, places in changed.items()}
        forget(self, every, restarted)

    patch.setattr(Transport, "forget", wrong)


def moments_cleared_in_place(patch: Patch, rng: random.Random) -> None:
    """Before anybody makes new ones of them."""
    forget = Transport.forget

    def wrong(self: Transport, changed: Any, restarted: Any = ()) -> None:
        for name in changed:
            for optimizer in self._optimizers:
                optimizer.state[self._model.get_parameter(name)]["exp_avg_sq"].zero_()
        forget(self, changed, restarted)

    patch.setattr(Transport, "forget", wrong)


def moments_of_another_parameter_cleared(patch: Patch, rng: random.Random) -> None:
    forget = Transport.forget

    def wrong(self: Transport, changed: Any, restarted: Any = ()) -> None:
        forget(self, {**changed, "4.bias": torch.ones(6, dtype=torch.bool)}, restarted)

    patch.setattr(Transport, "forget", wrong)


def steps_of_what_restarts_go_on(patch: Patch, rng: random.Random) -> None:
    forget = Transport.forget
    patch.setattr(Transport, "forget", lambda self, changed, restarted=(): forget(self, changed))


# -- recordings ------------------------------------------------------------------------------------


def attributes_taken_for_what_they_were(patch: Patch, rng: random.Random) -> None:
    patch.setattr(recordings, "attributes_of", lambda model: {})
