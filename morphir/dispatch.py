"""The part of a `TorchDispatchMode` that torch calls for every kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Dispatch(ABC):
    """Hands kernels on to `run`.

    It stands apart from the modes because of what torch does to a `__torch_dispatch__` that a mode
    defines itself: wrapped, it imports the machinery of `torch.compile` when it is first called,
    which takes more than a second, and each call costs more.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.run(func, args, kwargs or {})

    @abstractmethod
    def run(self, kernel: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs a kernel."""
