"""Parameters of removed layers leave the optimizers.

SHALLOWER-4   what goes leaves its optimizer groups with its state, and all else is as it was
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from torch import nn
from torch.optim import Optimizer

from morphir.errors import RefusalError
from morphir.state.optimizer import own_list


@final
class Leaving:
    """Takes parameters out of optimizers; `undo` puts them back where they were."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        """Says out of which optimizers."""
        self._optimizers = optimizers
        self._left: Counter[tuple[str, int]] = Counter()
        self._undo: list[Callable[[], None]] = []

    def leave(self, gone: Mapping[str, nn.Parameter]) -> None:
        """Takes parameters out of their groups, with their state.

        A group of nothing else stays, with no parameters: schedulers count groups.

        Args:
            gone: Qualified name to parameter.

        Raises:
            RefusalError: An optimizer keeps parameters elsewhere as well.
        """
        names = {id(parameter): name for name, parameter in gone.items()}
        for optimizer in self._optimizers:
            held = [p for group in optimizer.param_groups for p in group["params"]]
            first = next((names[id(p)] for p in held if id(p) in names), "")
            if not first:
                continue
            _check_gives(optimizer, first)
            self._undo.append(_remember(optimizer))
            for number, group in enumerate(optimizer.param_groups):
                self._take(optimizer, number, group, names)

    def _take(
        self, optimizer: Optimizer, number: int, group: dict[str, Any], names: Mapping[int, str]
    ) -> None:
        parameters = [*group["params"]]
        stays = [id(p) not in names for p in parameters]
        for entry in ("params", "param_names"):
            if entry in group:
                group[entry][:] = [e for e, s in zip(group[entry], stays, strict=True) if s]
        for parameter, is_kept in zip(parameters, stays, strict=True):
            if not is_kept:
                optimizer.state.pop(parameter, None)
                self._left[type(optimizer).__name__, number] += 1

    def undo(self) -> None:
        """Puts back what `leave` took out."""
        while self._undo:
            self._undo.pop()()
        self._left.clear()

    @property
    def notes(self) -> list[str]:
        """What was done, a line per group."""
        return [
            f"{count} parameter{'s' if count > 1 else ''} left group {number} of {name}, "
            "with the state"
            for (name, number), count in self._left.items()
        ]


def _remember(optimizer: Optimizer) -> Callable[[], None]:
    """What restores groups and state as they are now, in this order."""
    groups = [(g, [*g["params"]], [*g.get("param_names", ())]) for g in optimizer.param_groups]
    state = [*optimizer.state.items()]

    def restore() -> None:
        for group, parameters, names in groups:
            group["params"][:] = parameters
            if "param_names" in group:
                group["param_names"][:] = names
        optimizer.state.clear()
        optimizer.state.update(state)

    return restore


def _check_gives(optimizer: Optimizer, name: str) -> None:
    own = own_list(optimizer)
    if own:
        raise RefusalError(
            f"{type(optimizer).__name__} keeps parameters in a list of its own, {own!r}, which one "
            "that goes would not leave",
            nodes=[name],
            suggestions=[
                "an optimizer that reads its param_groups",
                "a new optimizer after the removal",
            ],
        )
