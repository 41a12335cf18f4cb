"""A replay buffer in which every observation is stored once.

A row holds one step: observation, action, reward, and whether the episode goes on. What was seen
next is the beginning of the row below, so a transition is a row and that beginning: one stretch of
memory, and a batch of them is one `index_select` over overlapping windows.

    storage   | obs 0 | act 0 | reward | goes on | obs 1 | act 1 | reward | goes on | obs 2 | ...
    window 0  |------------------------------------------|
    window 1                                     |------------------------------------------|

An episode that is cut takes one row more, for what it saw last. What follows a terminal state is
multiplied by zero in every target and may be anything finite.

REPLAY-1   a sampled transition is one that was added: the next observation is what was seen next
REPLAY-2   of n transitions the draw u takes that with floor(u * m) older ones,
           where m = max(1, floor(share * n))
REPLAY-3   the oldest leave first; with c rows, all transitions in the newest c - 1 are held
REPLAY-4   a buffer restored from its state samples the same, to the bit, and goes on the same
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from morphir_agents.errors import ConfigError

__all__ = ["Batch", "Replay"]


@final
@dataclass(frozen=True)
class Batch:
    """Transitions as columns of one matrix; the next sample overwrites it.

    Observations and actions lie side by side, as a critic takes them. Behind what was seen next is
    room for an action, so that nothing has to be put together for the target critics either.
    """

    inputs: Tensor
    """Observations and actions, (batch, observation + action)."""
    observations: Tensor
    actions: Tensor
    rewards: Tensor
    """(batch, 1)."""
    continues: Tensor
    """0 after a terminal state, else 1: a time limit doesn't end the task; (batch, 1)."""
    next_inputs: Tensor
    """What was seen next and room for an action, (batch, observation + action)."""
    next_observations: Tensor
    next_actions: Tensor
    """To be filled in by the target policy."""

    @classmethod
    def of(cls, matrix: Tensor, observation: int, action: int) -> Batch:
        """The columns of a matrix (batch, 2 * (observation + action) + 2)."""
        inputs, rewards, continues, next_inputs = matrix.split(
            [observation + action, 1, 1, observation + action], dim=1
        )
        return cls(
            inputs=inputs,
            observations=inputs[:, :observation],
            actions=inputs[:, observation:],
            rewards=rewards,
            continues=continues,
            next_inputs=next_inputs,
            next_observations=next_inputs[:, :observation],
            next_actions=next_inputs[:, observation:],
        )


@final
class Replay:
    """Holds the newest transitions and samples batches of one size.

    Args:
        capacity: Rows to keep: one per transition, and one more for each episode that was cut.
        observation: Numbers per observation.
        action: Numbers per action.
        batch: Transitions per sample.
        device: Where everything lies.
    """

    def __init__(
        self,
        capacity: int,
        observation: int,
        action: int,
        batch: int,
        device: torch.device | str = "cpu",
    ) -> None:
        if capacity < 2:
            raise ConfigError(f"The replay buffer has {capacity} rows; expected at least 2.")
        self._capacity, self._observation, self._action = capacity, observation, action
        row = observation + action + 2
        # One row more than the capacity: the last transition's next observation isn't in row 0.
        self._rows = torch.zeros(capacity + 1, row, device=device)
        self._windows = self._rows.as_strided((capacity, row + observation + action), (row, 1))
        self._matrix = torch.zeros(batch, self._windows.shape[1], device=device)
        self._batch = Batch.of(self._matrix, observation, action)
        self._step = torch.zeros(row + observation)
        self._next_row = 0
        # The places of the held transitions, oldest first: a ring that begins at `_oldest`.
        self._places = np.zeros(capacity, np.int64)
        self._oldest = self._held = 0

    def __len__(self) -> int:
        return self._held

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers per observation and per action."""
        return self._observation, self._action

    def add(
        self,
        observation: np.ndarray,
        action: np.ndarray,
        reward: float,
        terminated: bool,
        next_observation: np.ndarray,
    ) -> None:
        """Store a transition; the next one begins where it ends, unless `cut` is called between."""
        step, action_end = self._step.numpy(), self._observation + self._action
        step[: self._observation] = observation
        step[self._observation : action_end] = action
        step[action_end] = reward
        step[action_end + 1] = not terminated
        step[action_end + 2 :] = next_observation
        self._windows[self._next_row % self._capacity, : len(step)] = self._step

        self._places[(self._oldest + self._held) % self._capacity] = self._next_row
        self._held += 1
        self._next_row += 1
        # A transition is gone when its row, or the next observation below it, was written over.
        while self._places[self._oldest] < self._next_row + 1 - self._capacity:
            self._oldest = (self._oldest + 1) % self._capacity
            self._held -= 1

    def cut(self) -> None:
        """The next transition begins elsewhere: keep what was seen last."""
        if self._held:
            newest = (self._oldest + self._held - 1) % self._capacity
            self._next_row = int(self._places[newest]) + 2

    def sample(self, draws: np.ndarray, share: float = 1.0) -> Batch:
        """The transitions that uniform draws point at; valid until the next call.

        Args:
            draws: Numbers in [0, 1), one per transition of the batch.
            share: The part of the buffer to draw from, counted from its oldest transition. A
                quarter is what Neuroplastic Expansion's experience review draws from.
        """
        among = max(1, int(share * self._held))
        chosen = (self._oldest + (draws * among).astype(np.int64)) % self._capacity
        places = torch.from_numpy(self._places[chosen] % self._capacity)
        torch.index_select(self._windows, 0, places.to(self._windows.device), out=self._matrix)
        return self._batch

    def state(self) -> dict[str, np.ndarray]:
        """Everything a checkpoint must keep."""
        order = (self._oldest + np.arange(self._held)) % self._capacity
        used = min(self._next_row + 1, len(self._rows))
        return {
            "rows": self._rows[:used].cpu().numpy(),
            "places": self._places[order],
            "next_row": np.array([self._next_row]),
        }

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        self._rows[: len(state["rows"])] = torch.from_numpy(state["rows"])
        self._oldest, self._held = 0, len(state["places"])
        self._places[: self._held] = state["places"]
        self._next_row = int(state["next_row"][0])
