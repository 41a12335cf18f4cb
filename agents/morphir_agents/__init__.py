"""Reinforcement learning agents whose networks grow while they learn.

`morphir-agents run RECIPE` is the command; `train` and `execute` are its parts for your own code.
"""

from morphir_agents.changes import Deepen, Widen
from morphir_agents.config import RunConfig, from_json, to_json
from morphir_agents.deploy import DeployedPolicy
from morphir_agents.envs import GymConfig, RoomConfig, VectorEnv
from morphir_agents.errors import AgentsError
from morphir_agents.evaluate import Evaluation, evaluate
from morphir_agents.folder import RunFolder
from morphir_agents.growth import GrowthConfig, GrowthEvent, GrowthRecord, grow
from morphir_agents.networks import Agent, NetworkConfig, build_agent
from morphir_agents.observer import Observer, Silent
from morphir_agents.ppo import PPOConfig, Trained, train
from morphir_agents.recipes import RECIPES, Recipe
from morphir_agents.returns import generalised_advantages
from morphir_agents.runs import execute

__all__ = [
    "RECIPES",
    "Agent",
    "AgentsError",
    "Deepen",
    "DeployedPolicy",
    "Evaluation",
    "GrowthConfig",
    "GrowthEvent",
    "GrowthRecord",
    "GymConfig",
    "NetworkConfig",
    "Observer",
    "PPOConfig",
    "Recipe",
    "RoomConfig",
    "RunConfig",
    "RunFolder",
    "Silent",
    "Trained",
    "VectorEnv",
    "Widen",
    "build_agent",
    "evaluate",
    "execute",
    "from_json",
    "generalised_advantages",
    "grow",
    "to_json",
    "train",
]
