"""Tensors that a model makes of nothing: zeros to be written into, and random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.field.residues import Kernel, Residues, Run

_FILLS: Final = {"zeros": 0.0, "ones": 1.0, "empty": 0.0, "empty_strided": 0.0}


def _dtype(args: tuple[Any, ...], kwargs: Mapping[str, Any], filling: Any) -> torch.dtype:
    """What a call makes: as it says, as the tensor it is called on, or as what is filled in."""
    stated = kwargs.get("dtype")
    if isinstance(stated, torch.dtype):
        return stated
    if isinstance(args[0], torch.Tensor):
        return args[0].dtype
    if isinstance(filling, bool | int):
        return torch.bool if isinstance(filling, bool) else torch.int64
    return torch.get_default_dtype()


def _device(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    stated = kwargs.get("device")
    return args[0].device if stated is None and isinstance(args[0], torch.Tensor) else stated


def _shape(name: str, args: tuple[Any, ...]) -> Any:
    if name.startswith("new_"):
        return args[1]
    return args[0].shape if isinstance(args[0], torch.Tensor) else args[0]


def filled(run: Run, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Numbers that are all the same: whatever may be written into them later fits."""
    name = func.overloadpacket.__name__
    kind = name.removeprefix("new_").removesuffix("_like")
    filling: Any = _FILLS.get(kind, args[-1] if len(args) > 1 else kwargs.get("fill_value"))
    dtype = _dtype(args, kwargs, filling)
    if not dtype.is_floating_point:
        plain = tuple(each.residues if isinstance(each, Residues) else each for each in args)
        return func(*plain, **kwargs)
    residues = torch.full(_shape(name, args), run.number(filling), device=_device(args, kwargs))
    return Residues(residues, dtype, run)


def drawn(run: Run, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Random numbers: any residues."""
    name = func.overloadpacket.__name__
    residues = run.draw(_shape(name, args), _device(args, kwargs))
    return Residues(residues, _dtype(args, kwargs, None), run)


MAKERS: Final[Mapping[str, Kernel]] = {
    **{
        f"{before}{kind}{after}": filled
        for kind in ("zeros", "ones", "full", "empty")
        for before, after in (("", ""), ("new_", ""), ("", "_like"))
    },
    "empty_strided": filled,
    **dict.fromkeys(("rand", "randn", "rand_like", "randn_like"), drawn),
}
