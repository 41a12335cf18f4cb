"""MiniHack's room without work that nobody reads: the same transitions, three times faster.

    SLIM-1   for every seed and every sequence of actions:
             the transitions of SlimRoom are those of StockRoom

NetHack's own step takes about 3 microseconds. Stock MiniHack spends 100: it has NetHack fill 17
buffers (tile descriptions alone are 133 KB) and copies each of them twice per step, once in
MiniHack and once in NLE. `SlimRoom` leaves five small buffers registered, so that both the filling
and the copying shrink, and crops from an array that is padded once. What it gives up: rendering,
and MiniHack's helpers that read descriptions (`get_neighbor_*`).

This module imports MiniHack; `morphir_agents.envs.room` imports it only when a room is made.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from typing_extensions import override

from morphir_agents.errors import ConfigError

with warnings.catch_warnings():
    # MiniHack imports pkg_resources, which warns about itself at import.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from minihack.envs.room import MiniHackRoom
    from nle.env.base import NLE
    from nle.nethack import ASCENDED, NLE_BL_TIME

__all__ = ["SlimRoom", "StockRoom", "slim_is_supported"]

_KEPT = ("chars", "blstats", "message", "program_state", "internal")
"""What the room task itself reads: map, clock, questions to be declined, the end of the game."""


class StockRoom(MiniHackRoom):  # type: ignore[misc] # MiniHack is untyped
    """MiniHack's own room; it also remembers what was seen before NetHack was told to quit.

    At the time limit NLE quits the game before it returns, and the observation it returns is a
    blank screen. A value function can't bootstrap from a blank screen, hence
    `observation_before_quit`.
    """

    observation_before_quit: dict[str, np.ndarray] | None = None

    @override
    def _quit_game(self, observation: Any, done: bool) -> None:
        seen = self._get_observation(observation)
        self.observation_before_quit = {key: value.copy() for key, value in seen.items()}
        super()._quit_game(observation, done)


class SlimRoom(StockRoom):
    """The room with five buffers instead of seventeen; see SLIM-1 above.

    It reaches into private attributes of nle 1.3 (`_pynethack`, `_obs_buffers`):
    `slim_is_supported` tells whether this installation has them.
    """

    def __init__(self, *args: Any, observation_keys: tuple[str], **kwargs: Any) -> None:
        if observation_keys[0] not in ("chars", "chars_crop") or len(observation_keys) != 1:
            raise ConfigError(
                f"The slim room shows chars or chars_crop, not {observation_keys}; use slim=False."
            )
        super().__init__(*args, observation_keys=observation_keys, **kwargs)
        game = self.nethack
        buffers = {key: game._obs_buffers[key] for key in _KEPT}
        game._pynethack.set_buffers(**buffers)
        game._obs_buffers = buffers
        game._obs = tuple(buffers.values())

        # NLE addresses its observation tuple by these positions.
        self._observation_keys = list(_KEPT)
        self._original_observation_keys = _KEPT
        self._original_indices = tuple(range(len(_KEPT)))
        for key in _KEPT[1:]:
            setattr(self, f"_{key}_index", _KEPT.index(key))

        height, width = buffers["chars"].shape
        margin_y, margin_x = self.obs_crop_h // 2, self.obs_crop_w // 2
        self._padded = np.full(
            (height + 2 * margin_y, width + 2 * margin_x), self.obs_crop_pad, dtype=np.uint8
        )
        self._inside = self._padded[margin_y : margin_y + height, margin_x : margin_x + width]

    @override
    def step(self, action: int) -> Any:
        """Step as stock does, but copy only the clock and ask only what can have changed."""
        game, seen = self.nethack, self.nethack._obs
        # All that the room's reward reads of the last observation is the time, to punish bumps.
        clock = {self._blstats_index: {NLE_BL_TIME: int(seen[self._blstats_index][NLE_BL_TIME])}}
        game._pynethack.step(self.actions[action])
        done = game._pynethack.done()
        truncated = self._check_abort(seen)

        internal = seen[self._internal_index].tolist()
        if any(internal[1:4]):  # a question, a line of text or --More-- waits
            _, done = self._perform_known_steps(seen, done, exceptions=True)
            internal = seen[self._internal_index].tolist()
        self._steps += 1
        self.last_observation = seen

        if not (done or internal[4] or self._check_abort(seen)):  # internal[4]: on the stairs
            status, ascended = self.StepStatus.RUNNING, False
            reward = float(self._reward_fn(clock, action, seen, status))
        else:
            status = self._get_end_status(seen, done)
            reward = float(self._reward_fn(clock, action, seen, status))
            if status and not done:
                self._quit_game(seen, done)
                done = True
            ascended = game.how_done() == ASCENDED
        information = {"end_status": status, "is_ascended": ascended}
        return self._get_observation(seen), reward, done, truncated, information

    @override
    def _get_observation(self, observation: Any) -> dict[str, np.ndarray]:
        chars, blstats = observation[0], observation[1]
        key = self._minihack_obs_keys[0]
        return {key: self._crop_observation(chars, blstats) if key == "chars_crop" else chars}

    @override
    def _crop_observation(self, obs: np.ndarray, loc: np.ndarray) -> np.ndarray:
        self._inside[:] = obs
        x, y = int(loc[0]), int(loc[1])
        return self._padded[y : y + self.obs_crop_h, x : x + self.obs_crop_w]


def slim_is_supported() -> bool:
    """Whether the installed nle has the private attributes that `SlimRoom` needs."""
    try:
        from nle import _pynethack
        from nle.nethack import Nethack
    except ImportError:
        return False
    return (
        hasattr(_pynethack.Nethack, "set_buffers")
        and "_obs_buffers" in Nethack.__init__.__code__.co_names
        and "_original_indices" in NLE.__init__.__code__.co_names
    )
