"""What the numerical checks run under: casts lifted to float64, and which units they switched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch.overrides import TorchFunctionMode

from morphir.ops import OpTable

_T = torch.Tensor
_SINGLE: Final = (torch.float32, torch.float16, torch.bfloat16)
_CASTS: Final = {_T.float, _T.half, _T.bfloat16}


@final
class LiftToDouble(TorchFunctionMode):
    """Turns the model's own casts to a shorter float into casts to float64.

    Those are `x.float()` and every `torch.float32` among the arguments of a call.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _CASTS:
            return args[0].double()
        lifted = [torch.float64 if self._is_short(a) else a for a in args]
        named = {k: torch.float64 if self._is_short(v) else v for k, v in (kwargs or {}).items()}
        return func(*lifted, **named)

    @staticmethod
    def _is_short(argument: Any) -> bool:
        return isinstance(argument, torch.dtype) and argument in _SINGLE


@final
class SwitchRecord(TorchFunctionMode):
    """Notes which units of piecewise activations (ReLU and its kin) were ever on and ever off.

    A unit is one element of an activation's result, the batch dimension aside; it is on where the
    result is positive. Calls of an activation are told apart by their order, so `start_run` must
    be called before each run of the model.

    Attributes:
        pull: The sum of what goes into units that were never on, minus that of units that were
            never off, in the last run; None where no gradient flows. Its gradient says how to
            change the input to switch them.
    """

    def __init__(self, table: OpTable) -> None:
        super().__init__()
        self.pull: _T | None = None
        self._table = table
        self._run: tuple[str, int] = ("", 0)
        self._seen: dict[tuple[str, int], tuple[_T, _T]] = {}

    def start_run(self, entry_point: str) -> None:
        """Says that an entry point is called, so that its first activation comes next."""
        self._run, self.pull = (entry_point, 0), None

    @property
    def share(self) -> float | None:
        """Share of the units that were both on and off; None without piecewise activations."""
        total = sum(on.numel() for on, _ in self._seen.values())
        both = sum(int((on & off).sum()) for on, off in self._seen.values())
        return both / total if total else None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        bound = self._table.bind(func, args, kwargs or {})
        if bound is None or bound[0].identity_on is None or bound[0].module is None:
            return func(*args, **(kwargs or {}))
        operand = bound[1].get("input")
        if isinstance(operand, _T) and operand.requires_grad:
            self._add_pull(operand)
        result = func(*args, **(kwargs or {}))
        if isinstance(result, _T) and result.is_floating_point():
            self._note(result.detach())
        return result

    def _note(self, result: _T) -> None:
        rows = _rows(result)
        on, off = (rows > 0).any(0), (rows <= 0).any(0)
        known = self._seen.get(self._run)
        if known is not None and known[0].shape == on.shape:
            on, off = on | known[0], off | known[1]
        self._seen[self._run] = on, off
        self._run = (self._run[0], self._run[1] + 1)

    def _add_pull(self, operand: _T) -> None:
        """Row b pulls at every b-th of the sleeping units, so that rows wake different ones."""
        known, rows = self._seen.get(self._run), _rows(operand)
        if known is None or known[0].shape != rows.shape[1:]:
            return
        on, off = known
        units, count = torch.arange(rows.shape[1], device=rows.device), rows.shape[0]
        mine = units % count == torch.arange(count, device=rows.device).unsqueeze(1)
        pull = (rows * (mine * ((~on).to(rows) - (~off).to(rows)))).sum()
        self.pull = pull if self.pull is None else self.pull + pull


def _rows(tensor: _T) -> _T:
    return tensor.reshape(tensor.shape[0], -1) if tensor.dim() > 1 else tensor.reshape(1, -1)
