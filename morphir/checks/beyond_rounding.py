"""Whether two models differ by more than rounding can do.

RUN-9    in float64, no element of an output differs by more than the running error bounds of both
         models together, which hold for any order of sums
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import nn

from morphir.checks.calling import Arguments, call_entry_point
from morphir.checks.comparison import numbers_in
from morphir.checks.extended import Extended
from morphir.checks.power import LiftToDouble
from morphir.checks.running import RunningError


@final
@dataclass(frozen=True)
class Rounding:
    """What rounding can explain, over all outputs of an entry point.

    Attributes:
        bound: The largest bound on a difference, relative to the size of the element and that of
            the output; infinite where nothing is known.
        beyond: The path of an output that differs by more than its bound, or None.
        difference: The largest difference that is beyond its bound.
        allowed: That bound.
    """

    bound: float = 0.0
    beyond: str | None = None
    difference: float = 0.0
    allowed: float = 0.0


def beyond_rounding(
    models: tuple[nn.Module, nn.Module],
    entry_point: str,
    arguments: tuple[Arguments, Arguments],
    extended: Extended,
) -> Rounding:
    """Compares what an entry point of two float64 models returns, on arguments of each (RUN-9).

    Outputs without a bound, of other shapes or types and of infinite numbers are passed over: it is
    for RUN-1 to compare them.
    """
    runs = []
    for model, given in zip(models, arguments, strict=True):
        with RunningError() as error, LiftToDouble():
            result = call_entry_point(model, entry_point, given)
        runs.append((numbers_in(extended.seen(entry_point, result)), error))
    (old, old_error), (new, new_error) = runs
    if old_error.lost or new_error.lost:
        return Rounding(bound=torch.inf)
    found = Rounding()
    for path, tensor in old.items():
        other = new.get(path)
        if other is None or other.shape != tensor.shape or other.dtype != tensor.dtype:
            continue
        if not tensor.is_floating_point():
            continue
        allowed = torch.zeros(tensor.shape, dtype=torch.float64)
        for each, error in ((tensor, old_error), (other, new_error)):
            bound = error.bound(each)
            allowed = allowed if bound is None else allowed + bound
        found = _worse(found, path, tensor, other, allowed)
    return found


def _worse(
    found: Rounding, path: str, old: torch.Tensor, new: torch.Tensor, allowed: torch.Tensor
) -> Rounding:
    if not old.numel():
        return found
    scale = old.abs() + old[old.isfinite()].square().mean().sqrt().nan_to_num()
    relative = float((allowed / scale).nan_to_num(torch.inf, torch.inf).max())
    bound = max(found.bound, relative)
    differences, allowed = (old - new).abs().reshape(-1), allowed.reshape(-1)
    beyond = torch.where(differences.isfinite() & (differences > allowed), differences, 0.0)
    worst = int(beyond.argmax())
    if float(beyond[worst]) <= found.difference:
        return replace(found, bound=bound)
    return Rounding(bound, path, float(differences[worst]), float(allowed[worst]))
