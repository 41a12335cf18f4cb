"""A cycle of tasks: one agent learns them one after the other, and then again.

    CYCLE-1   with n tasks and r rounds, visit v is to task v mod n and has the steps from v * T to
              (v + 1) * T, where T = total_steps / (n * r)

Liu et al. 2025 take HalfCheetah, Humanoid, Ant and Hopper, a million steps each, three times, with
a head for each task (section 5.3, after Abbas et al. 2023). What they do not say is settled here.

1. A visit begins with an empty replay buffer. Networks, targets and optimizers go on.
2. Nothing is learned in the first `random_steps` steps of a visit, which fill the buffer. Their
   actions are uniform at the first visit to a task; later the policy acts, with its noise.
3. A task has columns of the first and rows of the last layer of the actor and of both critics
   (`heads.py`). When it is met they are drawn as those of new networks would be (`new_head.py`).
4. Adam's moments and count of steps for a head wait for the task to come again (`moments.py`).
5. A policy is evaluated on the task that it learns, and as soon as it comes back to one: how much
   is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from morphir_agents.errors import ConfigError

__all__ = ["CycleConfig"]


@final
@dataclass(frozen=True)
class CycleConfig:
    """Several tasks, one after the other, with a head each."""

    tasks: tuple[str, ...] = ()
    """Gymnasium's names of the tasks, such as HalfCheetah-v5 Hopper-v5, in their order; none: the
    only task is `env`. The other settings of `env` are those of all tasks."""
    rounds: int = 3
    """How often each task is visited. All visits have the same number of steps."""

    def __post_init__(self) -> None:
        if len(self.tasks) == 1 or len({*self.tasks}) != len(self.tasks):
            raise ConfigError(
                f"cycle.tasks is {self.tasks}; expected two tasks or more, none of them twice."
            )
        if self.rounds < 1:
            raise ConfigError(f"cycle.rounds is {self.rounds}; expected at least 1.")

    @property
    def heads(self) -> int:
        """How many tasks there are."""
        return len(self.tasks) or 1

    @property
    def visits(self) -> int:
        """How many visits a run has; to a single task it is one."""
        return len(self.tasks) * self.rounds or 1

    def visit_steps(self, total_steps: int) -> int:
        """The steps of a visit in a run of so many.

        Raises:
            ConfigError: The visits can't be equally long.
        """
        steps, left = divmod(total_steps, self.visits)
        if left or not steps:
            raise ConfigError(
                f"td3.total_steps is {total_steps:,}, and the cycle has {self.visits} visits; "
                f"expected a multiple of that, such as {max(steps, 1) * self.visits:,}."
            )
        return steps
