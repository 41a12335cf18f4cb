"""Several environments stepped together, each episode seeded by its place in the run.

Gymnasium's SyncVectorEnv copies, checks and collects information dictionaries that nobody reads
here; this loop does what PPO needs and nothing else. The seed of an episode is a function of (key,
environment, episode number), where the key is chosen at `restart`: nothing about the environments
has to be stored to repeat a run from a restart on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import gymnasium as gym
import numpy as np

__all__ = ["Episode", "StepResult", "VectorEnv", "episode_seed"]


@final
@dataclass(frozen=True)
class Episode:
    """One finished episode."""

    episode_return: float
    length: int
    success: bool
    index: int
    """Its number: with `order="shared"` the place in one common sequence of levels."""


@final
@dataclass(frozen=True)
class StepResult:
    """What one step of all environments gave; arrays are fresh except the observations."""

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    finals: list[tuple[int, np.ndarray]]
    """For each truncated environment what it saw last: the value there is the bootstrap."""


def episode_seed(key: Sequence[int], environment: int, episode: int) -> int:
    """The seed of an episode: independent streams for different places in the run."""
    sequence = np.random.SeedSequence([*key, environment, episode])
    return int(sequence.generate_state(1)[0])


@final
class VectorEnv:
    """Steps `count` environments; a finished one starts its next episode at once."""

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], count: int) -> None:
        self.envs = [make() for _ in range(count)]
        self.action_space = self.envs[0].action_space
        space = self.envs[0].observation_space
        assert space.shape is not None
        assert space.dtype is not None
        self.observations = np.zeros((count, *space.shape), dtype=space.dtype)
        self.finished: list[Episode] = []
        self._returns = [0.0] * count
        self._lengths = [0] * count
        self._episodes = [0] * count
        self._key: tuple[int, ...] = ()
        self._next_shared: int | None = None

    def __len__(self) -> int:
        return len(self.envs)

    def restart(self, key: Sequence[int], shared_order: bool = False) -> np.ndarray:
        """Start afresh in every environment; unfinished episodes are dropped.

        With `shared_order` the environments take their levels from one common sequence, so that the
        first n levels are the same for any number of environments (evaluation).
        """
        self._key = tuple(key)
        self._next_shared = 0 if shared_order else None
        self.finished.clear()
        self._episodes = [-1] * len(self.envs)
        for i in range(len(self.envs)):
            self._begin(i)
        return self.observations

    def step(self, actions: np.ndarray) -> StepResult:
        """Step every environment."""
        count = len(self.envs)
        rewards = np.zeros(count, dtype=np.float32)
        terminated, truncated = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        finals = []
        for i, env in enumerate(self.envs):
            observation, reward, terminal, cut, info = env.step(actions[i])
            rewards[i] = reward
            self._returns[i] += float(reward)
            self._lengths[i] += 1
            if not (terminal or cut):
                self.observations[i] = observation
                continue
            terminated[i], truncated[i] = terminal, cut and not terminal
            if truncated[i]:
                finals.append((i, np.array(observation)))
            self.finished.append(
                Episode(
                    self._returns[i],
                    self._lengths[i],
                    bool(info.get("is_success", False)),
                    self._episodes[i],
                )
            )
            self._begin(i)
        return StepResult(self.observations, rewards, terminated, truncated, finals)

    def take_finished(self) -> list[Episode]:
        """The episodes finished since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()

    def _begin(self, i: int) -> None:
        if self._next_shared is None:
            self._episodes[i] += 1
            seed = episode_seed(self._key, i, self._episodes[i])
        else:
            self._episodes[i], self._next_shared = self._next_shared, self._next_shared + 1
            seed = episode_seed(self._key, 0, self._episodes[i])
        self.observations[i], _ = self.envs[i].reset(seed=seed)
        self._returns[i], self._lengths[i] = 0.0, 0
