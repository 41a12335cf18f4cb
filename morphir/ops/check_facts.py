"""Checks what a declaration claims about numbers: FACT-1 to FACT-3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import torch

from morphir.ir.graph import Argument
from morphir.ops.base import Op, Sample
from morphir.ops.bounds import number_interval
from morphir.ops.interval import ANYTHING, Interval
from morphir.ops.paths import put_path, tensors_of
from morphir.ops.verdict import ContractError, results_of

_SCALES: Final = (1.0, 1e-3, 1e3, 1e30, 0.0)
_LARGE: Final = 1e4  # stands for an open end of an interval
_DTYPES: Final = (torch.float64, torch.float32, torch.bfloat16)


def check_bounds(op: Op, sample: Sample) -> None:
    """FACT-1: results lie in what follows from the arguments' intervals, however much is known."""
    if op.bounds is None:
        return
    for scale in _SCALES:
        for change in (torch.clone, torch.abs, _negative, _above, _below):
            arguments = _change_floats(sample.arguments, partial(_scaled, change, scale))
            results = results_of(op, arguments)
            for known in (_hull, _half_line, _nothing):
                interval = op.bounds(arguments, partial(_read, known))
                for result in results if op.bounds_all_outputs else results[:1]:
                    if not _inside(result, interval):
                        found = f"found {result.aminmax()}, expected {interval}"
                        raise ContractError(op, arguments, f"FACT-1: {found}")


def _negative(tensor: torch.Tensor) -> torch.Tensor:
    return -tensor.abs()


def _above(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.abs() + 2


def _below(tensor: torch.Tensor) -> torch.Tensor:
    return -_above(tensor)


def _scaled(
    change: Callable[[torch.Tensor], torch.Tensor], scale: float, tensor: torch.Tensor
) -> torch.Tensor:
    return change(tensor) * scale


def _read(known: Callable[[torch.Tensor], Interval], argument: Argument) -> Interval:
    return known(argument) if isinstance(argument, torch.Tensor) else number_interval(argument)


def _hull(tensor: torch.Tensor) -> Interval:
    if tensor.numel() == 0:
        return ANYTHING
    wide = tensor.to(torch.float64)
    return Interval(float(wide.min()), float(wide.max()))


def _half_line(tensor: torch.Tensor) -> Interval:
    return _hull(tensor).sign


def _nothing(_: torch.Tensor) -> Interval:
    return ANYTHING


def _inside(tensor: torch.Tensor, interval: Interval) -> bool:
    """Whether all finite numbers lie in an interval, to rounding: the law is about real numbers."""
    wide = tensor.to(torch.float64)
    finite = wide[wide.isfinite()]
    rounding = torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
    slack = max(1e-12, rounding) * finite.abs()
    return bool(((finite >= interval.low - slack) & (finite <= interval.high + slack)).all())


def check_identity(op: Op, sample: Sample) -> None:
    """FACT-2: bit-equal on the inputs that the declaration names, in several dtypes."""
    interval = op.identity_on(sample.arguments) if op.identity_on is not None else None
    if interval is None:
        return
    name = op.parameter_list[0].name
    for dtype in _DTYPES:
        arguments = _change_floats(sample.arguments, partial(torch.Tensor.to, dtype=dtype))
        for x in _numbers_in(interval, sample.arguments[name], dtype):
            if not torch.equal(op.execute({**arguments, name: x}), x):
                complaint = f"FACT-2: on {x} in {interval} it is not the identity"
                raise ContractError(op, arguments, complaint)


def _numbers_in(
    interval: Interval, like: torch.Tensor, dtype: torch.dtype
) -> Iterator[torch.Tensor]:
    """Tensors of numbers of an interval, its ends among them."""
    low, high = max(interval.low, -_LARGE), min(interval.high, _LARGE)
    picked = [low, high, 0.0, -0.0, 1e-30, 0.5 * (low + high)]
    ends = torch.tensor(picked, dtype=torch.float64).to(dtype)
    inside = ends[(ends.double() >= low) & (ends.double() <= high)]
    generator = torch.Generator().manual_seed(like.numel())
    shares = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    yield (low + shares * (high - low)).to(dtype).clamp(float(inside.min()), float(inside.max()))
    for end in inside:
        yield torch.full(like.shape, float(end), dtype=dtype)


def check_zero(op: Op, sample: Sample) -> None:
    """FACT-3: zeros in, zeros out."""
    name = op.parameter_list[0].name
    first = sample.arguments.get(name)
    if not op.keeps_zero or not isinstance(first, torch.Tensor):
        return
    arguments = {**sample.arguments, name: torch.zeros_like(first)}
    for result in results_of(op, arguments):
        if result.ne(0).any():
            raise ContractError(op, arguments, f"FACT-3: zeros became {result}")


def _change_floats(
    arguments: Mapping[str, Any], change: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, Any]:
    changed = dict(arguments)
    for name, argument in arguments.items():
        for path, tensor in tensors_of(argument, (name,)):
            if tensor.is_floating_point():
                changed = put_path(changed, path, change(tensor))
    return changed
