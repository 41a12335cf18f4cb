"""Reductions: mean, sum, extrema, norms, and what runs along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from morphir.ir.graph import Argument
from morphir.ops.axes import Flow, Layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import BoundsRule, Reader, same, sign, within
from morphir.ops.broadcast import along, reduce_axes, reducing
from morphir.ops.declare import everywhere, samples
from morphir.ops.interval import ANYTHING, NON_NEGATIVE, Interval

_T: Any = torch.Tensor
_REDUCED = samples(
    lambda d: (
        {"input": d(3, 4), "dim": 1},
        {"input": d(2, 3, 4), "dim": (1, 2), "keepdim": True},
        {"input": d(2, 3, 4), "dim": -1},
        {"input": d(3, 4)},
        {"input": d(3, 1), "dim": 1},
    )
)
_ONE_AXIS = samples(
    lambda d: (
        {"input": d(3, 4), "dim": 1},
        {"input": d(2, 3, 4), "dim": -2, "keepdim": True},
    )
)


def _reduction(
    name: str, flow: Flow, rest: Flow, bounds: BoundsRule, *, dtype: bool, **fields: Any
) -> Op:
    """A reduction spelled `torch.name(input, dim, keepdim)`, with a dtype by keyword or without."""
    extra = ", dtype=None" * dtype
    return Op(
        name=name,
        parameters=f"input, dim=None, keepdim=False{extra}",
        run=_reduce(name),
        spellings=everywhere(name, f"input, dim=None, keepdim=False{', *' * dtype}{extra}"),
        axes=reducing(flow, rest),
        bounds=bounds,
        samples=_REDUCED,
        **fields,
    )


def _reduce(name: str) -> Any:
    """Runs a reduction whose torch function does not take `dim=None`."""
    function = getattr(torch, name)

    def run(
        input: torch.Tensor, dim: Any = None, keepdim: bool = False, **more: Any
    ) -> torch.Tensor:
        if dim is None:
            dim = tuple(range(input.dim()))
        return function(input, dim=dim, keepdim=keepdim, **more)  # type: ignore[no-any-return]

    return run


def _variance_rule(instance: Instance) -> Layout:
    """Equal copies keep a mean of squares; where n - 1 divides, only permutations do."""
    return reduce_axes(instance, "stat" if instance["correction"] == 0 else "norm")


def _norm_rule(instance: Instance) -> Layout:
    """A maximum norm needs each unit once; sums of powers take permutations."""
    infinite = instance["p"] in (float("inf"), -float("inf"), "inf", "-inf")
    return reduce_axes(instance, "extremum" if infinite else "norm")


def _spread(name: str, bounds: BoundsRule) -> Op:
    """`var`, `std` and, with the mean, `var_mean`, `std_mean`."""
    function = getattr(torch, name)

    def run(
        input: torch.Tensor, dim: Any = None, keepdim: bool = False, correction: Any = 1
    ) -> Any:
        return function(input, dim=dim, keepdim=keepdim, correction=correction)

    biased = (("correction", 0),)
    own = [f for f in (function, getattr(_T, name, None)) if f is not None]
    return Op(
        name=name,
        parameters="input, dim=None, keepdim=False, correction=1",
        run=run,
        spellings=tuple(
            spelling
            for f in own
            for spelling in (
                Spelling(f, "input, dim=None, *, correction=1, keepdim=False", when=_is_axes),
                Spelling(f, "input, dim, !unbiased=True, keepdim=False", when=_is_axes),
                Spelling(f, "input, dim, !unbiased=False, keepdim=False", biased, _is_axes),
                Spelling(f, "input, !unbiased=True"),
                Spelling(f, "input, !unbiased=False", biased),
            )
        ),
        axes=_variance_rule,
        bounds=bounds,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "dim": 1},
                {"input": d(3, 4), "dim": 1, "correction": 0},
                {"input": d(2, 3, 4), "dim": (1, 2), "keepdim": True, "correction": 0},
                {"input": d(3, 4)},
                {"input": d(3, 4), "correction": 0},
            )
        ),
    )


def _is_axes(a: Mapping[str, Argument]) -> bool:
    return not isinstance(a["dim"], bool)


def _has_axis(a: Mapping[str, Argument]) -> bool:
    return a["dim"] is not None


def _is_vector_norm(a: Mapping[str, Argument]) -> bool:
    return bool(a["p"] != "nuc")


def _norm_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    return NON_NEGATIVE


def _norm(input: torch.Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> torch.Tensor:
    norm: torch.Tensor = torch.linalg.vector_norm(input, 2 if p == "fro" else p, dim, keepdim)
    return norm


def _extremum(name: str) -> Op:
    """`torch.max(x, dim)`: values and indices."""
    return Op(
        name=f"{name}_with_indices",
        parameters="input, dim, keepdim=False",
        run=getattr(torch, name),
        spellings=tuple(
            Spelling(f, "input, dim, keepdim=False", when=lambda a: type(a["dim"]) is int)
            for f in (getattr(torch, name), getattr(_T, name))
        ),
        axes=reducing("fixed"),
        bounds=same,
        samples=_ONE_AXIS,
    )


def _index(name: str) -> Op:
    return Op(
        name=name,
        parameters="input, dim=None, keepdim=False",
        run=getattr(torch, name),
        spellings=everywhere(name),
        axes=reducing("fixed"),
        bounds=within(0.0, float("inf")),
        samples=samples(lambda d: ({"input": d(3, 4), "dim": 1}, {"input": d(3, 4)})),
    )


def _running(name: str, rest: Flow, bounds: BoundsRule, *, dtype: bool, keeps_zero: bool) -> Op:
    """`cumsum` and the like: the axis is fixed."""
    extra = ", dtype=None" * dtype
    return Op(
        name=name,
        parameters=f"input, dim{extra}",
        run=getattr(torch, name),
        spellings=everywhere(name, f"input, dim{', *' * dtype}{extra}"),
        axes=along("fixed", rest),
        bounds=bounds,
        keeps_zero=keeps_zero,
        samples=samples(lambda d: ({"input": d(3, 4), "dim": 1}, {"input": d(2, 3, 4), "dim": -2})),
    )


def _whole(name: str) -> tuple[Spelling, ...]:
    """`torch.max(x)` is `amax` over everything."""
    return everywhere(name, "input")


OPS = (
    _reduction("mean", "stat", "lin", same, dtype=True, keeps_zero=True),
    _reduction("sum", "sum", "lin", sign, dtype=True, keeps_zero=True),
    Op(
        name="amax",
        parameters="input, dim=(), keepdim=False",
        run=torch.amax,
        spellings=(*everywhere("amax"), *_whole("max")),
        axes=reducing("extremum"),
        bounds=same,
        keeps_zero=True,
        samples=_REDUCED,
    ),
    Op(
        name="amin",
        parameters="input, dim=(), keepdim=False",
        run=torch.amin,
        spellings=(*everywhere("amin"), *_whole("min")),
        axes=reducing("extremum"),
        bounds=same,
        keeps_zero=True,
        samples=_REDUCED,
    ),
    _extremum("max"),
    _extremum("min"),
    _index("argmax"),
    _index("argmin"),
    _spread("var", lambda a, of: NON_NEGATIVE),
    _spread("std", lambda a, of: NON_NEGATIVE),
    _spread("var_mean", lambda a, of: NON_NEGATIVE),
    _spread("std_mean", lambda a, of: NON_NEGATIVE),
    Op(
        name="norm",
        parameters="input, p=2, dim=None, keepdim=False",
        run=_norm,
        spellings=(
            Spelling(
                torch.norm,
                "input, p='fro', dim=None, keepdim=False, !out=None, !dtype=None",
                when=_is_vector_norm,
            ),
            Spelling(
                _T.norm,
                "input, p='fro', dim=None, keepdim=False, !dtype=None",
                when=_is_vector_norm,
            ),
            Spelling(
                torch.linalg.vector_norm, "input, p=2, dim=None, keepdim=False, *, !dtype=None"
            ),
        ),
        axes=_norm_rule,
        bounds=_norm_bounds,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(3, 4)},
                {"input": d(3, 4), "dim": 1},
                {"input": d(3, 4), "p": 1, "dim": 1, "keepdim": True},
                {"input": d(3, 4), "p": float("inf"), "dim": 1},
            )
        ),
    ),
    Op(
        name="prod",
        parameters="input, dim=None, keepdim=False, dtype=None",
        run=lambda input, dim=None, keepdim=False, dtype=None: (
            torch.prod(input, dtype=dtype)
            if dim is None
            else torch.prod(input, dim, keepdim, dtype=dtype)
        ),
        spellings=(
            *everywhere("prod", "input, *, dtype=None"),
            *(
                Spelling(f, "input, dim, keepdim=False, *, dtype=None", when=_has_axis)
                for f in (torch.prod, _T.prod)
            ),
        ),
        axes=reducing("norm"),
        bounds=lambda a, of: NON_NEGATIVE if of(a["input"]).low >= 0 else ANYTHING,
        samples=samples(lambda d: ({"input": d(3, 4), "dim": 1}, {"input": d(3, 4)})),
    ),
    Op(
        name="logsumexp",
        parameters="input, dim, keepdim=False",
        run=torch.logsumexp,
        spellings=everywhere("logsumexp"),
        axes=reducing("norm"),
        samples=_ONE_AXIS,
    ),
    *(
        Op(
            name=name,
            parameters="input, dim=None, keepdim=False",
            run=_reduce(name),
            spellings=(
                *everywhere(name, "input"),
                *everywhere(name, "input, dim, keepdim=False"),
                *((Spelling(torch._is_all_true, "input"),) if name == "all" else ()),
            ),
            axes=reducing("extremum"),
            bounds=within(0.0, 1.0),
            samples=samples(
                lambda d: ({"input": d.flags(3, 4), "dim": 1}, {"input": d.flags(3, 4)})
            ),
        )
        for name in ("any", "all")
    ),
    _running("cumsum", "lin", sign, dtype=True, keeps_zero=True),
    _running("cumprod", "map", lambda a, of: ANYTHING, dtype=True, keeps_zero=True),
    _running("logcumsumexp", "map", lambda a, of: ANYTHING, dtype=False, keeps_zero=False),
)
