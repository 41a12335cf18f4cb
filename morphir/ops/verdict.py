"""What the checks of a declaration share: how a claim fails, and when two results are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch

from morphir.errors import MorphirError
from morphir.ops.base import Op
from morphir.tensors import tensors_in

_RTOL: Final = 1e-9  # in float64, for the sums of a few dozen products that samples have


class ContractError(MorphirError):
    """A declaration claims something that its op does not do."""

    def __init__(self, op: Op, arguments: Mapping[str, Any], complaint: str) -> None:
        shown = ", ".join(f"{name}={_show(value)}" for name, value in arguments.items())
        super().__init__(f"op {op.name!r} on ({shown}): {complaint}")


def _show(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{[*value.shape]}".removeprefix("torch.")
    if isinstance(value, tuple):
        return f"({', '.join(map(_show, value))})"
    return repr(value)


def same_draws() -> None:
    """Makes what is random draw the same as after the last call of this function."""
    torch.default_generator.manual_seed(0)


def results_of(op: Op, arguments: Mapping[str, Any]) -> list[torch.Tensor]:
    """Runs an op and lists the tensors that it returns; a random one draws the same each time."""
    same_draws()
    return [tensor for _, tensor in tensors_in(op.execute(arguments))]


def close(
    actual: torch.Tensor, expected: torch.Tensor, operands: Iterable[torch.Tensor] = ()
) -> bool:
    """Equal, or equal to the rounding of a short sum in the tensors' dtype.

    With `operands`, what they were computed from: where terms cancel, rounding is relative to the
    terms and not to the sum.
    """
    if actual.dtype != expected.dtype:
        return False
    if not actual.is_floating_point():
        return torch.equal(actual, expected)
    rounding = max(_RTOL, 8 * torch.finfo(expected.dtype).eps)
    scale = max(map(_size, [expected, *operands]))
    return torch.allclose(actual, expected, rounding, rounding * scale, equal_nan=True)


def _size(tensor: torch.Tensor) -> float:
    """The largest finite magnitude."""
    if not tensor.is_floating_point():
        return 0.0
    finite = tensor[tensor.isfinite()].abs()
    return float(finite.max()) if finite.numel() else 0.0
