"""The Gymnasium MuJoCo tasks, with the observation sizes that papers used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, final

import gymnasium as gym
import numpy as np

from morphir_agents.encoding import Encoding, Vector
from morphir_agents.errors import ConfigError, MissingExtraError

__all__ = ["GymConfig", "VectorObservationEnv"]


@final
@dataclass(frozen=True)
class GymConfig:
    """A Gymnasium task with a vector as observation: Ant and the other MuJoCo tasks."""

    kind: ClassVar[str] = "gym"

    id: str = "Ant-v5"
    """Gymnasium's name of the task. Ant-v4 has the GrowNN paper's 27-dimensional observation."""
    contact_forces: bool | None = None
    """Whether a v5 task shows contact forces (Ant-v5: 105 numbers or 27); None: its default."""
    max_episode_steps: int | None = None
    """Time limit of an episode; by default the task's own."""
    normalise_observations: bool = False
    """Scale observations by their running mean and standard deviation."""

    @property
    def title(self) -> str:
        """A short human name of this task."""
        return self.id + (" without contact forces" if self.contact_forces is False else "")

    def make(self) -> VectorObservationEnv:
        """Build one environment."""
        options: dict[str, Any] = {}
        if self.contact_forces is not None:
            options["include_cfrc_ext_in_observation"] = self.contact_forces
        try:
            with warnings.catch_warnings(), _quiet_mujoco():
                # Gymnasium calls v4 out of date; here it is chosen on purpose, for comparison with
                # papers.
                warnings.filterwarnings("ignore", message=".*is out of date.*")
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                env = gym.make(self.id, disable_env_checker=True, **options)
        except gym.error.DependencyNotInstalled as error:
            raise MissingExtraError(
                f"{self.id} needs MuJoCo ({error}). Install the extra: pip install "
                "'morphir[agents]'."
            ) from error
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"env.id is {self.id!r}; what is before the colon can't be imported: {error}. "
                "Install it, or give a name like Ant-v5."
            ) from error
        except gym.error.UnregisteredEnv as error:
            raise ConfigError(
                f"env.id is {self.id!r}: {error} Expected a name like Ant-v5 or HalfCheetah-v5."
            ) from error
        except TypeError as error:
            if self.contact_forces is None:
                raise
            raise ConfigError(
                f"env.contact_forces is set, but {self.id} has no such switch ({error}). Leave it "
                "out."
            ) from error
        return VectorObservationEnv(env, self.max_episode_steps, self.id)

    def encoding(self) -> Encoding:
        """The vector, normalised if the configuration says so."""
        env = self.make()
        size = int(np.prod(env.observation_space.shape or ()))
        env.close()
        return Vector(size, self.normalise_observations)


@final
class VectorObservationEnv(gym.Env[np.ndarray, Any]):
    """The bare task with its time limit and with actions clipped to their bounds.

    Gymnasium's wrappers cost about 100 microseconds per step, a fifth of an Ant step; counting
    steps and clipping is all that is needed of them.
    """

    def __init__(self, env: gym.Env[Any, Any], max_episode_steps: int | None, name: str) -> None:
        registered = env.spec.max_episode_steps if env.spec is not None else None
        self._limit = max_episode_steps or registered
        self._env = env.unwrapped
        self._steps = 0
        space = self._env.observation_space
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
            raise ConfigError(
                f"env.id is {name!r}, whose observation is {space}; expected a vector."
            )
        self.observation_space = space
        self.action_space = self._env.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        self._steps = 0
        return self._env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move one step."""
        if isinstance(self.action_space, gym.spaces.Box):
            action = np.clip(action, self.action_space.low, self.action_space.high)
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._steps += 1
        out_of_time = self._limit is not None and self._steps >= self._limit
        return observation, float(reward), bool(terminated), bool(truncated or out_of_time), info

    def close(self) -> None:
        """Close the task."""
        self._env.close()


@contextmanager
def _quiet_mujoco() -> Iterator[None]:
    """Keeps MuJoCo's warnings about Gymnasium's own models off the screen and out of files."""
    try:
        import mujoco
    except ImportError:  # Gymnasium says so itself, and better
        yield
        return
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
