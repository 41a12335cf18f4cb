"""Runs an ONNX file and the module that it came from on the same numbers.

ONNX-1   at batch sizes other than the exported one every floating-point output agrees to 1e-5
         of its root mean square, or, where that is more, to 4 times the module's own rounding
         error (its distance from itself in float64), but never by more than 1e-2; every other
         output agrees exactly
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import nn

from morphir.checks import double_copy, observe
from morphir.errors import RefusalError, VerificationError
from morphir.ir import Check, Grade, Report
from morphir.randomness import forked_random_state
from morphir.tensors import tensors_in

TOLERANCE: Final = 1e-5  # ONNX-1
CHECKED_SIZES: Final = (1, 2, 7)
_ROUNDINGS: Final = 4  # ONNX-1
_LIMIT: Final = 1e-2  # ONNX-1
Row = tuple[torch.Tensor, ...]
Batch = tuple[Row, list[torch.Tensor], list[torch.Tensor | None]]


@final
@dataclass(frozen=True)
class Comparison:
    """What onnxruntime returned beside what the module did.

    Attributes:
        worst: Largest relative difference among the floating-point outputs.
        equal: Whether all other outputs are equal.
        agrees: Whether every floating-point output is near enough (ONNX-1).
    """

    worst: float = 0.0
    equal: bool = True
    agrees: bool = True

    @classmethod
    def of(
        cls, wanted: torch.Tensor, actual: torch.Tensor, exact: torch.Tensor | None = None
    ) -> Comparison:
        """Compares one output, given what it is in float64 if that could be had (ONNX-1)."""
        if not wanted.is_floating_point():
            return cls(equal=torch.equal(wanted, actual))
        worst = distance(wanted, actual)
        own = distance(exact, wanted) if exact is not None else 0.0
        return cls(worst, agrees=worst <= min(max(TOLERANCE, _ROUNDINGS * own), _LIMIT))

    def check(self) -> None:
        """Raises unless everything agrees (ONNX-2)."""
        if self.agrees and self.equal:
            return
        summary = f"worst relative difference {self.worst:.1e}, integer outputs "
        summary += "equal" if self.equal else "different"
        raise VerificationError(
            "the ONNX file differs from the module (ONNX-1), so it was not written",
            report=Report(Grade.REFUTED, checks=(Check("onnx", Grade.REFUTED, summary),)),
        )


def compare(session: Any, batches: Iterator[Batch]) -> Comparison:
    """Runs a session on batches and compares what it returns."""
    found: list[Comparison] = []
    for args, expected, exact in batches:
        returned = _run(session, args)
        if [t.shape for t in expected] != [t.shape for t in returned]:
            raise VerificationError(
                f"the ONNX file returns {[[*t.shape] for t in returned]}, the module "
                f"{[[*t.shape] for t in expected]} (ONNX-1), so it was not written"
            )
        found += map(Comparison.of, expected, returned, exact)
    return Comparison(
        max((each.worst for each in found), default=0.0),
        all(each.equal for each in found),
        all(each.agrees for each in found),
    )


def _run(session: Any, args: Row) -> list[torch.Tensor]:
    names = [each.name for each in session.get_inputs()]
    feed = {name: arg.numpy(force=True) for name, arg in zip(names, args, strict=True)}
    try:
        return [torch.from_numpy(array) for array in session.run(None, feed)]
    except Exception as error:
        shapes = ", ".join(str([*arg.shape]) for arg in args)
        raise RefusalError(
            f"onnxruntime can't run the file on inputs of shape {shapes}, which the module takes: "
            f"{first_line(error)}",
            suggestions=["inputs and layers whose first axis is the batch (batch_first=True)"],
        ) from error


def first_line(error: BaseException) -> str:
    """What an error says, without the pages that compilers add."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def distance(wanted: torch.Tensor, actual: torch.Tensor) -> float:
    """Largest difference relative to the root mean square; where both are NaN there is none."""
    left, right = wanted.double(), actual.double()
    same = (left == right) | (left.isnan() & right.isnan())
    if bool(same.all()):
        return 0.0
    scale = left[left.isfinite()].square().mean().sqrt()
    relative = (left - right).abs() / scale
    worst = relative[~same].nan_to_num(nan=float("inf"), posinf=float("inf")).max()
    return float(worst)


def rows_of(args: Row, size: int, wanted: int, *, noise: bool = False) -> Row:
    """The arguments with another number of rows and other numbers; constants stay."""

    def vary(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or tensor.shape[0] != size:
            return tensor
        rows = tensor[torch.arange(wanted, device=tensor.device) % size]
        if not rows.is_floating_point():
            return rows
        factors = torch.rand(rows.shape, device=rows.device).to(rows) / 2 + 0.5
        return rows * factors + (torch.randn_like(rows) if noise else 0)

    with forked_random_state(wanted):
        return tuple(map(vary, args))


def batches_of(module: nn.Module, args: Row, size: int) -> Iterator[Batch]:
    """Arguments, scaled and noisy; what the module returns for them; and that in float64."""
    double = double_copy(module)
    for wanted, noise in (*((each, False) for each in CHECKED_SIZES), (CHECKED_SIZES[-1], True)):
        batch = rows_of(args, size, wanted, noise=noise)
        try:
            with torch.no_grad():
                returned = [tensor.cpu() for _, tensor in tensors_in(module(*batch))]
        except Exception as error:
            if noise:  # numbers that it was not made for
                return
            raise RefusalError(
                f"{type(module).__name__} does not run on the example inputs with a batch of "
                f"{wanted}: {type(error).__name__}: {first_line(error)}",
                suggestions=["a forward that takes any batch size"],
            ) from error
        observation = observe(double, {"forward": (batch, {})}, in_double=True)
        exact = [t.cpu() for _, t in tensors_in(observation.results.get("forward"))]
        is_alike = [t.shape for t in exact] == [t.shape for t in returned]
        yield batch, returned, [*exact] if is_alike else [None] * len(returned)
