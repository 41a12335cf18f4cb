"""Running mean and variance, and the reward scaling built on them."""

from __future__ import annotations

from typing import final

import numpy as np

__all__ = ["RewardScale", "RunningMoments"]


@final
class RunningMoments:
    """Mean and variance of everything seen so far, exact up to rounding.

    Chan's parallel formula in float64: merging batches gives what one pass over all data would. The
    tiny prior count (mean 0, variance 1) only matters before the first batch.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean = np.zeros(shape)
        self.variance = np.ones(shape)
        self.count = 1e-4

    @property
    def std(self) -> np.ndarray:
        """The standard deviation, kept away from zero."""
        return np.sqrt(self.variance + 1e-8)

    def update(self, batch: np.ndarray) -> None:
        """Merge a batch whose leading axis counts samples."""
        batch = np.asarray(batch, dtype=np.float64)
        count, mean, variance = len(batch), batch.mean(0), batch.var(0)
        total = self.count + count
        delta = mean - self.mean
        self.variance = (
            self.variance * self.count + variance * count + delta**2 * self.count * count / total
        ) / total
        self.mean = self.mean + delta * count / total
        self.count = total

    def state(self) -> dict[str, np.ndarray]:
        """Everything a checkpoint must keep."""
        return {"mean": self.mean, "variance": self.variance, "count": np.array([self.count])}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        self.mean, self.variance = state["mean"].copy(), state["variance"].copy()
        self.count = float(state["count"][0])


@final
class RewardScale:
    """Divides rewards by the running standard deviation of the discounted return."""

    def __init__(self, environments: int, discount: float, clip: float = 10.0) -> None:
        self._discount, self._clip = discount, clip
        self.moments = RunningMoments(())
        self.running = np.zeros(environments)

    def restart(self) -> None:
        """Forget the unfinished episodes: their environments were restarted."""
        self.running[:] = 0.0

    def scale(self, rewards: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """Scale a rollout (time, environments); `ended` marks the last steps of episodes."""
        returns = np.empty_like(rewards, dtype=np.float64)
        for t in range(len(rewards)):
            self.running = self.running * self._discount + rewards[t]
            returns[t] = self.running
            self.running = self.running * ~ended[t]
        self.moments.update(returns.ravel())
        return np.clip(rewards / self.moments.std, -self._clip, self._clip)
