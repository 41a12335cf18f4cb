"""The state of a run between two updates, and its way to checkpoints and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, final

import numpy as np
import torch
from torch import nn

from morphir_agents import checkpoint
from morphir_agents.encoding import Encoding
from morphir_agents.envs import VectorEnv
from morphir_agents.evaluate import evaluate
from morphir_agents.policy import Policy

if TYPE_CHECKING:
    from morphir_agents.config import BaseRunConfig
    from morphir_agents.observer import Observer

__all__ = ["Optimizers", "Trained", "Trainer"]

Optimizers = torch.optim.Optimizer | list[torch.optim.Optimizer]

ConfigT = TypeVar("ConfigT", bound="BaseRunConfig")
PolicyT = TypeVar("PolicyT", bound=Policy)
OptimizersT = TypeVar("OptimizersT", bound=Optimizers)


@final
@dataclass
class Trained:
    """What training gives back."""

    agent: Policy
    optimizer: Optimizers
    encoding: Encoding
    step: int
    finished: bool
    """False if the run was interrupted; its last checkpoint is at `step`."""


@dataclass(kw_only=True)
class Trainer(ABC, Generic[ConfigT, PolicyT, OptimizersT]):
    """The state of a run between updates; `resume` reads it from a checkpoint, `save` writes one.

    What an algorithm learns from, and what of it a checkpoint must keep, is up to its own trainer.
    """

    config: ConfigT
    folder: Path
    vector: VectorEnv
    judge: VectorEnv
    encoding: Encoding
    agent: PolicyT
    optimizer: OptimizersT
    step: int = 0
    updates: int = 0
    grown: int = 0
    resumed: bool = False
    """Whether the run goes on from a checkpoint."""
    generator: np.random.Generator = field(default_factory=np.random.default_rng)

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint must keep beside agent and optimizer."""

    @abstractmethod
    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from `arrays()`."""

    def resume(
        self, factory: Callable[[], PolicyT], make_optimizer: Callable[[nn.Module], OptimizersT]
    ) -> None:
        """Go on from the last checkpoint in the folder, if there is one."""
        found = checkpoint.latest(self.folder)
        if found is not None:
            self.agent, self.optimizer, progress = checkpoint.load(found, factory, make_optimizer)
            self.step, self.updates, self.grown = progress.step, progress.update, progress.grown
            self.load(progress.arrays)
            self.resumed = True
        self.begin_afresh()

    def save(self) -> Path:
        """Write a checkpoint, then start environments and randomness afresh from its step."""
        progress = checkpoint.Progress(self.step, self.updates, self.grown, self.arrays())
        path = checkpoint.save(self.folder, self.agent, self.optimizer, progress)
        self.begin_afresh()
        return path

    def begin_afresh(self) -> None:
        """Derive all randomness anew from (seed, step), and start the environments anew with it."""
        key = (self.config.seed, self.step)
        self.generator = np.random.default_rng(np.random.SeedSequence([*key, 0]))
        torch.manual_seed(int(self.generator.integers(2**63)))
        self.vector.restart((*key, 1))

    def evaluate_and_save(self, before: int, observer: Observer) -> bool:
        """Do what is due on both grids; returns whether the run was asked to stop."""
        self.evaluate_if_due(before, observer)
        return self.save_if_due(before, observer)

    def evaluate_if_due(self, before: int, observer: Observer) -> None:
        """Evaluate if that grid was crossed since the step `before`, or at the end."""
        if self._is_due(before, self.config.eval_every):
            self.evaluate(observer)

    def evaluate(self, observer: Observer) -> None:
        """Evaluate every form of the policy."""
        config = self.config
        for deterministic in config.forms:
            key = (config.seed, 2)
            outcome = evaluate(
                self.agent, self.judge, self.encoding, config.eval_episodes, key, deterministic
            )
            observer.evaluated(self.step, outcome)

    def save_if_due(self, before: int, observer: Observer) -> bool:
        """Write a checkpoint if that grid was crossed since the step `before`, or at the end.

        Returns:
            Whether the run was asked to stop; it only is where a checkpoint was written.
        """
        if self._is_due(before, self.config.checkpoint_every):
            observer.settles(self.step)
            self.save()
            observer.saved(self.step)
            return observer.stops
        return False

    def _is_due(self, before: int, every: int) -> bool:
        at_end = self.step >= self.config.last_step
        return at_end or checkpoint.crosses_grid(before, self.step, every)

    def close(self) -> Trained:
        """Close the environments; the run is over, or was stopped at a checkpoint."""
        self.vector.close()
        self.judge.close()
        finished = self.step >= self.config.last_step
        return Trained(self.agent, self.optimizer, self.encoding, self.step, finished)
