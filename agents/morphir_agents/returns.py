"""Generalised advantage estimation that tells a terminal state from a time limit.

    GAE-1   delta[t] = r[t] + gamma * next_value[t] - v[t]
            A[t]     = delta[t] + gamma * lambda * A[t+1]      (A = delta at the last step)

`next_value` is 0 after a terminal state, the value of what was seen last at a truncation, and
otherwise the value of the next observation. The end of a rollout is treated like a truncation.
"""

from __future__ import annotations

import numpy as np

__all__ = ["generalised_advantages"]


def generalised_advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    last_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    final_values: np.ndarray,
    discount: float,
    smoothing: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Advantages and value targets of a rollout, both of shape (time, environments).

    Args:
        rewards: Reward of each step.
        values: Value of the observation each step started from.
        last_values: Values of the observations after the last step, one per environment.
        terminated: Steps that reached a terminal state.
        truncated: Steps at which an episode was cut, by a time limit or a restart.
        final_values: Where `truncated`, the value of what was seen last; ignored elsewhere.
        discount: gamma.
        smoothing: lambda.
    """
    next_values = np.concatenate([values[1:], last_values[None]])
    next_values = np.where(truncated, final_values, next_values)
    next_values = np.where(terminated, 0.0, next_values)
    deltas = rewards + discount * next_values - values
    carry = discount * smoothing * ~(terminated | truncated)

    advantages = np.empty_like(deltas)
    running = np.zeros_like(deltas[0])
    for t in reversed(range(len(deltas))):
        running = deltas[t] + carry[t] * running
        advantages[t] = running
    return advantages, advantages + values
