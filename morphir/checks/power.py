"""What the numerical checks run under: casts lifted to float64, and which units they switched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, final

import torch
from torch.overrides import TorchFunctionMode

from morphir.ops import Op, OpTable
from morphir.ops.base import Spelling
from morphir.ops.table import in_place_forms

_T = torch.Tensor
_DOUBLE: Final = {
    **dict.fromkeys((torch.float32, torch.float16, torch.bfloat16), torch.float64),
    **dict.fromkeys((torch.complex64, torch.complex32), torch.complex128),
}
_CASTS: Final = {_T.float, _T.half, _T.bfloat16}
_COMPLEX_CASTS: Final = {_T.cfloat, _T.chalf}  # type: ignore[attr-defined]


@final
class LiftToDouble(TorchFunctionMode):
    """Keeps the model's own floats in float64.

    Its casts to a shorter float (`x.float()`, every `torch.float32` among the arguments of a call)
    become casts to float64, those to shorter complex numbers casts to complex128, and the default
    dtype float64, which is what integers divided by a number (images) and new tensors have.
    """

    def __enter__(self) -> LiftToDouble:
        super().__enter__()  # type: ignore[no-untyped-call]
        self._default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        return self

    def __exit__(self, *error: Any) -> None:
        torch.set_default_dtype(self._default)
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _CASTS:
            return args[0].double()
        if func in _COMPLEX_CASTS:
            return args[0].cdouble()
        for argument in args:  # nearly every call has none: this loop is most of the check's cost
            if type(argument) is torch.dtype:
                args = [_lifted(each) for each in args]
                break
        if kwargs:
            return func(*args, **{key: _lifted(value) for key, value in kwargs.items()})
        return func(*args)


def _lifted(argument: Any) -> Any:
    return _DOUBLE.get(argument, argument) if type(argument) is torch.dtype else argument


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
        self._piecewise = _piecewise(table)
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
        bound = None
        if func in self._piecewise:
            bound = self._table.bind(func, args, kwargs or {})
        if bound is None or not _is_piecewise(bound[0]):
            return func(*args, **(kwargs or {}))
        operand = bound[1].get("input")
        if isinstance(operand, _T) and operand.requires_grad:
            self._add_pull(operand)
        result = func(*args, **(kwargs or {}))
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


def _is_piecewise(op: Op) -> bool:
    return op.identity_on is not None and op.module is not None


@cache
def _piecewise(table: OpTable) -> frozenset[Callable[..., Any]]:
    """The torch callables that may mean a piecewise activation."""
    functions = (
        spelling.function if isinstance(spelling, Spelling) else spelling
        for op in table.ops
        if _is_piecewise(op)
        for spelling in op.spellings
    )
    return frozenset(form for f in functions for form in (f, *in_place_forms(f)))


def _rows(tensor: _T) -> _T:
    return tensor.reshape(tensor.shape[0], -1) if tensor.dim() > 1 else tensor.reshape(1, -1)
