"""Writing and adding at indices: the indexed axis is fixed, all others pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import BoundsRule, hull_of
from morphir.ops.broadcast import plain
from morphir.ops.declare import Draw, everywhere, samples
from morphir.ops.forms import Atom

_T: Any = torch.Tensor
_BOTH: Flow = frozenset([0, 2])  # linear in what is written to and in what is written, together


def _scatter_rule(instance: Instance) -> Layout:
    """`scatter`: the index has every axis of the input, and all but one pass if none is shorter."""
    shape, *others = instance.shapes
    axis = instance.axis(instance["dim"])
    atoms = plain(shape)
    passing = {k for k, size in enumerate(shape) if k != axis and all(o[k] == size for o in others)}
    flow: Flow = _BOTH if len(others) == 2 else "map"
    flows: dict[Atom, Flow] = {a: flow if k in passing else "fixed" for k, a in enumerate(atoms)}
    operands = [
        tuple(atoms[k] if k in passing else Atom("At", size) for k, size in enumerate(other))
        for other in others
    ]
    return make_layout([atoms, *operands], [atoms], flows)


def _index_rule(instance: Instance) -> Layout:
    """`index_add`: a list of indices into one axis."""
    shape, index, written = instance.shapes
    axis = instance.axis(instance["dim"])
    atoms = plain(shape)
    source = (*atoms[:axis], Atom("Written", written[axis]), *atoms[axis + 1 :])
    flows: dict[Atom, Flow] = {a: "fixed" if k == axis else _BOTH for k, a in enumerate(atoms)}
    return make_layout([atoms, plain(index), source], [atoms], flows)


def _run(name: str) -> Callable[..., Any]:
    """Calls `torch.name` by position: a number goes by another keyword than a tensor."""
    function = getattr(torch, name)
    return lambda input, dim, index, src: function(input, dim, index, src)


def _scatter_draws(d: Draw) -> Iterable[dict[str, Any]]:
    yield {"input": d(3, 4), "dim": 1, "index": d.integers(4, 3, 1), "src": d(3, 1)}
    yield {"input": d(2, 3, 4), "dim": -2, "index": d.integers(3, 2, 1, 4), "src": d(2, 2, 4)}
    yield {"input": d(3, 4), "dim": 0, "index": d.integers(3, 1, 2), "src": d(2, 4)}


def _indexed(name: str, more: str, bounds: BoundsRule | None) -> Op:
    function = getattr(torch, name)
    parameters = f"input, dim, index, source{more}"
    spelled = "input, dim, index, source, *" + more
    return Op(
        name=name,
        parameters=parameters,
        run=function,
        spellings=(
            Spelling(function, f"{spelled}, !out=None"),
            Spelling(getattr(_T, name), spelled),
        ),
        axes=_index_rule,
        bounds=bounds,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "dim": 0, "index": torch.tensor([2, 0]), "source": d(2, 4)},
                {
                    **{"input": d(2, 3), "dim": -1, "index": torch.tensor([1]), "source": d(2, 1)},
                    **({"alpha": 0.5} if more else {}),
                },
            )
        ),
    )


OPS = (
    Op(
        name="scatter",
        parameters="input, dim, index, src",
        run=_run("scatter"),
        spellings=(
            *everywhere("scatter"),
            *everywhere("scatter", "input, dim, index, value:src"),
        ),
        axes=_scatter_rule,
        bounds=hull_of("input", "src"),
        samples=samples(
            lambda d: (
                *_scatter_draws(d),
                {"input": d(3, 4), "dim": 1, "index": d.integers(4, 3, 2), "src": 2.0},
            )
        ),
    ),
    Op(
        name="scatter_add",
        parameters="input, dim, index, src",
        run=_run("scatter_add"),
        spellings=everywhere("scatter_add"),
        axes=_scatter_rule,
        samples=samples(_scatter_draws),
    ),
    _indexed("index_add", ", alpha=1", None),
    _indexed("index_copy", "", hull_of("input", "source")),
)
