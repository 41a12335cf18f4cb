"""The head of a task that an agent meets for the first time.

    CYCLE-3   all six networks get its inputs and outputs behind those that are there, PROVED to
              keep what these compute, with the optimizers' state; then its head is drawn as those
              of new networks for it alone, and is the same in the targets; what was injected
              cancels there too

morphir's passes give new inputs the weight 0. With that a unit of the first layer would do the same
for every observation of the task, and one whose bias is negative would be dead for ever, since its
weights get no gradient. No other task reads the new columns and rows, so they may hold anything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

import morphir
from morphir.ir.injection import IS_FROZEN, LEARNS
from morphir_agents.growth import GrowthRecord
from morphir_agents.heads import heads_of

if TYPE_CHECKING:
    from morphir_agents.td3_networks import TD3Agent

__all__ = ["add_head", "draw_head"]

_ROWS = 8
"""Of the batch that the networks are recorded with."""


def add_head(
    agent: TD3Agent, optimizers: list[torch.optim.Optimizer], task: int, seed: int, step: int
) -> GrowthRecord:
    """Give an agent the head of its next task, in place, and work on that from now on (CYCLE-3).

    Args:
        agent: It has a head for every task before.
        optimizers: Over actor and critics.
        task: Which of its tasks it meets.
        seed: Of the new head.
        step: The step to note in the record.
    """
    before = sum(parameter.numel() for parameter in agent.parameters())
    passes = _passes(agent, task)
    known = agent.parts[task - 1]
    example = (_example(agent, known.observation.stop), _example(agent, known.inputs.stop))

    start = time.perf_counter()
    agent.select(None)
    result = morphir.transform(
        agent,
        passes,
        optimizer=optimizers,
        example_inputs={"get_outputs": example},
        entry_points=("get_outputs",),
        inplace=True,
    )
    milliseconds = 1000 * (time.perf_counter() - start)
    agent.select(task)
    draw_head(agent, seed, task)

    layers, width = agent.hidden_layers, agent.hidden_width
    return GrowthRecord(
        step=step,
        layers_before=layers,
        layers_after=layers,
        width_before=width,
        width_after=width,
        parameters_before=before,
        parameters_after=sum(parameter.numel() for parameter in agent.parameters()),
        grade=result.report.grade.name,
        milliseconds=round(milliseconds, 3),
        passes=tuple(repr(each) for each in passes),
        report=str(result.report),
    )


def _passes(agent: TD3Agent, task: int) -> list[morphir.ExtendInputPass | morphir.ExtendOutputPass]:
    part = agent.parts[task]
    last = [name for name, layer in heads_of(agent) if layer.axis == 0]
    actors = [name for name in last if "actor" in name]
    critics = [name for name in last if "critic" in name]
    return [
        morphir.ExtendInputPass(at="observations", width=part.observation.stop),
        morphir.ExtendInputPass(at="inputs", width=part.inputs.stop),
        morphir.ExtendOutputPass(at=actors, width=part.action.stop),
        morphir.ExtendOutputPass(at=critics, width=part.value.stop),
    ]


def _example(agent: TD3Agent, width: int) -> torch.Tensor:
    return torch.linspace(-1.0, 1.0, _ROWS * width, device=agent.device).reshape(_ROWS, width)


@torch.no_grad()
def draw_head(agent: TD3Agent, seed: int, task: int) -> None:
    """Draw the head of the task that is selected as that of new networks for it alone (CYCLE-3)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([seed, 5, task]).generate_state(1)[0]))
        for name in ("actor", "critic1", "critic2"):
            network, target = agent.get_submodule(name), agent.get_submodule(f"target_{name}")
            drawn: dict[str, nn.Linear] = {}
            for (place, layer), (_, twin) in zip(heads_of(network), heads_of(target), strict=True):
                weight, _ = layer.used(layer.weight, layer.bias)
                key = place.replace(f".{IS_FROZEN}.", f".{LEARNS}.")  # which it cancels (INJECT-1)
                if key not in drawn:
                    drawn[key] = nn.Linear(weight.shape[1], weight.shape[0])
                for own in layer.own:
                    numbers = drawn[key].get_parameter(own)
                    for each in (layer, twin):
                        each.part_of(each.get_parameter(own)).copy_(numbers)
