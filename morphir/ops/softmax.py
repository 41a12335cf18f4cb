"""Softmax, its relatives, and gated linear units."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from morphir.ops.axes import Layout, make_layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import within
from morphir.ops.broadcast import along, plain
from morphir.ops.declare import everywhere, samples
from morphir.ops.forms import Atom, Form, Sum
from morphir.ops.interval import Interval

_FUNCTIONAL = "input, dim, -_stacklevel=3, dtype=None"
_SAMPLES = samples(
    lambda draw: (
        {"input": draw(3, 4), "dim": -1},
        {"input": draw(2, 3, 4), "dim": 1},
        {"input": draw(5), "dim": 0},
    )
)


def _glu_rule(instance: Instance) -> Layout:
    """`(c + c) -> c`: the halves are tied."""
    axis = instance.axis(instance["dim"])
    atoms: list[Form] = [*plain(instance.shapes[0])]
    half = Atom("half", instance.outputs[0][axis])
    output = (*atoms[:axis], half, *atoms[axis + 1 :])
    atoms[axis] = Sum((half, half))
    return make_layout([tuple(atoms)], [output])


OPS = (
    Op(
        name="softmax",
        parameters="input, dim, dtype=None",
        run=torch.softmax,
        spellings=everywhere("softmax", functional=_FUNCTIONAL),
        axes=along("norm"),
        bounds=within(0.0, 1.0),
        module=nn.Softmax,
        samples=_SAMPLES,
    ),
    Op(
        name="softmin",
        parameters="input, dim, dtype=None",
        run=F.softmin,
        spellings=(Spelling(F.softmin, _FUNCTIONAL),),
        axes=along("norm"),
        bounds=within(0.0, 1.0),
        module=nn.Softmin,
        samples=_SAMPLES,
    ),
    Op(
        name="log_softmax",
        parameters="input, dim, dtype=None",
        run=torch.log_softmax,
        spellings=everywhere("log_softmax", functional=_FUNCTIONAL),
        axes=along("norm"),
        bounds=lambda a, of: Interval(high=0.0),
        module=nn.LogSoftmax,
        samples=_SAMPLES,
    ),
    Op(
        name="glu",
        parameters="input, dim=-1",
        run=F.glu,
        spellings=everywhere("glu"),
        axes=_glu_rule,
        bounds=lambda a, of: of(a["input"]).hull(Interval(0.0, 0.0)),
        keeps_zero=True,
        module=nn.GLU,
        samples=samples(
            lambda draw: (
                {"input": draw(3, 8)},
                {"input": draw(2, 6, 4), "dim": 1},
                {"input": draw(2), "dim": 0},
            )
        ),
    ),
)
