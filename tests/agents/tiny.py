"""Tiny environments whose best policy and values are known exactly."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Echo(gym.Env[np.ndarray, Any]):
    """Shows one of four symbols; naming it earns 1. Four steps an episode: the best return is 4."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (4,))
        self.action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._left = 4
        return self._show(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = float(action == self._symbol)
        self._left -= 1
        return self._show(), reward, self._left == 0, False, {"is_success": reward == 1.0}

    def _show(self) -> np.ndarray:
        self._symbol = int(self.np_random.integers(4))
        return np.eye(4)[self._symbol]


class Aim(gym.Env[np.ndarray, np.ndarray]):
    """Shows a point in [-1, 1]; the reward is minus the squared distance to half of it."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._left = 4
        return self._show(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = -float((action[0] - 0.5 * self._point) ** 2)
        self._left -= 1
        return self._show(), reward, self._left == 0, False, {}

    def _show(self) -> np.ndarray:
        self._point = float(self.np_random.uniform(-1, 1))
        return np.array([self._point])


class Salary(gym.Env[np.ndarray, Any]):
    """Pays 1 per step whatever is done, and is cut after five steps without ending.

    With discount 1/2 the value of its only observation is 1 / (1 - 1/2) = 2 if cuts are
    bootstrapped; were they taken for ends, it would be about 1.6.
    """

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._age = 0
        return np.ones(1), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._age += 1
        return np.ones(1), 1.0, False, self._age == 5, {}


class Wage(Salary):
    """The same pay for work of any amount: a salary with continuous actions."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,))


class Reach(gym.Env[np.ndarray, np.ndarray]):
    """Shows three numbers; the reward is minus the squared distance to twice two of them, plus 1.

    Other sizes than Aim's, and other bounds: actions lie in [-1, 3].
    """

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (3,))
        self.action_space = gym.spaces.Box(-1.0, 3.0, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._left = 4
        return self._show(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = -float(np.square(action - (2 * self._shown[:2] + 1)).sum())
        self._left -= 1
        return self._show(), reward, self._left == 0, False, {}

    def _show(self) -> np.ndarray:
        self._shown = self.np_random.uniform(-1, 1, 3)
        return self._shown


NAMES = {
    "tiny/Echo-v0": Echo,
    "tiny/Aim-v0": Aim,
    "tiny/Salary-v0": Salary,
    "tiny/Wage-v0": Wage,
    "tiny/Reach-v0": Reach,
}


def register() -> None:
    """Make the environments known to Gymnasium; can be called again."""
    for name, cls in NAMES.items():
        if name not in gym.registry:
            gym.register(name, entry_point=cls)
