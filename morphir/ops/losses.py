"""Losses and similarities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import BoundsRule, within
from morphir.ops.broadcast import broadcast, nothing_moves, plain
from morphir.ops.declare import Draw, samples
from morphir.ops.forms import Atom

_HELD = "!size_average=None, !reduce=None"  # deprecated names of `reduction`
_NOT_NEGATIVE = within(0.0, float("inf"))
_REDUCED: Mapping[str, Flow] = {"mean": "stat", "sum": "norm", "none": "map"}


def _together(instance: Instance) -> tuple[Atom, ...]:
    """The axes of all operands, broadcast."""
    return plain(torch.broadcast_shapes(*instance.shapes))  # type: ignore[no-untyped-call]


def _elementwise_rule(instance: Instance) -> Layout:
    """As the reduction: a mean takes equal copies, a sum of losses permutations only."""
    atoms = _together(instance)
    operands = [broadcast(atoms, shape) for shape in instance.shapes]
    flows: dict[Atom, Flow] = dict.fromkeys(atoms, _REDUCED[instance["reduction"]])
    return make_layout(operands, [atoms] if instance["reduction"] == "none" else [()], flows)


def _similarity_rule(instance: Instance) -> Layout:
    """The axis goes: its units enter dot product and norms, so they may be permuted."""
    atoms = _together(instance)
    axis = instance.axis(instance["dim"], len(atoms))
    flows: dict[Atom, Flow] = {**dict.fromkeys(atoms, "map"), atoms[axis]: "norm"}
    operands = [broadcast(atoms, shape) for shape in instance.shapes]
    return make_layout(operands, [atoms[:axis] + atoms[axis + 1 :]], flows)


def _loss(
    name: str,
    more: str = "",
    *choices: Mapping[str, Any],
    bounds: BoundsRule | None = _NOT_NEGATIVE,
    spelled: str = f"input, target, {_HELD}, reduction='mean'",
    target: Callable[..., torch.Tensor] = Draw.__call__,
) -> Op:
    """An elementwise loss, reduced in one of three ways."""
    function = getattr(F, name)
    return Op(
        name=name,
        parameters=f"input, target, reduction='mean'{more}",
        run=function,
        spellings=(Spelling(function, spelled + more),),
        axes=_elementwise_rule,
        bounds=bounds,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "target": target(d, 3, 4), **choice}
                for choice in ({}, {"reduction": "sum"}, {"reduction": "none"}, *choices)
            )
        ),
    )


OPS = (
    _loss("mse_loss", spelled=f"input, target, {_HELD}, reduction='mean', !weight=None"),
    _loss("l1_loss", spelled=f"input, target, {_HELD}, reduction='mean', !weight=None"),
    _loss("smooth_l1_loss", ", beta=1.0", {"beta": 0.5}),
    _loss(
        "huber_loss",
        ", delta=1.0",
        {"delta": 0.5},
        spelled="input, target, reduction='mean', !weight=None",
    ),
    _loss(
        "binary_cross_entropy_with_logits",
        bounds=None,
        spelled=f"input, target, !weight=None, {_HELD}, reduction='mean', !pos_weight=None",
        target=Draw.positive,
    ),
    *(
        Op(
            name=name,
            parameters=f"input, target, weight=None, ignore_index=-100, reduction='mean'{more}",
            run=getattr(F, name),
            spellings=(
                Spelling(
                    getattr(F, name),
                    "input, target, weight=None, !size_average=None, ignore_index=-100, "
                    f"!reduce=None, reduction='mean'{more}",
                ),
            ),
            axes=nothing_moves,
            samples=samples(
                lambda d: (
                    {"input": d(3, 4), "target": d.integers(4, 3)},
                    {"input": d(3, 4, 2), "target": d.integers(4, 3, 2), "weight": d.positive(4)},
                    {"input": d(3, 4), "target": d.integers(4, 3), "reduction": "none"},
                    {"input": d(3, 4), "target": d.integers(4, 3), "ignore_index": 1},
                )
            ),
        )
        for name, more in (("cross_entropy", ", label_smoothing=0.0"), ("nll_loss", ""))
    ),
    Op(
        name="cosine_similarity",
        parameters="x1, x2, dim=1, eps=1e-08",
        run=F.cosine_similarity,
        spellings=(F.cosine_similarity,),
        axes=_similarity_rule,
        bounds=within(-1.0, 1.0),
        samples=samples(
            lambda d: (
                {"x1": d(3, 4), "x2": d(3, 4)},
                {"x1": d(3, 1, 4), "x2": d(2, 4), "dim": -1},
            )
        ),
    ),
)
