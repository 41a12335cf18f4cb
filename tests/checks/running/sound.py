"""Whether bounds hold: float32 results, their bounds, and the same computed in float64."""

from collections.abc import Callable
from typing import Any

import torch

from morphir.checks.running import RunningError
from morphir.tensors import map_tensors

Function = Callable[..., torch.Tensor]


def bounded(function: Function, *operands: Any) -> tuple[torch.Tensor, torch.Tensor, RunningError]:
    """What a function returns in float32, and a bound for each element."""
    with torch.no_grad(), RunningError() as run:
        result = function(*operands)
    bound = run.bound(result)
    return result, torch.zeros(result.shape).double() if bound is None else bound, run


def assert_bounded(function: Function, *operands: Any, known: float = 1.0) -> None:
    """Every element is within its bound, and a share of the bounds is finite.

    The operands themselves are rounded before the function sees them: it is called on their
    cosines.
    """

    def whole(*given: Any) -> torch.Tensor:
        return function(*map_tensors(given, lambda t: t.cos() if t.is_floating_point() else t))

    result, bound, run = bounded(whole, *operands)
    lifted = map_tensors(operands, lambda t: t.double() if t.is_floating_point() else t)
    with torch.no_grad():
        exact = whole(*lifted)
    error = (result.double() - exact).abs()
    assert bool((error <= bound).all()), f"{error.max()} where {bound.max()} is allowed"
    assert not run.lost, run.lost
    assert not run.without_rule, run.without_rule
    finite = bound[bound.isfinite()]
    assert finite.numel() >= known * bound.numel()
    assert not finite.numel() or float(finite.max()) < 0.1 * float(exact.abs().max() + 1)
    assert float(bound.max()) > 0, "nothing was rounded, so nothing was tested"
