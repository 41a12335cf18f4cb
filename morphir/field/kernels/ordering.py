"""The largest of many, sorting, and max pooling.

FIELD-5  the order of numbers is a keyed one: any two can be compared, equal ones are equal, and
         nothing else is kept
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch

from morphir.field.residues import Kernel, Residues, Run

aten = torch.ops.aten


def _rank(run: Run, tensor: Residues) -> torch.Tensor:
    return run.functions.value("order", tensor.residues)


def _extreme(sign: int) -> Kernel:
    def found(
        run: Run, tensor: Residues, axes: int | Sequence[int] = (), keepdim: bool = False
    ) -> Residues:
        given = [axes] if isinstance(axes, int) else [*axes]
        along = sorted(axis % tensor.dim() for axis in given or range(tensor.dim()))
        others = [axis for axis in range(tensor.dim()) if axis not in along]
        rows = aten.permute(tensor, [*others, *along]).flatten(len(others))
        places = (sign * _rank(run, rows)).argmax(-1, keepdim=True)
        value = rows.residues.gather(-1, places).squeeze(-1)
        for axis in along if keepdim else ():
            value = value.unsqueeze(axis)
        return run.wrap(value, tensor)

    return found


def _best(name: str) -> Kernel:
    """`torch.max` and `torch.min`, which are three functions each."""
    everything, pairwise = f"a{name}", f"{name}imum"

    def found(run: Run, tensor: Any, axis: Any = None, keepdim: bool = False) -> Any:
        if axis is None:
            return COMPUTED[everything](run, tensor)
        if isinstance(axis, torch.Tensor):
            return getattr(aten, pairwise)(tensor, axis)
        places = getattr(_rank(run, tensor), f"arg{name}")(axis, keepdim=True)
        value, at = tensor.residues.gather(axis, places), places
        if not keepdim:
            value, at = value.squeeze(axis), at.squeeze(axis)
        return run.wrap(value, tensor), at

    return found


def _place(name: str) -> Kernel:
    def found(
        run: Run, tensor: Residues, axis: int | None = None, keepdim: bool = False
    ) -> torch.Tensor:
        place: torch.Tensor = getattr(_rank(run, tensor), name)(axis, keepdim)
        return place

    return found


def top(
    run: Run, tensor: Residues, count: int, axis: int = -1, largest: bool = True, *rest: Any
) -> Any:
    """The largest ones and their places."""
    places = _rank(run, tensor).topk(count, axis, largest).indices
    return run.wrap(tensor.residues.gather(axis, places), tensor), places


def sort(
    run: Run,
    tensor: Residues,
    dim: int = -1,
    descending: bool = False,
    *,
    stable: bool | None = None,
) -> Any:
    """All of them and their places; equal ones stay in their order."""
    places = _rank(run, tensor).sort(dim=dim, descending=descending, stable=True).indices
    return run.wrap(tensor.residues.gather(dim, places), tensor), places


def _pool(function: Callable[..., Any], axes: int) -> Kernel:
    """Max pooling, which says where it found what: float64 holds a rank exactly."""

    def pooled(run: Run, image: Residues, *args: Any, **kwargs: Any) -> Any:
        _, places = function(_rank(run, image).double(), *args, **kwargs)
        flat = image.residues.flatten(-axes).gather(-1, places.flatten(-axes))
        return run.wrap(flat.reshape(places.shape), image), places

    return pooled


def max_pool_1d(run: Run, line: Residues, *args: Any, **kwargs: Any) -> Any:
    """Max pooling along one axis."""
    return _pool(aten.max_pool1d_with_indices, 1)(run, line, *args, **kwargs)[0]


COMPUTED: Final[Mapping[str, Kernel]] = {
    "amax": _extreme(1),
    "amin": _extreme(-1),
    "max": _best("max"),
    "min": _best("min"),
    "argmax": _place("argmax"),
    "argmin": _place("argmin"),
    "topk": top,
    "sort": sort,
    "argsort": lambda *args, **kwargs: sort(*args, **kwargs)[1],
    "max_pool1d": max_pool_1d,
    "max_pool2d_with_indices": _pool(aten.max_pool2d_with_indices, 2),
    "max_pool3d_with_indices": _pool(aten.max_pool3d_with_indices, 3),
    "adaptive_max_pool1d": _pool(aten.adaptive_max_pool1d, 1),
    "adaptive_max_pool2d": _pool(aten.adaptive_max_pool2d, 2),
    "adaptive_max_pool3d": _pool(aten.adaptive_max_pool3d, 3),
}
