"""Bugs to plant in what belongs to a model beside its numbers: flags, hooks, memory, optimizers.

As in `tests/zoo/bugs.py`, a bug never touches a checker.
"""

from __future__ import annotations

import random
from typing import Any

from torch import nn

from morphir.state.optimizer import Joining
from tests.zoo import planting
from tests.zoo.planting import Patch, on_copy, on_emission


def hook_dropped(patch: Patch, rng: random.Random) -> None:
    on_copy(patch, lambda old, new: new.get_submodule("0")._forward_hooks.clear())


def training_flag_lost(patch: Patch, rng: random.Random) -> None:
    on_copy(patch, lambda old, new: new.get_submodule("0").eval())


def new_layer_in_another_mode(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: model.get_submodule("1_deeper1").eval())


def frozen_parameter_thawed(patch: Patch, rng: random.Random) -> None:
    on_copy(patch, lambda old, new: new.get_parameter("0.bias").requires_grad_(True))


def new_layer_frozen(patch: Patch, rng: random.Random) -> None:
    on_emission(patch, lambda model: model.get_submodule("1_deeper1").requires_grad_(False))


def tie_broken(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: Any) -> None:
        new.get_submodule("0").weight = nn.Parameter(new.get_parameter("0.weight").clone())

    on_copy(patch, change)


def new_layer_tied_to_an_old_one(patch: Patch, rng: random.Random) -> None:
    def change(model: Any) -> None:
        bias = model.get_submodule("1_deeper1").layer.bias
        bias.data = model.get_parameter("0.bias").data

    on_emission(patch, change)


def memory_shared_with_the_original(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: nn.Module) -> None:
        new.get_parameter("2.weight").data = old.get_parameter("2.weight").data

    on_copy(patch, change)


def gradient_shared_with_the_original(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: nn.Module) -> None:
        new.get_parameter("2.weight").grad = old.get_parameter("2.weight").grad

    on_copy(patch, change)


def buffer_shared_with_the_original(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: nn.Module) -> None:
        new.get_buffer("norm.running_mean").data = old.get_buffer("norm.running_mean").data

    on_copy(patch, change)


def gradient_doubled(patch: Patch, rng: random.Random) -> None:
    def change(model: nn.Module) -> None:
        model.get_parameter("2.weight").grad.mul_(2)

    on_emission(patch, change)


def key_renamed(patch: Patch, rng: random.Random) -> None:
    def change(old: nn.Module, new: Any) -> None:
        new._modules["last"] = new._modules.pop("2")

    on_copy(patch, change)


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


def moments_shared_with_the_original(patch: Patch, rng: random.Random) -> None:
    """The copies of the optimizers hold the tensors of the old ones."""
    kept = planting.transform_module.duplicate

    def wrong(model: nn.Module, optimizers: Any = ()) -> Any:
        copied = kept(model, optimizers)
        for old, new in zip(optimizers, copied.optimizers, strict=True):
            pairs = zip(old.state.values(), new.state.values(), strict=True)
            for was, now in pairs:
                now.update(was)
        return copied

    patch.setattr(planting.transform_module, "duplicate", wrong)


def joined_twice(patch: Patch, rng: random.Random) -> None:
    join = Joining.join

    def wrong(self: Joining, new: Any, leaders: Any) -> Any:
        join(self, new, leaders)
        self._optimizers[0].param_groups.append(
            {**self._optimizers[0].param_groups[0], "params": [*new.values()]}
        )

    patch.setattr(Joining, "join", wrong)


def squares_of_a_fresh_optimizer_kept(patch: Patch, rng: random.Random) -> None:
    """What the optimizer would start with for an old parameter, in place of what it has."""
    join = Joining.join

    def wrong(self: Joining, new: Any, leaders: Any) -> Any:
        for optimizer in self._optimizers:
            for state in optimizer.state.values():
                state["exp_avg_sq"].zero_()
        return join(self, new, leaders)

    patch.setattr(Joining, "join", wrong)
