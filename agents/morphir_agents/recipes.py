"""Named runs: complete settings that are known to work, and those of the GrowNN paper.

What is known about each stands in its description; `morphir-agents run NAME --help` shows every
setting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from morphir_agents.config import RunConfig, TD3RunConfig
from morphir_agents.cycle import CycleConfig
from morphir_agents.envs import GymConfig, RoomConfig
from morphir_agents.growth import GrowthConfig
from morphir_agents.methods import MethodConfig
from morphir_agents.networks import NetworkConfig
from morphir_agents.ppo import PPOConfig
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_networks import TD3NetworkConfig

__all__ = ["RECIPES", "Recipe"]


@final
@dataclass(frozen=True)
class Recipe:
    """A run and what it is for."""

    description: str
    config: RunConfig | TD3RunConfig


_ROOM = Recipe(
    "The 10x10 random room, solved by a network that grows 1 -> 2 -> 4 -> 8 layers, or in width, "
    "or in both (--growth wider, --growth both). What `make run` runs.",
    RunConfig(
        name="grownn-minihack-room",
        env=RoomConfig(),
        network=NetworkConfig(width=128, depth=1),
        growth=GrowthConfig(depths=(2, 4, 8), steps=(25_000, 50_000, 75_000)),
        ppo=PPOConfig(
            total_steps=180_224,
            # A large first step learns the room fast; annealing it and the entropy bonus to
            # zero leaves no level where the deterministic policy walks into a wall forever.
            learning_rate=1e-3,
            final_learning_rate=0.0,
            entropy=0.02,
            final_entropy=0.0,
            discount=0.95,
        ),
        eval_every=12_288,
    ),
)
_ROOM_PAPER = Recipe(
    "The GrowNN paper's network and settings on the 10x10 random room: whole map, 512 units, "
    "2 M steps. Hours of computing.",
    RunConfig(
        name="grownn-minihack-room-paper",
        env=RoomConfig(view="map"),
        network=NetworkConfig(architecture="grownn-minihack", width=512, depth=1),
        growth=GrowthConfig(depths=(2, 3, 4)),
        ppo=PPOConfig(
            total_steps=2_000_000,
            environments=5,
            rollout_steps=2048,
            minibatch=256,
            epochs=11,
            learning_rate=2.11e-4,
            entropy=0.005,
            normalise_advantages=False,
        ),
        checkpoint_every=102_400,
        eval_every=25_000,
        eval_episodes=10,
    ),
)
_ANT_PAPER = Recipe(
    "The GrowNN paper's network and settings on Ant-v4, 1 -> 4 blocks in 2 M steps.",
    RunConfig(
        name="grownn-ant",
        env=GymConfig("Ant-v4"),
        network=NetworkConfig(architecture="grownn-ant", width=64, depth=1),
        growth=GrowthConfig(depths=(2, 3, 4)),
        ppo=PPOConfig(
            total_steps=2_000_000,
            environments=5,
            rollout_steps=2048,
            minibatch=64,
            epochs=10,
            entropy=0.005,
            value_weight=0.001,
        ),
        checkpoint_every=102_400,
        eval_every=25_000,
        eval_episodes=10,
    ),
)
_ANT = Recipe(
    "Ant-v5 with good defaults: separate trunks, normalised observations and rewards, growing "
    "2 -> 3 -> 4.",
    RunConfig(
        name="ant",
        env=GymConfig("Ant-v5", contact_forces=False, normalise_observations=True),
        network=NetworkConfig(width=64, depth=2, shared=False),
        growth=GrowthConfig(depths=(3, 4)),
        ppo=PPOConfig(
            total_steps=1_000_000,
            environments=8,
            rollout_steps=256,
            minibatch=64,
            epochs=10,
            final_learning_rate=0.0,
            entropy=0.0,
            normalise_rewards=True,
        ),
        checkpoint_every=65_536,
        eval_every=65_536,
        eval_episodes=10,
        final_episodes=20,
    ),
)

_SMALL = TD3Config(
    total_steps=15_000,
    random_steps=1_000,
    batch=128,
    replay=20_000,
    learning_rate=1e-3,
    discount=0.98,
)
_PENDULUM = Recipe(
    "TD3 swings the pendulum up and holds it there, in half a minute.",
    TD3RunConfig(
        name="td3-pendulum",
        env=GymConfig("Pendulum-v1"),
        network=TD3NetworkConfig((64, 64)),
        td3=_SMALL,
        checkpoint_every=5_000,
        eval_every=1_000,
    ),
)
_HALFCHEETAH = Recipe(
    "TD3 with the settings of its released code on HalfCheetah-v5, 1 M steps: hours of computing. "
    "Other MuJoCo tasks with --env.id, the networks of Neuroplastic Expansion with "
    "--network.widths 256 128.",
    TD3RunConfig(name="td3-halfcheetah"),
)

_CYCLE = Recipe(
    "The tasks of Neuroplastic Expansion's continual adaptation, one after the other and three "
    "times, a million steps each, with a head per task on a shared backbone: 12 M steps, which "
    "take many hours.",
    TD3RunConfig(
        name="td3-cycle",
        cycle=CycleConfig(("HalfCheetah-v5", "Humanoid-v5", "Ant-v5", "Hopper-v5"), rounds=3),
        network=TD3NetworkConfig((256, 128)),
        td3=TD3Config(total_steps=12_000_000),
        checkpoint_every=200_000,  # of Humanoid's the buffer has 1.5 GB in the end
        eval_every=20_000,
    ),
)
_CYCLE_SMALL = Recipe(
    "A cycle of four small tasks, 10,000 steps each, three times: minutes of computing.",
    TD3RunConfig(
        name="td3-cycle-small",
        cycle=CycleConfig(
            ("Pendulum-v1", "InvertedDoublePendulum-v5", "Reacher-v5", "Pusher-v5"), rounds=3
        ),
        network=TD3NetworkConfig((64, 64)),
        td3=replace(_SMALL, total_steps=120_000),
        checkpoint_every=10_000,
        eval_every=2_000,
    ),
)

_NE = Recipe(
    "Neuroplastic Expansion on HalfCheetah-v5 with the networks and the clipping of the paper, 1 M "
    "steps: hours of computing. What it is compared with by --method: none, redo, reset, rigl, ...",
    TD3RunConfig(
        name="ne-halfcheetah",
        network=TD3NetworkConfig((256, 128)),
        td3=TD3Config(weight_clip=3.0),
        method=MethodConfig("ne"),
    ),
)

RECIPES: dict[str, Recipe] = {
    recipe.config.name: recipe
    for recipe in (
        _ROOM,
        _ROOM_PAPER,
        _ANT,
        _ANT_PAPER,
        _PENDULUM,
        _HALFCHEETAH,
        _NE,
        _CYCLE,
        _CYCLE_SMALL,
    )
}
"""All recipes by name."""
