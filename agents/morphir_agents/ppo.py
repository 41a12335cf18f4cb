"""Proximal policy optimisation for a network that may grow while it learns.

Read it from top to bottom: the settings, a rollout, the update, and `train`, which alternates the
two, grows the network when the schedule says so, evaluates, and writes checkpoints.

Where implementations differ, this one does the following.

1. An episode cut by its time limit is bootstrapped with the value of what was really seen last;
   only terminal states count as worth nothing (`returns.py`).
2. Advantages are normalised per minibatch; the value loss isn't clipped.
3. Weights start orthogonal, Adam has eps 1e-5, gradients are clipped by their global norm.
4. Actions are sampled in numpy from noise drawn for the whole rollout; log probabilities and
   entropies are written out. torch.distributions, unfused Adam and gradient tracking while acting
   cost about a third of the time.
5. Running moments change between rollouts only, so a rollout is learned from as it was collected.
6. All randomness is derived from (seed, step of the last grid point), and the environments start
   afresh at each grid point: a run that was killed and resumed equals one that wasn't, to the bit
   (`checkpoint.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import nn

from morphir_agents.encoding import Encoding
from morphir_agents.envs import Episode, VectorEnv
from morphir_agents.errors import ConfigError
from morphir_agents.growth import GrowthEvent, as_schedule, grow
from morphir_agents.networks import Agent
from morphir_agents.ppo_trainer import PPOTrainer
from morphir_agents.returns import generalised_advantages
from morphir_agents.trainer import Trained

if TYPE_CHECKING:
    from morphir_agents.config import RunConfig
    from morphir_agents.observer import Observer

__all__ = ["PPOConfig", "Rollout", "collect", "train", "update"]


@final
@dataclass(frozen=True)
class PPOConfig:
    """How PPO learns."""

    total_steps: int = 200_000
    """Environment steps of the whole run, rounded up to whole rollouts."""
    environments: int = 8
    """Environments stepped together."""
    rollout_steps: int = 256
    """Steps per environment between updates."""
    minibatch: int = 256
    """Samples per gradient step."""
    epochs: int = 4
    """Passes over each rollout."""
    learning_rate: float = 3e-4
    """Adam's step size at the start."""
    final_learning_rate: float | None = None
    """Step size at the end, reached linearly; by default it stays as it is."""
    discount: float = 0.99
    """gamma: what a reward is worth one step later."""
    smoothing: float = 0.95
    """lambda of generalised advantage estimation: 0 trusts the value function, 1 the returns."""
    clip: float = 0.2
    """How far the new policy may move from the one that collected the rollout."""
    entropy: float = 0.01
    """Weight of the entropy bonus at the start."""
    final_entropy: float | None = None
    """Weight of the entropy bonus at the end, reached linearly; by default it stays as it is."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    max_gradient_norm: float = 0.5
    """Gradients with a larger global norm are scaled down to it."""
    normalise_advantages: bool = True
    """Scale advantages to mean 0 and variance 1 per minibatch."""
    normalise_rewards: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    target_kl: float | None = None
    """Stop an update's remaining epochs once the policy has moved this far."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "environments", "rollout_steps", "minibatch", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"ppo.{name} is {getattr(self, name)}; expected at least 1.")
        if self.minibatch > self.batch:
            raise ConfigError(
                f"ppo.minibatch is {self.minibatch}, larger than a rollout of "
                f"{self.environments} x {self.rollout_steps} = {self.batch} samples."
            )
        for name in ("discount", "smoothing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"ppo.{name} is {getattr(self, name)}; expected between 0 and 1.")
        if self.learning_rate <= 0.0:
            raise ConfigError(f"ppo.learning_rate is {self.learning_rate}; expected more than 0.")

    @property
    def batch(self) -> int:
        """Samples per rollout."""
        return self.environments * self.rollout_steps

    @property
    def last_step(self) -> int:
        """Where the run ends: `total_steps` rounded up to whole rollouts."""
        return math.ceil(self.total_steps / self.batch) * self.batch

    def at(self, name: str, step: int) -> float:
        """The annealed value of `learning_rate` or `entropy` at a step."""
        start, end = getattr(self, name), getattr(self, f"final_{name}")
        if end is None:
            return float(start)
        return float(start + (end - start) * min(1.0, step / self.total_steps))


@final
class Rollout:
    """Memory of one rollout; every array has the shape (time, environments, ...)."""

    def __init__(self, config: PPOConfig, vector: VectorEnv, encoding: Encoding) -> None:
        shape = (config.rollout_steps, config.environments)
        # torch allocates aligned memory; numpy doesn't, and alignment can change the last bit of a
        # matrix product.
        self.observations = torch.zeros((*shape, *encoding.shape), dtype=encoding.dtype)
        self.raw = np.zeros((*shape, *encoding.raw_shape), vector.observations.dtype)
        space = vector.action_space
        self.action_shape = space.shape or ()
        self.outputs = int(getattr(space, "n", 0)) or int(np.prod(self.action_shape))
        self.values = np.zeros(shape, np.float32)
        self.rewards = np.zeros(shape, np.float32)
        self.terminated, self.truncated = np.zeros(shape, bool), np.zeros(shape, bool)
        self.final_values = np.zeros(shape, np.float32)
        self.last_values = np.zeros(config.environments, np.float32)
        self.actions = np.zeros(
            (*shape, *self.action_shape), np.float32 if self.action_shape else np.int64
        )
        self.log_probabilities = np.zeros(shape, np.float32)


def collect(
    agent: Agent,
    vector: VectorEnv,
    encoding: Encoding,
    rollout: Rollout,
    generator: np.random.Generator,
) -> list[Episode]:
    """Fill the rollout by acting in the environments; returns the episodes that ended."""
    steps, count = rollout.rewards.shape
    noise = agent.noise((steps, count, rollout.outputs), generator)
    outputs = np.zeros_like(noise)
    observations = rollout.observations.numpy()
    cuts: list[tuple[int, int, np.ndarray]] = []

    with torch.inference_mode():
        for t in range(steps):
            rollout.raw[t] = vector.observations
            observations[t] = encoding.encode(vector.observations)
            output, value = agent.policy_and_value(rollout.observations[t])
            outputs[t], rollout.values[t] = output.numpy(), value.numpy()
            rollout.actions[t] = agent.sample(outputs[t], noise[t])
            result = vector.step(rollout.actions[t])
            rollout.rewards[t] = result.rewards
            rollout.terminated[t], rollout.truncated[t] = result.terminated, result.truncated
            cuts += [(t, i, seen) for i, seen in result.finals]

        last = torch.tensor(encoding.encode(vector.observations))
        rollout.last_values[:] = agent.get_value(last).numpy()
        if cuts:
            seen = torch.tensor(encoding.encode(np.stack([raw for _, _, raw in cuts])))
            where = ([t for t, _, _ in cuts], [i for _, i, _ in cuts])
            rollout.final_values[where] = agent.get_value(seen).numpy()

    rollout.log_probabilities[:] = agent.log_probability(outputs, rollout.actions)
    return vector.take_finished()


def update(
    agent: Agent,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    config: PPOConfig,
    step: int,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Learn from a rollout; returns the means of the losses over all gradient steps."""
    advantages, targets = generalised_advantages(
        rollout.rewards,
        rollout.values,
        rollout.last_values,
        rollout.terminated,
        rollout.truncated,
        rollout.final_values,
        config.discount,
        config.smoothing,
    )
    flat = [
        torch.from_numpy(array.reshape(config.batch, *array.shape[2:]).astype(dtype))
        for array, dtype in (
            (rollout.actions, rollout.actions.dtype),
            (rollout.log_probabilities, np.float32),
            (advantages, np.float32),
            (targets, np.float32),
        )
    ]
    data = [rollout.observations.flatten(0, 1), *flat]
    entropy_weight = config.at("entropy", step)
    for group in optimizer.param_groups:
        group["lr"] = config.at("learning_rate", step)
    parameters = list(agent.parameters())

    losses: list[torch.Tensor] = []
    log_ratios: list[torch.Tensor] = []
    for _ in range(config.epochs):
        order = torch.from_numpy(generator.permutation(config.batch))
        for chosen in order.split(config.minibatch):
            obs, action, old_log_probability, advantage, target = (
                tensor.index_select(0, chosen) for tensor in data
            )
            _, log_probability, entropy, value = agent.get_action_and_value(obs, action)
            if config.normalise_advantages and len(chosen) > 1:
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

            log_ratio = log_probability - old_log_probability
            ratio = log_ratio.exp()
            clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
            policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
            value_loss = 0.5 * (value - target).square().mean()
            entropy_mean = entropy.mean()
            loss = policy_loss + config.value_weight * value_loss - entropy_weight * entropy_mean

            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm, foreach=True)
            optimizer.step()

            losses.append(torch.stack([policy_loss, value_loss, entropy_mean]).detach())
            log_ratios.append(log_ratio.detach())
        if config.target_kl is not None:
            epoch = torch.cat(log_ratios[-len(order.split(config.minibatch)) :])
            if _divergence(epoch) > config.target_kl:
                break

    moved = torch.cat(log_ratios)
    policy_mean, value_mean, entropy_mean = torch.stack(losses).mean(0)
    return {
        "policy_loss": float(policy_mean),
        "value_loss": float(value_mean),
        "entropy": float(entropy_mean),
        "approx_kl": _divergence(moved),
        "clip_fraction": float(((moved.exp() - 1.0).abs() > config.clip).float().mean()),
        "explained_variance": float(
            1.0 - np.var(targets - rollout.values) / (np.var(targets) + 1e-12)
        ),
        "learning_rate": config.at("learning_rate", step),
        "entropy_weight": entropy_weight,
    }


def _divergence(log_ratio: torch.Tensor) -> float:
    """An unbiased estimate, never negative, of the divergence from the collecting policy."""
    return float((log_ratio.exp() - 1.0 - log_ratio).mean())


def train(
    config: RunConfig,
    folder: Path,
    observer: Observer,
    schedule: Sequence[tuple[int, Any]] | None = None,
) -> Trained:
    """Train until the end or an interruption; continues from the last checkpoint in `folder`.

    Args:
        config: The run.
        folder: Where its checkpoints are.
        observer: Is told what happens, and asked whether to stop.
        schedule: (step, pass) pairs instead of `config.growth`; give the same ones again to resume.
    """
    torch.set_num_threads(config.threads)
    ppo = config.ppo
    events: tuple[GrowthEvent, ...] = (
        config.growth.schedule(config.network, ppo.total_steps, config.seed)
        if schedule is None
        else as_schedule(schedule)
    )
    trainer = PPOTrainer.start(config, folder)
    rollout = Rollout(ppo, trainer.vector, trainer.encoding)
    observer.begins(trainer.step, trainer.agent, trainer.resumed)
    if not trainer.resumed:
        _grow_if_due(trainer, events, observer)
        observer.settles(trainer.step)
        trainer.save()

    while trainer.step < ppo.last_step:
        before = trainer.step
        episodes = collect(
            trainer.agent, trainer.vector, trainer.encoding, rollout, trainer.generator
        )
        trainer.encoding.observe(rollout.raw.reshape(-1, *rollout.raw.shape[2:]))
        if ppo.normalise_rewards:
            ended = rollout.terminated | rollout.truncated
            rollout.rewards[:] = trainer.rewards.scale(rollout.rewards, ended)
        losses = update(
            trainer.agent, trainer.optimizer, rollout, ppo, trainer.step, trainer.generator
        )
        trainer.step += ppo.batch
        trainer.updates += 1
        observer.updated(trainer.step, trainer.updates, episodes, losses, trainer.agent)
        _grow_if_due(trainer, events, observer)
        if trainer.evaluate_and_save(before, observer):
            break
    return trainer.close()


def _grow_if_due(trainer: PPOTrainer, events: Sequence[GrowthEvent], observer: Observer) -> None:
    """Grow before the checkpoint of the same step is written: a resumed run must not grow twice."""
    while trainer.grown < len(events) and events[trainer.grown].step <= trainer.step:
        example = torch.tensor(trainer.encoding.encode(trainer.vector.observations))
        grown = grow(trainer.agent, trainer.optimizer, events[trainer.grown], example, trainer.step)
        trainer.grown += 1
        if grown is not None:
            trainer.agent, trainer.optimizer, record = grown
            observer.grew(record)
