"""Bugs to plant: each breaks one thing in a pass, in the backend or in an emitted model.

A bug is a function of pytest's monkeypatch and a random number generator. It never touches a
checker: what is on trial is whether the checkers find it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from morphir.blocks import BlockSpec
from morphir.passes import placed
from morphir.passes.surroundings import Activation, Surroundings
from tests.zoo.planting import Patch, nudge, on_blocks, on_emission, on_layers

Bug = Callable[[Patch, random.Random], None]


# -- the numbers of new layers -------------------------------------------------------------------


def rolled_eye(patch: Patch, rng: random.Random) -> None:
    shift = rng.randrange(1, 7)
    on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.roll(shift, 0)))


def flipped_eye(patch: Patch, rng: random.Random) -> None:
    on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.flip(0)))


def eye_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_layers(patch, lambda layer: nudge(layer.weight, rng))


def noisy_eye(patch: Patch, rng: random.Random) -> None:
    def change(layer: Any) -> None:
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        layer.weight += 1e-6 * torch.randn(layer.weight.shape, generator=generator)

    on_layers(patch, change)


def eye_without_its_last_half(patch: Patch, rng: random.Random) -> None:
    on_layers(patch, lambda layer: layer.weight[-4:].zero_())


def bias_not_zero(patch: Patch, rng: random.Random) -> None:
    on_layers(patch, lambda layer: layer.bias[rng.randrange(8)].fill_(rng.choice([1e-30, -1e-3])))


def tap_at_another_place(patch: Patch, rng: random.Random) -> None:
    axis = rng.choice([-1, -2])
    on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.roll(1, axis)))


def even_kernel_padded_on_the_other_side(patch: Patch, rng: random.Random) -> None:
    pads = BlockSpec._pads
    patch.setattr(BlockSpec, "_pads", lambda self: pads(self)[::-1])


def groups_mixed_up(patch: Patch, rng: random.Random) -> None:
    on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.roll(1, 1)))


def gate_not_zero(patch: Patch, rng: random.Random) -> None:
    on_blocks(patch, lambda block: nudge(block.last.weight, rng))


def blend_not_zero(patch: Patch, rng: random.Random) -> None:
    on_blocks(patch, lambda block: block.blend[rng.randrange(8)].fill_(1e-6))


def norm_without_its_eps(patch: Patch, rng: random.Random) -> None:
    """A batch norm of weight 1 and variance 1 divides by a little more than 1."""
    on_blocks(patch, lambda block: block.add_module("norm", nn.BatchNorm1d(8)))


def bias_where_there_was_none(patch: Patch, rng: random.Random) -> None:
    build = BlockSpec.build

    def wrong(self: BlockSpec, *args: Any) -> Any:
        block: Any = build(replace(self, bias=True), *args)
        with torch.no_grad():
            block.layer.bias.uniform_(
                -0.1, 0.1, generator=torch.Generator().manual_seed(rng.getrandbits(32))
            )
        return block

    patch.setattr(BlockSpec, "build", wrong)


# -- what the pass believes ----------------------------------------------------------------------


def believes_every_activation_fits(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Surroundings, "is_identity_at", lambda self, calls, activation: True)


def believes_every_activation_is_idempotent(patch: Patch, rng: random.Random) -> None:
    patch.setattr(Activation, "is_idempotent", True)


def forgets_the_activations_settings(patch: Patch, rng: random.Random) -> None:
    patch.setattr(placed, "BlockSpec", lambda **spec: BlockSpec(**{**spec, "settings": {}}))


def claims_another_law(patch: Patch, rng: random.Random) -> None:
    patch.setattr(BlockSpec, "law", property(lambda self: rng.choice(["DEEPER-2", "DEEPER-3"])))


def dead_block(patch: Patch, rng: random.Random) -> None:
    patch.setattr(BlockSpec, "_draw", lambda self, layer: None)


def changes_an_old_weight_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    """In the original, while the pass looks at it: the copy is made later, and has it too."""
    record_block = placed.record_block

    def wrong(spec: Any, placement: Any) -> Any:
        with torch.no_grad():
            nudge(VICTIM[0].get_parameter("0.weight"), rng)
        return record_block(spec, placement)

    from morphir.passes import deeper

    patch.setattr(deeper, "record_block", wrong)


VICTIM: list[nn.Module] = []  # the model that is about to be grown


def draws_from_the_users_random_state(patch: Patch, rng: random.Random) -> None:
    build = BlockSpec.build
    draw = rng.choice([torch.rand, lambda _: random.random()])
    patch.setattr(BlockSpec, "build", lambda self, *args: (draw(1), build(self, *args))[1])


# -- emission ------------------------------------------------------------------------------------


def old_weight_changed_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: nudge(model.get_parameter("0.weight"), rng))


def old_bias_changed_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: nudge(model.get_parameter("2.bias"), rng))


def noise_on_what_follows(patch: Patch, rng: random.Random) -> None:
    def change(model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        weight = model.get_parameter("2.weight")
        weight += 1e-6 * torch.randn(weight.shape, generator=generator)

    on_emission(patch, change)


def inserted_before_its_anchor(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        children = dict(model._modules)
        new = next(name for name in children if "deeper" in name)
        model._modules.clear()
        for name, child in children.items():
            if name == "1":
                model._modules[new] = children[new]
            if name != new:
                model._modules[name] = child

    on_emission(patch, change)


def inserted_twice(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        children = dict(model._modules)
        model._modules.clear()
        for name, child in children.items():
            model._modules[name] = child
            if "deeper" in name:
                model._modules["again"] = child

    on_emission(patch, change)


def activation_left_out(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: delattr(model.get_submodule("1_deeper1"), "activation"))


def another_eps(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.get_submodule("norm"), "eps", 1e-6))


def another_dropout(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: setattr(model.get_submodule("drop"), "p", 0.2))


def statistics_reset(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: model.get_submodule("norm").running_mean.zero_())
