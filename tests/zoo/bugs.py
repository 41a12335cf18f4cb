"""Bugs to plant: each breaks one thing in a pass, in the backend or in an emitted model.

A bug is a function of pytest's monkeypatch and a random number generator. It never touches a
checker: what is on trial is whether the checkers find it.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from morphir.backend.copying import Duplicate
from morphir.backend.surgery import Surgery
from morphir.blocks import BlockSpec
from morphir.passes import placed
from morphir.passes.surroundings import Activation, Surroundings
from morphir.state.optimizer import Joining

# The attribute `morphir.transform` is the function.
transform_module = importlib.import_module("morphir.transform")
Patch = pytest.MonkeyPatch
Bug = Callable[[Patch, random.Random], None]


def _on_layers(patch: Patch, change: Callable[[nn.Module], None]) -> None:
    """Does something to every inserted layer that was made an identity."""
    set_identity = BlockSpec._set_identity

    def wrong(self: BlockSpec, layer: Any) -> None:
        set_identity(self, layer)
        with torch.no_grad():
            change(layer)

    patch.setattr(BlockSpec, "_set_identity", wrong)


def _on_emission(patch: Patch, change: Callable[[nn.Module], None]) -> None:
    """Does something to the model after the edits were applied."""
    apply = Surgery.apply

    def wrong(self: Surgery, edits: Any) -> None:
        apply(self, edits)
        with torch.no_grad():
            change(self._model)

    patch.setattr(Surgery, "apply", wrong)


def _on_copy(patch: Patch, change: Callable[[nn.Module, nn.Module], None]) -> None:
    """Does something to the copy, or to the original, after the model was copied."""
    duplicate = transform_module.duplicate

    def wrong(model: nn.Module, optimizers: Any = ()) -> Duplicate:
        copied = duplicate(model, optimizers)
        with torch.no_grad():
            change(model, copied.model)
        return copied

    patch.setattr(transform_module, "duplicate", wrong)


def _nudge(tensor: torch.Tensor, rng: random.Random) -> None:
    """Moves one element by one ulp."""
    flat = tensor.view(-1)
    index = rng.randrange(flat.numel())
    flat[index] = torch.nextafter(flat[index], flat.new_tensor(9.0))


# -- the numbers of new layers -------------------------------------------------------------------


def rolled_eye(patch: Patch, rng: random.Random) -> None:
    shift = rng.randrange(1, 7)
    _on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.roll(shift, 0)))


def flipped_eye(patch: Patch, rng: random.Random) -> None:
    _on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.flip(0)))


def eye_off_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    _on_layers(patch, lambda layer: _nudge(layer.weight, rng))


def noisy_eye(patch: Patch, rng: random.Random) -> None:
    def change(layer: Any) -> None:
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        layer.weight += 1e-6 * torch.randn(layer.weight.shape, generator=generator)

    _on_layers(patch, change)


def eye_without_its_last_half(patch: Patch, rng: random.Random) -> None:
    _on_layers(patch, lambda layer: layer.weight[-4:].zero_())


def bias_not_zero(patch: Patch, rng: random.Random) -> None:
    _on_layers(patch, lambda layer: layer.bias[rng.randrange(8)].fill_(rng.choice([1e-30, -1e-3])))


def tap_at_another_place(patch: Patch, rng: random.Random) -> None:
    axis = rng.choice([-1, -2])
    _on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.roll(1, axis)))


def even_kernel_padded_on_the_other_side(patch: Patch, rng: random.Random) -> None:
    pads = BlockSpec._pads
    patch.setattr(BlockSpec, "_pads", lambda self: pads(self)[::-1])


def groups_mixed_up(patch: Patch, rng: random.Random) -> None:
    _on_layers(patch, lambda layer: layer.weight.copy_(layer.weight.roll(1, 1)))


def gate_not_zero(patch: Patch, rng: random.Random) -> None:
    build = BlockSpec.build

    def wrong(self: BlockSpec, *args: Any) -> Any:
        block: Any = build(self, *args)
        with torch.no_grad():
            _nudge(block.last.weight, rng)
        return block

    patch.setattr(BlockSpec, "build", wrong)


def blend_not_zero(patch: Patch, rng: random.Random) -> None:
    build = BlockSpec.build

    def wrong(self: BlockSpec, *args: Any) -> Any:
        block: Any = build(self, *args)
        with torch.no_grad():
            block.blend[rng.randrange(8)] = 1e-6
        return block

    patch.setattr(BlockSpec, "build", wrong)


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
            _nudge(VICTIM[0].get_parameter("0.weight"), rng)
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
    _on_emission(patch, lambda model: _nudge(model.get_parameter("0.weight"), rng))


def old_bias_changed_by_one_ulp(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: _nudge(model.get_parameter("2.bias"), rng))


def noise_on_what_follows(patch: Patch, rng: random.Random) -> None:
    def change(model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(rng.getrandbits(32))
        weight = model.get_parameter("2.weight")
        weight += 1e-6 * torch.randn(weight.shape, generator=generator)

    _on_emission(patch, change)


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

    _on_emission(patch, change)


def inserted_twice(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        children = dict(model._modules)
        model._modules.clear()
        for name, child in children.items():
            model._modules[name] = child
            if "deeper" in name:
                model._modules["again"] = child

    _on_emission(patch, change)


def activation_left_out(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: delattr(model.get_submodule("1_deeper1"), "activation"))


def another_eps(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: setattr(model.get_submodule("norm"), "eps", 1e-6))


def another_dropout(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: setattr(model.get_submodule("drop"), "p", 0.2))


def statistics_reset(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: model.get_submodule("norm").running_mean.zero_())


def hook_dropped(patch: Patch, rng: random.Random) -> None:
    _on_copy(patch, lambda old, new: new.get_submodule("0")._forward_hooks.clear())


def training_flag_lost(patch: Patch, rng: random.Random) -> None:
    _on_copy(patch, lambda old, new: new.get_submodule("0").eval())


def new_layer_in_another_mode(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: model.get_submodule("1_deeper1").eval())


def frozen_parameter_thawed(patch: Patch, rng: random.Random) -> None:
    _on_copy(patch, lambda old, new: new.get_parameter("0.bias").requires_grad_(True))


def new_layer_frozen(patch: Patch, rng: random.Random) -> None:
    _on_emission(patch, lambda model: model.get_submodule("1_deeper1").requires_grad_(False))


def tie_broken(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: Any) -> None:
        new.get_submodule("0").weight = nn.Parameter(new.get_parameter("0.weight").clone())

    _on_copy(patch, change)


def new_layer_tied_to_an_old_one(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        bias = model.get_submodule("1_deeper1").layer.bias
        bias.data = model.get_parameter("0.bias").data

    _on_emission(patch, change)


def memory_shared_with_the_original(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: nn.Module) -> None:
        new.get_parameter("2.weight").data = old.get_parameter("2.weight").data

    _on_copy(patch, change)


def key_renamed(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: Any) -> None:
        new._modules["last"] = new._modules.pop("2")

    _on_copy(patch, change)


# -- optimizers ----------------------------------------------------------------------------------


def new_parameter_left_out(patch: Patch, rng: random.Random) -> None:
    join = Joining.join

    def wrong(self: Joining, new: Any, leaders: Any) -> Any:
        return join(self, {k: v for k, v in new.items() if not k.endswith("bias")}, leaders)

    patch.setattr(Joining, "join", wrong)


def old_state_lost(patch: Patch, rng: random.Random) -> None:
    join = Joining.join

    def wrong(self: Joining, new: Any, leaders: Any) -> Any:
        for optimizer in self._optimizers:
            optimizer.state.pop(optimizer.param_groups[0]["params"][0], None)
        return join(self, new, leaders)

    patch.setattr(Joining, "join", wrong)


def option_changed(patch: Patch, rng: random.Random) -> None:
    join = Joining.join

    def wrong(self: Joining, new: Any, leaders: Any) -> Any:
        for optimizer in self._optimizers:
            optimizer.param_groups[0]["lr"] *= 2
        return join(self, new, leaders)

    patch.setattr(Joining, "join", wrong)
