"""Indexing, gathering, sorting."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import hull_of, same, within
from morphir.ops.broadcast import keeping, plain
from morphir.ops.declare import everywhere, samples
from morphir.ops.forms import Atom, Axes, Form
from morphir.ops.index_rule import getitem, getitem_rule, setitem, setitem_rule
from morphir.ops.parts import narrow_rule, select_rule

_T: Any = torch.Tensor
_BAGS = ("sum", "mean", "max")


def _gather_rule(instance: Instance) -> Layout:
    """`gather`: the axis is fixed in the operand, and others pass where both have the same size."""
    data = instance.shapes[0]
    axis = instance.axis(instance["dim"])
    outs = plain(instance.outputs[0])
    operand: Axes = tuple(
        atom if k != axis and atom.size == size else Atom("Gathered", size)
        for k, (atom, size) in enumerate(zip(outs, data, strict=True))
    )
    shared = {atom for atom in outs if atom in operand}
    flows: dict[Atom, Flow] = {
        atom: frozenset([0]) if atom in shared else "map" if k == axis else "fixed"
        for k, atom in enumerate(outs)
    }
    return make_layout([operand, outs], [outs], flows)


def _index_select_rule(instance: Instance) -> Layout:
    axis = instance.axis(instance["dim"])
    atoms: list[Form] = [*plain(instance.shapes[0])]
    index = plain(instance.shapes[1])
    output = (*atoms[:axis], *(index or (Atom("One", 1),)), *atoms[axis + 1 :])
    flows: dict[Atom, Flow] = {atom: "lin" for atom in atoms if isinstance(atom, Atom)}
    atoms[axis] = Atom("Indexed", atoms[axis].size)
    return make_layout([tuple(atoms), index], [output], flows | dict.fromkeys(index, "map"))


def _sort_rule(instance: Instance) -> Layout:
    return keeping(instance, {instance.axis(instance["dim"]): "fixed"})


def _topk_rule(instance: Instance) -> Layout:
    axis = instance.axis(instance["dim"])
    atoms: list[Form] = [*plain(instance.shapes[0])]
    output = (*atoms[:axis], Atom("Top", instance.outputs[0][axis]), *atoms[axis + 1 :])
    atoms[axis] = Atom("Searched", atoms[axis].size)
    return make_layout([tuple(atoms)], [output, output])


def _embedding_bounds(a: Mapping[str, Argument], of: Any) -> Any:
    return of(a["weight"])


def _embedding_bag_rule(instance: Instance) -> str:
    """`embedding_bag`: each column by itself; rows and bags are fixed, but for whole lists."""
    linear = "" if instance["mode"] == "max" else " | lin d"
    if len(instance.shapes[0]) == 1:
        return f"N, V d, B, N -> Bags d{linear}"
    return f"b N, V d, B, b N -> b d{linear}"


def _getitem_draws(d: Any) -> Any:
    x = d(4, 6)
    for index in (
        1,
        -1,
        slice(1, 3),
        (slice(None), slice(1, 4)),
        (slice(None), -1),
        (..., slice(-2, None)),
        (slice(None), None, slice(None, -1)),
        (..., 2),
        (0, slice(None, 3)),
        slice(None, None, 2),
        (slice(None), slice(1, None, 2)),
        (slice(None), slice(0, 6)),
        d.integers(4, 5),
        (slice(1, None), d.integers(6, 2, 2)),
        (d.integers(4, 3), d.integers(6, 3)),
        (d.integers(4, 2, 1), None, d.integers(6, 3)),
        (d.flags(4), slice(1, 3)),
        d.flags(4, 6),
        (slice(None), slice(None, 9)),
    ):
        yield {"input": x, "index": index}


OPS = (
    Op(
        name="getitem",
        parameters="input, index",
        run=getitem,
        spellings=(_T.__getitem__, operator.getitem),
        axes=getitem_rule,
        bounds=same,
        keeps_zero=True,
        samples=samples(_getitem_draws),
    ),
    Op(
        name="setitem",
        parameters="input, index, value",
        run=setitem,
        spellings=(_T.__setitem__,),
        axes=setitem_rule,
        bounds=hull_of("input", "value"),
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "index": (slice(None), 1), "value": 0.0},
                {"input": d(3, 4), "index": 1, "value": d(4)},
                {"input": d(3, 5), "index": (..., slice(1, -1)), "value": d(3, 3)},
                {"input": d(2, 3, 5), "index": (slice(None), slice(1, None)), "value": d(1, 5)},
                {"input": d(3, 4), "index": (slice(None), d.integers(4, 2)), "value": d(3, 2)},
                {"input": d(3, 4), "index": d.flags(3, 4), "value": 2.0},
            )
        ),
    ),
    Op(
        name="select",
        parameters="input, dim, index",
        run=torch.select,
        spellings=everywhere("select"),
        axes=select_rule,
        bounds=same,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "dim": 1, "index": 2},
                {"input": d(3, 4), "dim": 0, "index": -1},
                {"input": d(3, 1), "dim": 1, "index": 0},
            )
        ),
    ),
    Op(
        name="narrow",
        parameters="input, dim, start, length",
        run=torch.narrow,
        spellings=everywhere("narrow"),
        axes=narrow_rule,
        bounds=same,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(3, 5), "dim": 1, "start": 1, "length": 3},
                {"input": d(3, 5), "dim": -1, "start": 0, "length": 2},
            )
        ),
    ),
    Op(
        name="index_select",
        parameters="input, dim, index",
        run=torch.index_select,
        spellings=everywhere("index_select"),
        axes=_index_select_rule,
        bounds=same,
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(3, 4), "dim": 1, "index": d.integers(4, 5)},)),
    ),
    Op(
        name="gather",
        parameters="input, dim, index",
        run=torch.gather,
        spellings=everywhere("gather", "input, dim, index, *, -sparse_grad=False"),
        axes=_gather_rule,
        bounds=same,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "dim": 1, "index": d.integers(4, 3, 2)},
                {"input": d(3, 4), "dim": 0, "index": d.integers(3, 2, 2)},
            )
        ),
    ),
    Op(
        name="topk",
        parameters="input, k, dim=-1, largest=True, sorted=True",
        run=torch.topk,
        spellings=everywhere("topk"),
        axes=_topk_rule,
        bounds=same,
        samples=samples(
            lambda d: ({"input": d(3, 5), "k": 2}, {"input": d(4, 3), "k": 1, "dim": 0})
        ),
    ),
    Op(
        name="sort",
        parameters="input, dim=-1, descending=False, stable=False",
        run=torch.sort,
        spellings=(
            *everywhere("sort", "input, dim=-1, descending=False"),
            *everywhere("sort", "input, *, stable, dim=-1, descending=False"),
        ),
        axes=_sort_rule,
        bounds=same,
        samples=samples(
            lambda d: ({"input": d(3, 4)}, {"input": d(3, 4), "dim": 0, "descending": True})
        ),
    ),
    Op(
        name="argsort",
        parameters="input, dim=-1, descending=False",
        run=torch.argsort,
        spellings=everywhere("argsort"),
        axes=_sort_rule,
        samples=samples(lambda d: ({"input": d(3, 4)}, {"input": d(3, 4), "dim": 0})),
    ),
    Op(
        name="embedding",
        parameters="input, weight",
        run=F.embedding,
        spellings=(
            Spelling(
                F.embedding,
                "input, weight, -padding_idx=None, !max_norm=None, -norm_type=2.0, "
                "-scale_grad_by_freq=False, -sparse=False",
            ),
            Spelling(
                torch.embedding,
                "weight, indices:input, -padding_idx=-1, -scale_grad_by_freq=False, -sparse=False",
            ),
        ),
        axes="..., V d -> ... d | lin d",
        bounds=_embedding_bounds,
        samples=samples(
            lambda d: (
                {"input": d.integers(5, 2, 3), "weight": d(5, 4)},
                {"input": d.integers(5, 3), "weight": d(5, 1)},
            )
        ),
    ),
    Op(
        name="embedding_bag",
        parameters="input, weight, offsets=None, per_sample_weights=None, mode='mean', "
        "include_last_offset=False, padding_idx=None",
        run=F.embedding_bag,
        spellings=(
            Spelling(
                F.embedding_bag,
                "input, weight, offsets=None, !max_norm=None, -norm_type=2, "
                "-scale_grad_by_freq=False, mode='mean', -sparse=False, per_sample_weights=None, "
                "include_last_offset=False, padding_idx=None",
            ),
        ),
        axes=_embedding_bag_rule,
        samples=samples(
            lambda d: (
                *({"input": d.integers(5, 2, 3), "weight": d(5, 4), "mode": m} for m in _BAGS),
                {
                    "input": d.integers(5, 2, 3),
                    "weight": d(5, 4),
                    "per_sample_weights": d(2, 3),
                    "mode": "sum",
                    "padding_idx": 0,
                },
                *(
                    {
                        "input": d.integers(5, 6),
                        "weight": d(5, 4),
                        "offsets": torch.tensor([0, 2, 6][: 2 + last]),
                        "include_last_offset": last,
                    }
                    for last in (False, True)
                ),
            )
        ),
    ),
    Op(
        name="one_hot",
        parameters="input, num_classes=-1",
        run=lambda input, num_classes=-1: F.one_hot(input, num_classes),
        spellings=(Spelling(F.one_hot, "tensor:input, num_classes=-1"),),
        axes="... -> ... C'",
        bounds=within(0.0, 1.0),
        samples=samples(lambda d: ({"input": d.integers(4, 2, 3), "num_classes": 4},)),
    ),
)
