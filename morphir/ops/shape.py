"""Data movement that multiplies and permutes: views, permutations, expansion, repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from morphir.ir.graph import Argument
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import same, with_zero
from morphir.ops.broadcast import along
from morphir.ops.declare import everywhere, method, samples
from morphir.ops.regroup import (
    flatten_rule,
    squeeze_rule,
    unflatten_rule,
    unsqueeze_rule,
    view_as_rule,
    view_rule,
)
from morphir.ops.spread import (
    expand_as_rule,
    expand_rule,
    permuting,
    repeat_interleave_rule,
    repeat_rule,
)

_T: Any = torch.Tensor


def _getter(name: str) -> Any:
    """What a recording sees of a property."""
    return getattr(_T, name).__get__


def _movement(
    name: str, parameters: str, spellings: tuple[Any, ...], axes: Any, choices: Any, **fields: Any
) -> Op:
    """An op that only moves elements of its first operand: it keeps bounds and zeros."""
    run = fields.pop("run", None) or getattr(torch, name, None) or getattr(_T, name)
    return Op(
        name=name,
        parameters=parameters,
        run=run,
        spellings=spellings,
        axes=axes,
        bounds=fields.pop("bounds", same),
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(*shape), **more} for shape, more in choices)),
        **fields,
    )


def _pairs(shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Any:
    return samples(lambda d: ({"input": d(*a), "other": d(*b)} for a, b in shapes))


def _squeeze(input: torch.Tensor, dim: Any = None) -> torch.Tensor:
    return input.squeeze() if dim is None else input.squeeze(dim)


def _swap_order(instance: Instance) -> list[int]:
    order = list(range(len(instance.shapes[0])))
    first, second = instance.axis(instance["dim0"]), instance.axis(instance["dim1"])
    order[first], order[second] = order[second], order[first]
    return order


def _moved_order(instance: Instance) -> list[int]:
    """`movedim`: destination k holds source k, the rest keep their order."""
    rank = len(instance.shapes[0])
    source, destination = (
        [int(d) % rank for d in (dims if isinstance(dims, tuple) else (dims,))]
        for dims in (instance["source"], instance["destination"])
    )
    places = dict(zip(destination, source, strict=True))
    others = iter(axis for axis in range(rank) if axis not in source)
    return [places[axis] if axis in places else next(others) for axis in range(rank)]


def _reversed_order(instance: Instance) -> list[int]:
    return list(range(len(instance.shapes[0])))[::-1]


def _is_sizes(a: Mapping[str, Argument]) -> bool:
    return not any(isinstance(size, torch.dtype) for size in a["shape"])


OPS = (
    _movement(
        "reshape",
        "input, *shape",
        (torch.reshape, _T.reshape, Spelling(_T.view, when=_is_sizes)),
        view_rule,
        (
            ((2, 6), {"shape": (2, 2, 3)}),
            ((2, 2, 3), {"shape": (2, -1)}),
            ((2, 3, 4), {"shape": (6, 4)}),
            ((4, 6), {"shape": (-1,)}),
            ((4, 6), {"shape": (3, 8)}),
            ((3, 1), {"shape": (3,)}),
            ((3, 4), {"shape": (1, 3, 1, 4)}),
            ((2, 6, 2), {"shape": (2, 3, 4)}),
            ((2, 3, 4), {"shape": (2, 12, 1)}),
        ),
        run=lambda input, shape: input.reshape(shape),
    ),
    *(
        Op(
            name=name,
            parameters="input, other",
            run=method(function),
            spellings=spellings,
            axes=rule,
            bounds=same,
            keeps_zero=True,
            samples=_pairs(shapes),
        )
        for name, function, spellings, rule, shapes in (
            (
                "reshape_as",
                _T.reshape_as,
                (_T.reshape_as, _T.view_as),
                view_as_rule,
                (((2, 6), (2, 2, 3)), ((3, 4), (3, 4)), ((4, 6), (3, 8))),
            ),
            (
                "expand_as",
                _T.expand_as,
                (_T.expand_as,),
                expand_as_rule,
                (((3, 1), (3, 4)), ((4,), (3, 4)), ((3, 4), (3, 4))),
            ),
        )
    ),
    _movement(
        "flatten",
        "input, start_dim=0, end_dim=-1",
        everywhere("flatten"),
        flatten_rule,
        (
            ((2, 3, 4), {}),
            ((2, 3, 4), {"start_dim": 1}),
            ((2, 3, 2, 2), {"start_dim": -3, "end_dim": 2}),
        ),
    ),
    _movement("ravel", "input", everywhere("ravel"), flatten_rule, (((2, 3, 4), {}),)),
    _movement(
        "unflatten",
        "input, dim, sizes",
        everywhere("unflatten"),
        unflatten_rule,
        (
            ((3, 6), {"dim": 1, "sizes": (2, 3)}),
            ((6, 2), {"dim": 0, "sizes": (3, -1)}),
            ((2, 4, 2), {"dim": -2, "sizes": (2, 2)}),
        ),
    ),
    _movement(
        "squeeze",
        "input, dim=None",
        everywhere("squeeze"),
        squeeze_rule,
        (
            ((3, 1), {"dim": 1}),
            ((3, 1, 4, 1), {}),
            ((3, 4), {"dim": 1}),
            ((1, 3, 1), {"dim": (0, 2)}),
        ),
        run=_squeeze,
    ),
    _movement(
        "unsqueeze",
        "input, dim",
        everywhere("unsqueeze"),
        unsqueeze_rule,
        (((3, 4), {"dim": 1}), ((3, 4), {"dim": -1}), ((3,), {"dim": 0})),
    ),
    _movement(
        "permute",
        "input, *dims",
        (torch.permute, _T.permute),
        permuting(lambda instance: [instance.axis(dim) for dim in instance["dims"]]),
        (((2, 3, 4), {"dims": (2, 0, 1)}), ((2, 3), {"dims": (-1, 0)})),
    ),
    _movement(
        "transpose",
        "input, dim0, dim1",
        (
            *everywhere("transpose"),
            *everywhere("swapaxes", "input, dim0, dim1"),
            *everywhere("swapdims", "input, dim0, dim1"),
            Spelling(_getter("mT"), "input", (("dim0", -2), ("dim1", -1))),
        ),
        permuting(_swap_order),
        (((2, 3, 4), {"dim0": 0, "dim1": 2}), ((2, 3, 4), {"dim0": -2, "dim1": -1})),
    ),
    _movement(
        "adjoint",
        "input",
        (*everywhere("adjoint"), _getter("mH"), _getter("H")),
        permuting(lambda i: [*range(len(i.shapes[0]) - 2), -1, -2]),
        (((2, 3), {}),),
    ),
    _movement(
        "t",
        "input",
        (*everywhere("t"), _getter("T")),
        permuting(_reversed_order),
        (((2, 3), {}), ((3, 1), {})),
        run=lambda input: input.permute(*reversed(range(input.dim()))),
    ),
    _movement(
        "movedim",
        "input, source, destination",
        (*everywhere("movedim"), *everywhere("moveaxis")),
        permuting(_moved_order),
        (
            ((2, 3, 4), {"source": 0, "destination": 2}),
            ((2, 3, 4), {"source": (0, 1), "destination": (-1, 0)}),
        ),
    ),
    _movement(
        "expand",
        "input, *size",
        (
            Spelling(_T.expand, "input, *size, !implicit=False"),
            torch.broadcast_to,
            _T.broadcast_to,
        ),
        expand_rule,
        (
            ((3, 1), {"size": (3, 4)}),
            ((3, 4), {"size": (2, -1, 4)}),
            ((1, 3), {"size": (2, 2, 3)}),
            ((1,), {"size": (1,)}),
        ),
        run=lambda input, size: input.expand(size),
    ),
    _movement(
        "repeat",
        "input, *repeats",
        (_T.repeat,),
        repeat_rule,
        (
            ((3, 4), {"repeats": (1, 2)}),
            ((3,), {"repeats": (2, 1)}),
            ((3, 1), {"repeats": (2, 1, 4)}),
        ),
        run=lambda input, repeats: input.repeat(repeats),
    ),
    _movement(
        "repeat_interleave",
        "input, repeats, dim=None",
        everywhere("repeat_interleave", "input, repeats, dim=None, *, !output_size=None"),
        repeat_interleave_rule,
        (
            ((3, 4), {"repeats": 2, "dim": 1}),
            ((3, 4), {"repeats": 3, "dim": -2}),
            ((3, 2), {"repeats": 2}),
        ),
    ),
    _movement(
        "roll",
        "input, shifts, dims=()",
        everywhere("roll"),
        along("fixed", "lin", "dims"),
        (
            ((3, 4), {"shifts": 1, "dims": 1}),
            ((3, 4), {"shifts": 2}),
            ((3, 4), {"shifts": (1, -1), "dims": (0, -1)}),
        ),
    ),
    _movement(
        "flip",
        "input, *dims",
        (torch.flip, _T.flip),
        along("fixed", "lin", "dims"),
        (((3, 4), {"dims": (1,)}), ((2, 3, 4), {"dims": (0, -1)})),
    ),
    *(
        _movement(
            name,
            "input, diagonal=0",
            everywhere(name),
            "... A B -> ... A B | lin ...",
            (((2, 3, 3), {}), ((3, 4), {"diagonal": 1})),
            bounds=with_zero,
        )
        for name in ("triu", "tril")
    ),
)
