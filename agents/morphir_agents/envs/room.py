"""MiniHack Room of any size and variant; a seed fixes every level, on any day.

Three things that stock MiniHack leaves open are settled here:

- **Seeds.** NLE's `reset(seed=...)` doesn't reach NetHack's random numbers, and `env.seed(...)`
  fixes only the next reset. Here NetHack is seeded before every reset, from the environment's own
  generator.
- **The calendar.** NetHack reads the clock (moon phase, Friday the 13th, night):
  `fix_moon_phase=True`.
- **The time limit.** NLE reports it as a terminal state with a blank screen. Here it is
  `truncated=True` together with what was really seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import gymnasium as gym
import numpy as np

from morphir_agents.encoding import Encoding, SymbolPlanes, Symbols
from morphir_agents.errors import ConfigError, MissingExtraError

__all__ = ["RoomConfig", "RoomEnv"]

_MAP_SHAPE = (21, 79)
_CREATURES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@&;:'~"


@final
@dataclass(frozen=True)
class RoomConfig:
    """A MiniHack room: find the way to the stairs in an empty, haunted, trapped or dark room."""

    kind: ClassVar[str] = "room"

    size: int = 10
    """Side of the square room, 2 to 21."""
    random: bool = True
    """Start and stairs at random places; otherwise in opposite corners."""
    monsters: int = 0
    """How many random monsters wait in the room."""
    traps: int = 0
    """How many random traps it holds."""
    lit: bool = True
    """A lit room is seen whole; in a dark one only the eight neighbours are."""
    view: Literal["crop", "map"] = "crop"
    """`crop`: a square around the agent. `map`: the whole 21x79 map."""
    crop: int = 19
    """Side of the crop, odd; 2 * size - 1 always shows the whole room."""
    max_episode_steps: int | None = None
    """Time limit of an episode; by default 20 * size, as in MiniHack."""
    slim: bool = True
    """Use the fast room with identical transitions; off where rendering is wanted."""

    def __post_init__(self) -> None:
        if not 2 <= self.size <= _MAP_SHAPE[0]:
            raise ConfigError(f"env.size is {self.size}; NetHack's map holds rooms of 2 to 21.")
        if self.crop < 3 or self.crop % 2 == 0:
            raise ConfigError(f"env.crop is {self.crop}; it must be odd and at least 3.")
        if self.monsters < 0 or self.traps < 0:
            raise ConfigError(
                f"env.monsters is {self.monsters} and env.traps is {self.traps}; expected none "
                "to be negative."
            )
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise ConfigError(
                f"env.max_episode_steps is {self.max_episode_steps}; expected at least 1."
            )

    @property
    def title(self) -> str:
        """A short human name of this room."""
        extras = [
            f"{self.monsters} monster(s)" if self.monsters else "",
            f"{self.traps} trap(s)" if self.traps else "",
            "" if self.lit else "dark",
            "" if self.random else "fixed corners",
        ]
        return f"MiniHack Room {self.size}x{self.size}" + "".join(f", {e}" for e in extras if e)

    def make(self) -> RoomEnv:
        """Build one environment."""
        return RoomEnv(self)

    def encoding(self) -> Encoding:
        """How a network sees this room: symbol planes of the crop, or the map's raw symbols."""
        if self.view == "map":
            return Symbols(_MAP_SHAPE)
        # Everything visible tells where the walls are, which helps in places that are rarely met.
        groups = [">", "".join(chr(code) for code in range(33, 127))]
        if self.traps:
            groups.append("^")
        if self.monsters:
            groups.append(_CREATURES)
        return SymbolPlanes((self.crop, self.crop), tuple(groups))


@final
class RoomEnv(gym.Env[np.ndarray, np.int64]):
    """A Gymnasium environment over NetHack whose every level follows from its seed."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - declared so by Gymnasium

    def __init__(self, config: RoomConfig) -> None:
        try:
            from morphir_agents.envs.nethack import SlimRoom, StockRoom, slim_is_supported
        except ImportError as error:
            raise MissingExtraError(
                "MiniHack rooms need the packages minihack and nle; importing them failed: "
                f"{error}. Install the extra: pip install 'morphir[agents]'. (MiniHack can't be "
                "imported with setuptools 81 or newer: pip install 'setuptools<81'.)"
            ) from error
        self._key = "chars_crop" if config.view == "crop" else "chars"
        game_class = SlimRoom if config.slim and slim_is_supported() else StockRoom
        self.game = game_class(
            size=config.size,
            random=config.random,
            n_monster=config.monsters,
            n_trap=config.traps,
            lit=config.lit,
            max_episode_steps=config.max_episode_steps or 20 * config.size,
            observation_keys=(self._key,),
            obs_crop_h=config.crop,
            obs_crop_w=config.crop,
            fix_moon_phase=True,
        )
        self.observation_space = self.game.observation_space[self._key]
        self.action_space = gym.spaces.Discrete(len(self.game.actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a new level; without a seed the next of the sequence that the last seed began."""
        super().reset(seed=seed)
        core, display = (int(n) for n in self.np_random.integers(0, 2**31, size=2))
        self.game.seed(core, display, reseed=False)
        observation, _ = self.game.reset()
        return observation[self._key].copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move one step; the end of the time limit is a truncation that still shows the room."""
        observation, reward, done, _, info = self.game.step(int(action))
        status = info["end_status"]
        truncated = status == self.game.StepStatus.ABORTED
        if truncated and self.game.observation_before_quit is not None:
            observation = self.game.observation_before_quit
        success = status == self.game.StepStatus.TASK_SUCCESSFUL
        terminated = bool(done) and not truncated
        return observation[self._key].copy(), reward, terminated, truncated, {"is_success": success}

    def close(self) -> None:
        """End the game and remove its temporary files."""
        self.game.close()
