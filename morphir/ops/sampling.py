"""Random numbers.

What is drawn along an axis that changes is drawn anew, so every axis of the result is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from morphir.ir.graph import Argument
from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import BoundsRule, within
from morphir.ops.broadcast import nothing_moves
from morphir.ops.creation import HELD
from morphir.ops.declare import samples

_T: Any = torch.Tensor
_INFINITY = float("inf")


def _has_a_tensor(a: Mapping[str, Argument]) -> bool:
    return any(not isinstance(a[name], bool | int | float) for name in ("mean", "std"))


def _is_no_tensor(a: Mapping[str, Argument]) -> bool:
    return a["p"] is None or isinstance(a["p"], int | float)


def _has_a_size(a: Mapping[str, Argument]) -> bool:
    return a["size"] is not None


def _drawn(
    name: str, parameters: str, bounds: BoundsRule | None, *choices: Mapping[str, Any]
) -> Op:
    """`torch.name`, which makes a tensor of a size."""
    function = getattr(torch, name)
    return Op(
        name=name,
        parameters=f"{parameters}, dtype=None, device=None",
        run=function,
        spellings=(
            Spelling(
                function,
                f"{parameters}, *, dtype=None, device=None, !out=None, !generator=None, {HELD}",
            ),
        ),
        axes=nothing_moves,
        bounds=bounds,
        samples=samples(lambda d: choices),
    )


def _drawn_like(name: str, parameters: str, bounds: BoundsRule | None, *choices: Any) -> Op:
    """`torch.name_like`."""
    function = getattr(torch, name)
    return Op(
        name=name,
        parameters=f"{parameters}, dtype=None, device=None",
        run=function,
        spellings=(Spelling(function, f"{parameters}, *, dtype=None, device=None, {HELD}"),),
        axes=nothing_moves,
        bounds=bounds,
        samples=samples(lambda d: ({"input": d(2, 3), **choice} for choice in choices)),
    )


def _filled(
    name: str, parameters: str, bounds: BoundsRule | None, *choices: Any, spelled: str = ""
) -> Op:
    """`x.name_()`: only the shape and dtype of the operand are used."""
    function = getattr(_T, f"{name}_")

    def run(input: torch.Tensor, **rest: Any) -> torch.Tensor:
        return function(torch.empty_like(input), *rest.values())  # type: ignore[no-any-return]

    return Op(
        name=f"{name}_like",
        parameters=f"input, {parameters}",
        run=run,
        spellings=(Spelling(function, f"input, {spelled or parameters}, *, !generator=None"),),
        axes=nothing_moves,
        bounds=bounds,
        samples=samples(lambda d: ({"input": d(2, 3), **choice} for choice in choices)),
    )


def _bernoulli(input: torch.Tensor, p: Any = None) -> torch.Tensor:
    if p is None:
        return torch.bernoulli(input)
    return torch.empty_like(input).bernoulli_(p)


OPS = (
    _drawn("rand", "*size", within(0.0, 1.0), {"size": (2, 3)}),
    _drawn("randn", "*size", None, {"size": (2, 3)}),
    _drawn("randperm", "n", within(0.0, _INFINITY), {"n": 5}),
    Op(
        name="randint",
        parameters="low=0, high, size, dtype=None, device=None",
        run=lambda high, size, low=0, **more: torch.randint(low, high, size, **more),
        spellings=tuple(
            Spelling(
                torch.randint,
                f"{bounds}, size, *, dtype=None, device=None, !out=None, !generator=None, {HELD}",
            )
            for bounds in ("high", "low, high")
        ),
        axes=nothing_moves,
        samples=samples(
            lambda d: ({"high": 4, "size": (2, 3)}, {"low": -2, "high": 3, "size": (5,)})
        ),
    ),
    _drawn_like("rand_like", "input", within(0.0, 1.0), {}, {"dtype": torch.float32}),
    _drawn_like("randn_like", "input", None, {}, {"dtype": torch.float32}),
    _filled(
        "uniform",
        "low=0, high=1",
        None,
        {},
        {"low": -1, "high": 2},
        spelled="from:low=0, to:high=1",
    ),
    _filled("normal", "mean=0, std=1", None, {}, {"mean": 1, "std": 0.5}),
    _filled("exponential", "lambd=1", within(0.0, _INFINITY), {}, {"lambd": 2}),
    Op(
        name="bernoulli",
        parameters="input, p=None",
        run=_bernoulli,
        spellings=(
            Spelling(
                torch.bernoulli, "input, p=None, *, !generator=None, !out=None", when=_is_no_tensor
            ),
            Spelling(_T.bernoulli, "input, p=None, *, !generator=None", when=_is_no_tensor),
            Spelling(
                _T.bernoulli_, "input, p=0.5, *, !generator=None", when=lambda a: a["p"] is not None
            ),
        ),
        axes=nothing_moves,
        samples=samples(
            lambda d: (
                {"input": d.positive(2, 3) / 2},
                {"input": d(2, 3), "p": 0.5},
                {"input": d(2, 3), "p": 0.1},
                {"input": d(2, 3), "p": d.positive(2, 3) / 2},
            )
        ),
    ),
    Op(
        name="normal",
        parameters="mean, std=1.0, size=None",
        run=lambda mean, std=1.0, size=None: (
            torch.normal(mean, std) if size is None else torch.normal(mean, std, size)
        ),
        spellings=(
            Spelling(
                torch.normal, "mean, std=1.0, *, !generator=None, !out=None", when=_has_a_tensor
            ),
            Spelling(
                torch.normal,
                "mean, std, size, *, !generator=None, !out=None, !dtype=None, -device=None",
                when=_has_a_size,
            ),
        ),
        axes=nothing_moves,
        samples=samples(
            lambda d: (
                {"mean": d(2, 3)},
                {"mean": d(2, 3), "std": d.positive(2, 3)},
                {"mean": 0.0, "std": d.positive(2, 3)},
                {"mean": 0.0, "std": 1.0, "size": (2, 3)},
            )
        ),
    ),
    Op(
        name="multinomial",
        parameters="input, num_samples, replacement=False",
        run=torch.multinomial,
        spellings=tuple(
            Spelling(function, f"input, num_samples, replacement=False, *, !generator=None{more}")
            for function, more in ((torch.multinomial, ", !out=None"), (_T.multinomial, ""))
        ),
        axes=nothing_moves,
        samples=samples(
            lambda d: (
                {"input": d.positive(2, 3), "num_samples": 1, "replacement": True},
                {"input": d.positive(3), "num_samples": 2},
            )
        ),
    ),
)
