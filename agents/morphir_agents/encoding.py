"""What a network sees of an observation: in numpy for training, as a module for deployment.

ENCODE-1   encoding.encode(raw) == encoding.module()(raw)
           to the bit for symbols, to rounding for vectors
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from morphir_agents.normalise import RunningMoments

__all__ = ["Encoding", "SymbolPlanes", "Symbols", "Vector"]


class Encoding(ABC):
    """Turns raw observations into network inputs."""

    raw_shape: tuple[int, ...]
    """Shape of one raw observation."""
    raw_dtype: type[np.generic]
    shape: tuple[int, ...]
    """Shape of one encoded observation."""
    dtype: torch.dtype

    @abstractmethod
    def encode(self, raw: np.ndarray) -> np.ndarray:
        """Encode a batch."""

    @abstractmethod
    def module(self) -> nn.Module:
        """The same map as a module, with everything it needs baked in as buffers."""

    def observe(self, raw: np.ndarray) -> None:  # noqa: B027
        """Learn from a batch of raw observations; only normalising encodings do."""


@final
class SymbolPlanes(Encoding):
    """One plane of zeros and ones per group of symbols; flattened."""

    def __init__(self, raw_shape: tuple[int, int], groups: tuple[str, ...]) -> None:
        self.raw_shape, self.raw_dtype = raw_shape, np.uint8
        self.shape, self.dtype = (raw_shape[0] * raw_shape[1] * len(groups),), torch.float32
        self._table = np.zeros((256, len(groups)), dtype=np.float32)
        for plane, group in enumerate(groups):
            self._table[[ord(symbol) for symbol in group], plane] = 1.0

    @override
    def encode(self, raw: np.ndarray) -> np.ndarray:
        # take() is eight times faster than indexing the table with the symbols.
        return self._table.take(raw.reshape(-1), axis=0).reshape(len(raw), -1)

    @override
    def module(self) -> nn.Module:
        return _Lookup(torch.from_numpy(self._table.copy()))


@final
class Symbols(Encoding):
    """The symbols as they are: the network has its own embedding."""

    def __init__(self, raw_shape: tuple[int, int]) -> None:
        self.raw_shape, self.raw_dtype = raw_shape, np.uint8
        self.shape, self.dtype = raw_shape, torch.uint8

    @override
    def encode(self, raw: np.ndarray) -> np.ndarray:
        return raw

    @override
    def module(self) -> nn.Module:
        return nn.Identity()


@final
class Vector(Encoding):
    """A vector of numbers, normalised by its running moments and clipped if wanted.

    The moments change only between rollouts (`observe`), so that a rollout is collected and learned
    from under the same normalisation.
    """

    def __init__(self, size: int, normalise: bool, clip: float = 10.0) -> None:
        self.raw_shape, self.raw_dtype = (size,), np.float64
        self.shape, self.dtype = (size,), torch.float32
        self._clip = clip
        self.moments = RunningMoments((size,)) if normalise else None

    @override
    def observe(self, raw: np.ndarray) -> None:
        if self.moments is not None:
            self.moments.update(raw)

    @override
    def encode(self, raw: np.ndarray) -> np.ndarray:
        if self.moments is None:
            return raw.astype(np.float32)
        scaled = (raw - self.moments.mean) / self.moments.std
        return np.clip(scaled, -self._clip, self._clip).astype(np.float32)

    @override
    def module(self) -> nn.Module:
        if self.moments is None:
            return _Scale(torch.zeros(self.shape), torch.ones(self.shape), float("inf"))
        mean, std = torch.from_numpy(self.moments.mean), torch.from_numpy(self.moments.std)
        return _Scale(mean, std, self._clip)


@final
class _Lookup(nn.Module):
    table: torch.Tensor

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(raw.long(), self.table).flatten(1)


@final
class _Scale(nn.Module):
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, clip: float) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())
        self.clip = clip

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        scaled = (raw.float() - self.mean) / self.std
        return scaled if self.clip == float("inf") else scaled.clamp(-self.clip, self.clip)
