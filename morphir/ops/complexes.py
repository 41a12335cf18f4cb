"""Complex numbers: pairs of real ones, whose axis is fixed."""

from __future__ import annotations

import torch

from morphir.ops.base import Op, Spelling
from morphir.ops.declare import MAP, samples

OPS = (
    Op(
        name="view_as_complex",
        parameters="input",
        run=torch.view_as_complex,
        spellings=(torch.view_as_complex,),
        axes="... Pair -> ... | lin ...",
        samples=samples(lambda d: ({"input": d(3, 4, 2)}, {"input": d(2)})),
    ),
    Op(
        name="view_as_real",
        parameters="input",
        run=torch.view_as_real,
        spellings=(torch.view_as_real,),
        axes="... -> ... Pair' | lin ...",
        samples=samples(lambda d: ({"input": torch.view_as_complex(d(3, 4, 2))},)),
    ),
    Op(
        name="polar",
        parameters="abs, angle",
        run=torch.polar,
        spellings=(Spelling(torch.polar, "abs, angle, *, !out=None"),),
        axes=MAP,
        samples=samples(
            lambda d: (
                {"abs": d.positive(3, 4), "angle": d(3, 4)},
                {"abs": d.positive(3, 4), "angle": d(4)},
            )
        ),
    ),
)
