"""What evaluating, recording and deploying need of an agent, whatever it learns with."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Policy"]


class Policy(nn.Module, ABC):
    """A network that chooses actions, in the units of its environment."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are, and observations are expected."""
        return next(self.parameters()).device

    @property
    @abstractmethod
    def hidden_layers(self) -> int:
        """Activated layers of the policy: the depth that growth changes."""

    @property
    @abstractmethod
    def hidden_width(self) -> int:
        """Units of the widest hidden layer of the policy: the width that growth changes."""

    @abstractmethod
    def act(self, obs: Tensor) -> Tensor:
        """The deterministic action."""

    @abstractmethod
    def draw(self, obs: Tensor, generator: np.random.Generator) -> np.ndarray:
        """Actions as they are drawn while training."""
