"""Data movement that adds: cat, stack, split, padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import Reader, hull_of, same
from morphir.ops.broadcast import broadcast, plain
from morphir.ops.declare import everywhere, samples
from morphir.ops.forms import Atom
from morphir.ops.interval import Interval
from morphir.ops.parts import cat_rule, pad_rule, split_rule, stack_rule, unbind_rule

_T: Any = torch.Tensor


def _pad_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x = of(a["input"])
    if a["mode"] != "constant":
        return x
    return x.hull(Interval(0.0, 0.0) if a["value"] is None else of(a["value"]))


def _partition(
    name: str, parameters: str, spellings: tuple[Any, ...], choices: tuple[Any, ...], **fields: Any
) -> Op:
    """An op that cuts one axis into several outputs."""
    return Op(
        name=name,
        parameters=parameters,
        spellings=spellings,
        axes=fields.pop("axes", split_rule),
        bounds=same,
        bounds_all_outputs=True,
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(*shape), **more} for shape, more in choices)),
        **fields,
    )


def _broadcast_rule(instance: Instance) -> Layout:
    """Every output has the shape of all operands together; a stretched axis is fixed."""
    atoms = plain(instance.outputs[0])
    operands = [broadcast(atoms, shape) for shape in instance.shapes]
    flows: dict[Atom, Flow] = dict.fromkeys(atoms, "map")
    return make_layout(operands, [atoms] * len(instance.outputs), flows)


def _is_tuple(a: Mapping[str, Argument]) -> bool:
    return isinstance(a["split_size"], tuple)


OPS = (
    Op(
        name="cat",
        parameters="tensors, dim=0",
        run=torch.cat,
        spellings=(
            Spelling(torch.cat, "tensors, dim=0, *, !out=None"),
            Spelling(torch.concat, "tensors, dim=0, *, !out=None"),
            Spelling(torch.concatenate, "tensors, dim=0, *, !out=None"),
        ),
        axes=cat_rule,
        bounds=hull_of("tensors"),
        samples=samples(
            lambda d: (
                {"tensors": (d(2, 3), d(2, 4)), "dim": 1},
                {"tensors": (d(2, 3, 1), d(2, 1, 1), d(2, 2, 1)), "dim": -2},
                {"tensors": (d(2, 3), d(2, 3))},
                {"tensors": (d(0), d(2, 3), d(2, 4)), "dim": -1},
            )
        ),
    ),
    Op(
        name="stack",
        parameters="tensors, dim=0",
        run=torch.stack,
        spellings=(Spelling(torch.stack, "tensors, dim=0, *, !out=None"),),
        axes=stack_rule,
        bounds=hull_of("tensors"),
        samples=samples(
            lambda d: (
                {"tensors": (d(2, 3), d(2, 3))},
                {"tensors": (d(2, 3), d(2, 3), d(2, 3)), "dim": -1},
                {"tensors": (d(2, 3),), "dim": 1},
            )
        ),
    ),
    _partition(
        "split",
        "input, split_size, dim=0",
        (
            Spelling(torch.split, "tensor:input, split_size_or_sections:split_size, dim=0"),
            Spelling(_T.split, "input, split_size, dim=0"),
            *(
                Spelling(f, "input, split_sizes:split_size, dim=0", when=_is_tuple)
                for f in (torch.split_with_sizes, _T.split_with_sizes)
            ),
        ),
        (
            ((6, 2), {"split_size": 2}),
            ((6, 2), {"split_size": 4}),
            ((3, 6), {"split_size": (1, 2, 3), "dim": 1}),
            ((3, 4), {"split_size": 4, "dim": -1}),
        ),
        run=lambda input, split_size, dim=0: torch.split(input, split_size, dim),
    ),
    _partition(
        "chunk",
        "input, chunks, dim=0",
        everywhere("chunk"),
        (
            ((6, 2), {"chunks": 3}),
            ((3, 6), {"chunks": 2, "dim": -1}),
            ((5, 2), {"chunks": 2}),
            ((6,), {"chunks": 4}),
        ),
        run=torch.chunk,
    ),
    _partition(
        "tensor_split",
        "input, indices, dim=0",
        (*everywhere("tensor_split", "input, indices_or_sections:indices, dim=0"),),
        (
            ((6, 2), {"indices": 3}),
            ((7, 2), {"indices": 3}),
            ((3, 6), {"indices": (1, 3), "dim": 1}),
        ),
        run=lambda input, indices, dim=0: torch.tensor_split(input, indices, dim),
    ),
    _partition(
        "unbind",
        "input, dim=0",
        everywhere("unbind"),
        (((2, 3), {}), ((2, 3, 4), {"dim": -2})),
        run=torch.unbind,
        axes=unbind_rule,
    ),
    Op(
        name="pad",
        parameters="input, pad, mode='constant', value=None",
        run=F.pad,
        spellings=(F.pad,),
        axes=pad_rule,
        bounds=_pad_bounds,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "pad": (1, 2)},
                {"input": d(3, 4), "pad": (0, 0, 1, 0), "value": 2.0},
                {"input": d(3, 4), "pad": (-1, 0)},
                {"input": d(2, 3, 4), "pad": (1, 1), "mode": "reflect"},
            )
        ),
    ),
    Op(
        name="broadcast_tensors",
        parameters="*tensors",
        run=lambda tensors: torch.broadcast_tensors(*tensors),  # type: ignore[no-untyped-call]
        spellings=(torch.broadcast_tensors,),
        axes=_broadcast_rule,
        bounds=hull_of("tensors"),
        bounds_all_outputs=True,
        samples=samples(
            lambda d: (
                {"tensors": (d(3, 4), d(4))},
                {"tensors": (d(2, 1, 4), d(3, 1), d())},
                {"tensors": (d(3, 1), d(3, 1))},
                {"tensors": (d(3, 4),)},
            )
        ),
    ),
)
