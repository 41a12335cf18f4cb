"""What masks cost TD3: updates with and without them, and events in which masks grow.

    python benchmarks/masks.py [--rounds 12]

Networks of 256-256 and batches of 256 on the dimensions of HalfCheetah; of the layers that
Neuroplastic Expansion makes sparse, all but the first and the last one of actor and critics, a
quarter of the weights is in use. Updates with and without masks take turns in one process, on one
thread. An event brings 0.8 % of the unused weights into use, by the size of gradients that are
there, with its certificate and the optimizers' state: of the actor alone, and of an agent with its
targets, recorded anew or with the recording of the event before.

Events of a run of Neuroplastic Expansion are measured as they happen there: with the batch that is
drawn for them, the gradients on it, churn, and what is written down. Where they prune, units are
called dormant that are not quite, so that there is something to prune each time. Counted is CPU
time. Writes `results/masks.json`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import numpy as np
import torch
from results import write_results
from torch import nn

import morphir
from morphir_agents.methods import MethodConfig
from morphir_agents.recipes import RECIPES
from morphir_agents.replay import Replay
from morphir_agents.td3 import TD3Config, interact, learn
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent
from morphir_agents.td3_trainer import TD3Trainer

_OBSERVATION: Final = 17
_ACTION: Final = 6
_UPDATES: Final = 150  # in a round
_EVENTS: Final = 25
_STEPS: Final = 500  # of a run, of which the first 300 are random
_STEPS_BETWEEN: Final = 20  # two events of it


class Side:
    """An agent that learns from random transitions."""

    def __init__(self, *, masked: bool) -> None:
        config, space = TD3Config(), gym.spaces.Box(-1.0, 1.0, (_ACTION,))
        self.agent = build_td3_agent(TD3NetworkConfig(), _OBSERVATION, space, 0.1, 0)
        critics = [p for critic in self.agent.critics for p in critic.parameters()]
        self.optimizers = [
            torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
            for parameters in ([*self.agent.actor.parameters()], critics)
        ]
        if masked:
            passes = [morphir.SparsifyPass(0.25, at=name) for name in self.agent.backbone]
            morphir.transform(
                self.agent, passes, optimizer=self.optimizers, inplace=True, **recorded_on()
            )
        self.learner = TD3Learner(self.agent, self.optimizers, config)
        self._generator = np.random.default_rng(0)
        self._replay = Replay(5_000, _OBSERVATION, _ACTION, config.batch)
        for _ in range(4_000):
            seen, after = self._generator.normal(size=(2, _OBSERVATION))
            action = self._generator.uniform(-1, 1, _ACTION)
            self._replay.add(seen, action, self._generator.normal(), False, after)

    def update(self) -> float:
        """CPU milliseconds of an update."""
        start = time.process_time()
        for number in range(1, _UPDATES + 1):
            batch = self._replay.sample(self._generator.random(256))
            noise = self._generator.standard_normal((256, _ACTION), dtype=np.float32)
            self.learner.update(batch, noise, number)
        return 1e3 * (time.process_time() - start) / _UPDATES


def recorded_on() -> dict[str, Any]:
    """What the agent is recorded on: its online networks, as targets are not touched."""
    seen, action = torch.randn(3, _OBSERVATION), torch.randn(3, _ACTION)
    inputs = {"act": (seen,), "get_values": (seen, action)}
    return {"example_inputs": inputs, "entry_points": tuple(inputs)}


def event(
    model: nn.Module, optimizers: Any, *, keeps: bool, **given: Any
) -> tuple[float, dict[str, float]]:
    """Milliseconds of growing the masks of a model in place, and of its phases: medians.

    That of the whole is CPU time.
    """
    found: list[float] = []
    phases: list[Mapping[str, float]] = []
    recording = None
    for _ in range(_EVENTS):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
        start = time.process_time()
        result = morphir.transform(
            model, morphir.MaskGrowPass(fraction=0.008), optimizer=optimizers, inplace=True,
            checks=("certificate",), recording=recording, **given,
        )  # fmt: skip
        recording = result.recording if keeps else None
        found.append(1e3 * (time.process_time() - start))
        phases.append(result.report.seconds)
    return statistics.median(found), {
        name: 1e3 * statistics.median(each[name] for each in phases) for name in phases[0]
    }


def neuroplastic(kind: str) -> float:
    """CPU milliseconds of an event of a run with a method: the median of some."""
    recipe = RECIPES["ne-halfcheetah"].config
    config = replace(
        recipe,
        network=TD3NetworkConfig(),
        td3=replace(recipe.td3, replay=2_000, random_steps=300),
        method=MethodConfig(kind, threshold=0.5),
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = TD3Trainer.start(config, Path(folder))
        trainer.method.begin(trainer)
        learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
        for number in range(_STEPS):
            interact(trainer)
            if trainer.step <= config.td3.random_steps:
                continue
            learn(trainer, learner)
            if number % _STEPS_BETWEEN == 0:
                start = time.process_time()
                events = trainer.method.act(trainer, learner)
                learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
                found.append(1e3 * (time.process_time() - start))
                kinds = ["grow", "prune"] if kind == "ne" else ["grow"]
                assert [each.kind for each in events] == kinds, events
    return statistics.median(found)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12, help="turns of each side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sides = Side(masked=False), Side(masked=True)
    for side in sides:
        side.update()
    rounds = [[side.update() for side in sides] for _ in range(options.rounds)]
    dense, masked = map(statistics.median, zip(*rounds, strict=True))
    actor, seen = sides[1].agent.actor, torch.randn(3, _OBSERVATION)
    agent, optimizers = sides[1].agent, sides[1].optimizers
    of_models = {
        "actor": event(actor, optimizers[0], keeps=True, example_inputs=(seen,)),
        "actor, recorded anew": event(actor, optimizers[0], keeps=False, example_inputs=(seen,)),
        "agent": event(agent, optimizers, keeps=True, **recorded_on()),
        "agent, recorded anew": event(agent, optimizers, keeps=False, **recorded_on()),
    }
    events = {name: cost for name, (cost, _) in of_models.items()} | {
        "run, grows": neuroplastic("ne-no-pruning"),
        "run, grows and prunes": neuroplastic("ne"),
    }
    print(f"update: {dense:.2f} ms dense, {masked:.2f} ms masked, ratio {dense / masked:.3f}")
    for name, cost in events.items():
        print(f"event, {name}: {cost:.1f} ms (target 20)")
    phases = {name: each for name, (_, each) in of_models.items()}
    row = {"dense_ms": dense, "masked_ms": masked, "ratio": dense / masked, "events_ms": events}
    row["phases_ms"] = phases
    print("written to", write_results("masks", [{**row, "rounds": rounds}]))


if __name__ == "__main__":
    main()
