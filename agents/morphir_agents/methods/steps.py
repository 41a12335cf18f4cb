"""Adam's count of steps, which is one number for all of a tensor."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["restart_steps"]


def restart_steps(trainer: TD3Trainer, names: Collection[str]) -> None:
    """Let Adam count anew the steps of some parameters, in heads of other tasks as well.

    Moments stay.

    Args:
        trainer: Whose optimizers.
        names: Of parameters of its agent.
    """
    parameters = {trainer.agent.get_parameter(name) for name in names}
    for optimizer in trainer.optimizer:
        for parameter, state in optimizer.state.items():
            if parameter in parameters and isinstance(state.get("step"), torch.Tensor):
                state["step"].zero_()
    for key, entry in trainer.moments.items():
        name, _, what = key.partition(".")[2].rpartition(".")
        if what == "step" and name in names:
            entry.zero_()
