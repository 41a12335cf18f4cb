"""Environments: MiniHack rooms, MuJoCo tasks, and the loop that steps several of them."""

from morphir_agents.envs.mujoco import GymConfig, VectorObservationEnv
from morphir_agents.envs.room import RoomConfig, RoomEnv
from morphir_agents.envs.vector import Episode, StepResult, VectorEnv, episode_seed

EnvConfig = RoomConfig | GymConfig

__all__ = [
    "EnvConfig",
    "Episode",
    "GymConfig",
    "RoomConfig",
    "RoomEnv",
    "StepResult",
    "VectorEnv",
    "VectorObservationEnv",
    "episode_seed",
]
