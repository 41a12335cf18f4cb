"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018).

Read it from top to bottom: the settings, and `train`, which steps the environment, learns from the
replay buffer, evaluates, and writes checkpoints. The update itself is in `td3_learner.py`, the
networks are in `td3_networks.py`, and the defaults are those of the released code.

Where implementations differ, this one does the following.

1. Only terminal states end the bootstrap. An episode that is cut, by its time limit or because a
   run restarts its environment at a checkpoint, is continued with what it saw last.
2. Observations are not normalised. Actions are learned in [-1, 1] and scaled at the environment.
3. The first `random_steps` actions are uniform; `updates_per_step` updates follow each step after.
4. Transitions, noise and random actions are drawn in numpy, whatever the device, from one generator
   that is derived anew from (seed, step) at each checkpoint: a run that was killed and resumed
   equals one that wasn't, to the bit.
5. Several tasks are learned one after the other as `cycle.py` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch

from morphir_agents.errors import ConfigError
from morphir_agents.measures import measures
from morphir_agents.replay import Batch
from morphir_agents.td3_learner import TD3Learner, noise_for
from morphir_agents.td3_trainer import TD3Trainer
from morphir_agents.trainer import Trained

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.observer import Observer

__all__ = ["TD3Config", "interact", "learn", "train"]


@final
@dataclass(frozen=True)
class TD3Config:
    """How TD3 learns."""

    total_steps: int = 1_000_000
    """Environment steps of the whole run."""
    random_steps: int = 25_000
    """Steps with uniform actions at the start, before the first update; of each task in a cycle."""
    batch: int = 256
    """Transitions per update."""
    updates_per_step: int = 1
    """Updates after each step: the replay ratio."""
    replay: int = 1_000_000
    """Rows of the replay buffer: one per transition, and one more for each episode that was cut."""
    learning_rate: float = 3e-4
    """Adam's step size, for actor and critics."""
    discount: float = 0.99
    """gamma: what a reward is worth one step later."""
    tau: float = 0.005
    """The part of the way to the networks that the targets go when they are updated."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions, where 1 is half the range of an action."""
    target_noise: float = 0.2
    """Standard deviation of the noise on the target policy's actions, on the same scale."""
    target_noise_clip: float = 0.5
    """Where that noise is clipped."""
    policy_delay: int = 2
    """Updates of the critics per update of the actor and of all targets."""
    weight_clip: float = 0.0
    """kappa: after each step weights are clipped to kappa / sqrt(fan in); 0: they aren't. The paper
    on Neuroplastic Expansion takes 3 on MuJoCo, in all methods that it compares."""
    log_every: int = 1_000
    """Steps between two rows of the log."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "batch", "updates_per_step", "policy_delay", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"td3.{name} is {getattr(self, name)}; expected at least 1.")
        for name in (
            "random_steps",
            "exploration_noise",
            "target_noise",
            "target_noise_clip",
            "weight_clip",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"td3.{name} is {getattr(self, name)}; expected 0 or more.")
        for name in ("discount", "tau"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"td3.{name} is {getattr(self, name)}; expected between 0 and 1.")
        if not 0.0 < self.learning_rate < math.inf:
            raise ConfigError(f"td3.learning_rate is {self.learning_rate}; expected more than 0.")
        if self.replay < 2:
            raise ConfigError(f"td3.replay is {self.replay}; expected at least 2 rows.")


def interact(trainer: TD3Trainer) -> None:
    """Act once in the environment and remember what came of it."""
    vector, td3 = trainer.vector, trainer.config.td3
    observation = trainer.encoding.encode(vector.observations)
    if trainer.is_new and trainer.age < td3.random_steps:
        size = (1, trainer.agent.bounds[0].numel())
        action = trainer.generator.uniform(-1.0, 1.0, size).astype(np.float32)
    else:
        with torch.inference_mode():
            seen = torch.tensor(observation, device=trainer.agent.device)
            action = trainer.agent.explore(seen, trainer.generator)
    result = vector.step(trainer.agent.to_task(action))
    cut = bool(result.truncated[0])
    following = result.finals[0][1][None] if cut else result.observations
    trainer.replay.add(
        observation[0],
        action[0],
        float(result.rewards[0]),
        bool(result.terminated[0]),
        trainer.encoding.encode(following)[0],
    )
    if cut:
        trainer.replay.cut()
    trainer.step += 1


def learn(trainer: TD3Trainer, learner: TD3Learner) -> Batch:
    """Update the networks with transitions of the buffer, of which the last are returned."""
    generator, td3 = trainer.generator, trainer.config.td3
    for _ in range(td3.updates_per_step):
        share = trainer.method.share(generator)
        batch = trainer.replay.sample(generator.random(td3.batch), share)
        trainer.updates += 1
        learner.update(batch, noise_for(batch, generator), trainer.updates)
    return batch


def train(config: TD3RunConfig, folder: Path, observer: Observer) -> Trained:
    """Train until the end or an interruption; continues from the last checkpoint in `folder`.

    Args:
        config: The run.
        folder: Where its checkpoints are.
        observer: Is told what happens, and asked whether to stop.
    """
    torch.set_num_threads(config.threads)
    td3 = config.td3
    trainer = TD3Trainer.start(config, folder)
    method = trainer.method
    observer.begins(trainer.step, trainer.agent, trainer.resumed)
    if not trainer.resumed:
        observer.acted(method.begin(trainer))
    learner = TD3Learner(trainer.agent, trainer.optimizer, td3)
    trainer.announce(observer)

    while trainer.step < td3.total_steps:
        before, learned, age = trainer.step, trainer.updates, trainer.age
        interact(trainer)
        batch = learn(trainer, learner) if age >= td3.random_steps else None
        if trainer.step % td3.log_every == 0 or trainer.step == td3.total_steps:
            numbers = {}
            if batch is not None:
                numbers = {**learner.losses(batch), **measures(trainer.agent, batch)}
                numbers |= method.numbers()
            episodes = trainer.vector.take_finished()
            observer.updated(trainer.step, trainer.updates, episodes, numbers, trainer.agent)
        if method.is_due(learned, trainer.updates):
            observer.acted(method.act(trainer, learner))
            learner = TD3Learner(trainer.agent, trainer.optimizer, td3)
        trainer.evaluate_if_due(before, observer)
        if trainer.moves_on(observer):  # to the next task
            learner = TD3Learner(trainer.agent, trainer.optimizer, td3)
        if trainer.save_if_due(before, observer):
            break
    return trainer.close()
