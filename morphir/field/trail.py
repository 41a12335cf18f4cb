"""Where in a model a run is, and what its modules return."""

from __future__ import annotations

from collections import Counter
from typing import Any, final

import torch
from torch import nn

from morphir.field.residues import Residues
from morphir.tensors import tensors_in

_Tensors = list[torch.Tensor]


@final
class Trail:
    """Follows the runs of one model.

    Attributes:
        inside: The modules that are being called, the innermost one last.
        seen: Module and number of its call to what it was given and what it returned, in the order
            of returning; it is filled while this is not None.
    """

    def __init__(self, model: nn.Module) -> None:
        """Adds hooks to a private copy of a model."""
        self.inside: list[str] = []
        self.seen: dict[tuple[str, int], tuple[_Tensors, _Tensors]] | None = None
        self._given: list[_Tensors] = []
        self._calls: Counter[str] = Counter()
        for name, module in model.named_modules():
            self._follow(name, module)

    def _follow(self, name: str, module: nn.Module) -> None:
        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            self.inside.append(name)
            if self.seen is not None:
                self._given.append(_copied((args, kwargs)))

        def leave(_: nn.Module, __: Any, result: Any) -> None:
            self.inside.pop()
            if self.seen is not None:
                self.seen[name, self._calls[name]] = self._given.pop(), _copied(result)
                self._calls[name] += 1

        module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True)
        module.register_forward_hook(leave)

    @property
    def place(self) -> str:
        """The innermost module that is being called."""
        return (self.inside[-1] if self.inside else "") or "the model"

    def first_difference(self, new: Trail) -> str:
        """The first module of another model's that returns something else than in this one.

        Where one axis got longer or shorter, all units of the shorter one have to be in the other.
        What only the other model has is named where what comes next is given something else.
        """
        added = ""
        for (name, number), (given, returned) in (new.seen or {}).items():
            was = (self.seen or {}).get((name, number))
            if was is None:
                added = name
            elif _may_be_one(was[1], returned):
                added = ""
            elif added and not _may_be_one(was[0], given):
                return added
            else:
                return f"{name or 'the model'}" + (f", call {number + 1}" if number else "")
        return ""


def _copied(value: Any) -> _Tensors:
    return [
        each.residues.clone() if isinstance(each, Residues) else each.clone()
        for _, each in tensors_in(value)
    ]


def _may_be_one(old: _Tensors, new: _Tensors) -> bool:
    return len(old) != len(new) or all(map(_may_be_same, old, new))


def _may_be_same(old: torch.Tensor, new: torch.Tensor) -> bool:
    """Whether a tensor is another one, or has the same units and more."""
    if old.shape == new.shape:
        return torch.equal(old, new)
    if old.dim() != new.dim():
        return True
    axes = [axis for axis in range(old.dim()) if old.shape[axis] != new.shape[axis]]
    if len(axes) > 1:
        return True
    few, many = (_units(each, axes[0]) for each in sorted((old, new), key=torch.Tensor.numel))
    return few <= many


def _units(tensor: torch.Tensor, axis: int) -> set[bytes]:
    return {row.cpu().numpy().tobytes() for row in tensor.movedim(axis, 0)}
