"""Tensors made from nothing, or from the shape of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.ir.graph import Argument
from morphir.ops.axes import Flow, Layout, SizeRule, make_layout
from morphir.ops.base import AxisRule, Instance, Op, Spelling
from morphir.ops.bounds import Reader, within
from morphir.ops.broadcast import nothing_moves, plain
from morphir.ops.declare import method, samples
from morphir.ops.forms import Atom
from morphir.ops.interval import Interval

_T: Any = torch.Tensor
# What says where a tensor lies, and nothing of its numbers.
HELD: Final = "-layout=None, -pin_memory=False, -requires_grad=False, -memory_format=None"


def _like(flow: Flow) -> AxisRule:
    """The rule of `zeros_like`: only the operand's shape is used."""

    def rule(instance: Instance) -> Layout:
        atoms = plain(instance.shapes[0])
        return make_layout([atoms], [atoms], dict.fromkeys(atoms, flow))

    return rule


def _sized(flow: Flow) -> AxisRule:
    """The rule of `zeros`: uniform along every axis; the numbers in the size must follow."""

    def rule(instance: Instance) -> Layout:
        outs = plain(instance.outputs[0])
        operands = [plain(shape) for shape in instance.shapes]
        flows: dict[Atom, Flow] = dict.fromkeys(outs, flow)
        flows |= {atom: "unused" for axes in operands for atom in axes}
        rules = [SizeRule(("size", k), atom) for k, atom in enumerate(outs)]
        return make_layout(operands, [outs], flows, rules)

    return rule


def _is_number(a: Mapping[str, Argument]) -> bool:
    return isinstance(a["data"], bool | int | float) or a["data"] == ()


def _has_dtype(a: Mapping[str, Argument]) -> bool:
    return isinstance(a["dtype"], torch.dtype)


def _fill(a: Mapping[str, Argument], of: Reader) -> Interval:
    return of(a["fill_value"])


def _ones(name: str, value: float) -> tuple[Op, ...]:
    """`zeros` or `ones`, with their `_like` and `new_` forms."""
    flow: Flow = "zero" if value == 0 else "uniform"
    bounds = within(value, value)
    new = getattr(_T, f"new_{name}")
    like = f"{name}_like"
    return (
        Op(
            name=name,
            parameters="*size, dtype=None, device=None",
            run=getattr(torch, name),
            spellings=(
                Spelling(
                    getattr(torch, name), f"*size, dtype=None, device=None, !out=None, {HELD}"
                ),
            ),
            axes=_sized(flow),
            bounds=bounds,
            samples=samples(lambda d: ({"size": (2, 3)}, {"size": (1, 2), "dtype": torch.float64})),
        ),
        Op(
            name=like,
            parameters="input, dtype=None, device=None",
            run=getattr(torch, like),
            spellings=(
                Spelling(getattr(torch, like), f"input, *, dtype=None, device=None, {HELD}"),
                *((Spelling(_T.zero_, "input"),) if value == 0 else ()),
            ),
            axes=_like(flow),
            bounds=bounds,
            samples=samples(
                lambda d: ({"input": d(2, 3)}, {"input": d(1), "dtype": torch.float32})
            ),
        ),
        Op(
            name=f"new_{name}",
            parameters="input, *size, dtype=None, device=None",
            run=lambda input, size, **more: new(input, size, **more),
            spellings=(Spelling(new, f"input, *size, dtype=None, device=None, {HELD}"),),
            axes=_sized(flow),
            bounds=bounds,
            samples=samples(lambda d: ({"input": d(2, 3), "size": (4, 1)},)),
        ),
    )


def _empty(name: str, operand: str, size: str, axes: AxisRule, shapes: Mapping[str, Any]) -> Op:
    """A tensor whose numbers are whatever lay in its memory; samples have none."""
    owner = _T if name.startswith("new_") else torch
    function = getattr(owner, name)
    parameters = ", ".join(filter(None, (operand, size, "dtype=None, device=None")))
    return Op(
        name=name,
        parameters=parameters,
        run=lambda *, dtype=None, device=None, **rest: function(
            *rest.values(), dtype=dtype, device=device
        ),
        spellings=(
            Spelling(
                function,
                f"{parameters}, {'' if operand else '!out=None, '}{HELD}",
            ),
        ),
        axes=axes,
        samples=samples(lambda d: ({n: d(*s) if n == "input" else s for n, s in shapes.items()},)),
    )


