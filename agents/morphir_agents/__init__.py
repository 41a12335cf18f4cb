"""Reinforcement learning agents whose networks grow while they learn.

`morphir-agents run RECIPE` is the command; `train` and `execute` are its parts for your own code.
"""

from morphir_agents.changes import Deepen, Widen
from morphir_agents.config import RunConfig, TD3RunConfig, from_json, to_json
from morphir_agents.deploy import DeployedActor, DeployedPolicy
from morphir_agents.envs import GymConfig, RoomConfig, VectorEnv
from morphir_agents.errors import AgentsError
from morphir_agents.evaluate import Evaluation, evaluate
from morphir_agents.folder import RunFolder
from morphir_agents.growth import GrowthConfig, GrowthEvent, GrowthRecord, grow
from morphir_agents.networks import Agent, NetworkConfig, build_agent
from morphir_agents.observer import Observer, Silent
from morphir_agents.ppo import PPOConfig, train
from morphir_agents.recipes import RECIPES, Recipe
from morphir_agents.replay import Replay
from morphir_agents.returns import generalised_advantages
from morphir_agents.runs import execute
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_networks import TD3Agent, TD3NetworkConfig, build_td3_agent
from morphir_agents.trainer import Trained

__all__ = [
    "RECIPES",
    "Agent",
    "AgentsError",
    "Deepen",
    "DeployedActor",
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
    "Replay",
    "RoomConfig",
    "RunConfig",
    "RunFolder",
    "Silent",
    "TD3Agent",
    "TD3Config",
    "TD3NetworkConfig",
    "TD3RunConfig",
    "Trained",
    "VectorEnv",
    "Widen",
    "build_agent",
    "build_td3_agent",
    "evaluate",
    "execute",
    "from_json",
    "generalised_advantages",
    "grow",
    "to_json",
    "train",
]