OPS = (
    *_ones("zeros", 0.0),
    *_ones("ones", 1.0),
    _empty("empty", "", "*size", _sized("fixed"), {"size": (2, 0)}),
    _empty("new_empty", "input", "*size", _sized("fixed"), {"input": (3,), "size": (2, 0)}),
    _empty("empty_like", "input", "", nothing_moves, {"input": (2, 0)}),
    Op(
        name="full",
        parameters="size, fill_value, dtype=None, device=None",
        run=torch.full,
        spellings=(
            Spelling(
                torch.full, f"size, fill_value, *, dtype=None, device=None, !out=None, {HELD}"
            ),
        ),
        axes=_sized("uniform"),
        bounds=_fill,
        samples=samples(lambda d: ({"size": (2, 3), "fill_value": 0.5},)),
    ),
    Op(
        name="full_like",
        parameters="input, fill_value, dtype=None, device=None",
        run=torch.full_like,
        spellings=(
            Spelling(torch.full_like, f"input, fill_value, *, dtype=None, device=None, {HELD}"),
            Spelling(_T.fill_, "input, value:fill_value"),
        ),
        axes=_like("uniform"),
        bounds=_fill,
        samples=samples(lambda d: ({"input": d(2, 3), "fill_value": 0.5},)),
    ),
    Op(
        name="new_full",
        parameters="input, size, fill_value, dtype=None, device=None",
        run=method(_T.new_full),
        spellings=(
            Spelling(_T.new_full, f"input, size, fill_value, *, dtype=None, device=None, {HELD}"),
        ),
        axes=_sized("uniform"),
        bounds=_fill,
        samples=samples(lambda d: ({"input": d(2), "size": (2, 3), "fill_value": 0.5},)),
    ),
    Op(
        name="tensor",
        parameters="data, dtype=None, device=None",
        run=torch.tensor,
        spellings=(
            Spelling(
                torch.tensor,
                "data, *, dtype=None, device=None, -requires_grad=False, -pin_memory=False",
                when=_is_number,
            ),
            Spelling(torch.as_tensor, "data, *, dtype=None, device=None", when=_is_number),
            Spelling(
                torch.scalar_tensor, f"s:data, *, dtype, device=None, {HELD}", when=_has_dtype
            ),
        ),
        axes=nothing_moves,
        bounds=lambda a, of: of(a["data"]),
        samples=samples(
            lambda d: ({"data": 2.5}, {"data": 3, "dtype": torch.float64}, {"data": ()})
        ),
    ),
    Op(
        name="arange",
        parameters="start=0, end, step=1, dtype=None, device=None",
        run=lambda end, start=0, step=1, **more: torch.arange(start, end, step, **more),
        spellings=(
            Spelling(torch.arange, f"end, *, dtype=None, device=None, !out=None, {HELD}"),
            Spelling(
                torch.arange, f"start, end, step=1, *, dtype=None, device=None, !out=None, {HELD}"
            ),
        ),
        axes=nothing_moves,
        samples=samples(
            lambda d: (
                {"end": 4},
                {"start": 1, "end": 7, "step": 2},
                {"end": 3, "dtype": torch.float64},
            )
        ),
    ),
    Op(
        name="linspace",
        parameters="start, end, steps, dtype=None, device=None",
        run=torch.linspace,
        spellings=(
            Spelling(
                torch.linspace, f"start, end, steps, *, dtype=None, device=None, !out=None, {HELD}"
            ),
        ),
        axes=nothing_moves,
        samples=samples(lambda d: ({"start": 0.0, "end": 1.0, "steps": 4},)),
    ),
    Op(
        name="eye",
        parameters="n, m=None, dtype=None, device=None",
        run=lambda n, m=None, **more: torch.eye(n, n if m is None else m, **more),
        spellings=(
            Spelling(torch.eye, f"n, m=None, *, dtype=None, device=None, !out=None, {HELD}"),
        ),
        axes=nothing_moves,
        bounds=within(0.0, 1.0),
        samples=samples(lambda d: ({"n": 3}, {"n": 2, "m": 3})),
    ),
)
