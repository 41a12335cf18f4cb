"""Recurrent networks: whole stacks of layers, and single cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from morphir.ir.graph import Argument
from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import BoundsRule, Reader, within
from morphir.ops.declare import Draw, samples
from morphir.ops.interval import ANYTHING, Interval
from morphir.ops.recurrent_rule import cell_rule, is_projected, stack_rule

_STACK = "input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first"


def _has_weights(a: Mapping[str, Argument]) -> bool:
    """Packed sequences come with other arguments in the places of these."""
    return isinstance(a["params"], tuple) and isinstance(a["batch_first"], bool)


def _has_two_states(a: Mapping[str, Argument]) -> bool:
    return _has_weights(a) and isinstance(a["hx"], tuple)


def _weights(
    d: Draw, gates: int, inputs: int, hidden: int, *, bias: bool = True, projected: int = 0
) -> tuple[torch.Tensor, ...]:
    """The parameters of one direction of one layer."""
    rows, width = gates * hidden, projected or hidden
    found = [d(rows, inputs), d(rows, width), *((d(rows), d(rows)) if bias else ())]
    return tuple(found) + ((d(width, hidden),) if projected else ())


def _stack_draws(gates: int) -> Callable[[Draw], Iterable[dict[str, Any]]]:
    """Calls of a stack on 2 sequences of 3 steps with 4 features."""

    def call(
        d: Draw, *params: torch.Tensor, layers: int = 1, hidden: int = 3, **more: Any
    ) -> dict[str, Any]:
        both = more.get("bidirectional", False)
        first = (2, 3, 4) if more.get("batch_first", False) else (3, 2, 4)
        count, projected = layers * (1 + both), more.pop("projected", 0)
        states = (d(count, 2, projected or hidden), d(count, 2, hidden))
        return {
            "input": d(*first),
            "hx": states if gates == 4 else states[0],
            "params": params,
            "has_biases": True,
            "num_layers": layers,
            "dropout": 0.0,
            "train": False,
            "bidirectional": False,
            "batch_first": False,
            **more,
        }

    def make(d: Draw) -> Iterable[dict[str, Any]]:
        yield call(d, *_weights(d, gates, 4, 3), batch_first=True)
        yield call(d, *_weights(d, gates, 4, 3, bias=False), has_biases=False, train=True)
        params = [_weights(d, gates, inputs, 2) for inputs in (4, 4, 4, 4)]
        yield call(d, *sum(params, ()), layers=2, hidden=2, bidirectional=True)
        yield call(d, *_weights(d, gates, 4, 3), *_weights(d, gates, 3, 3), layers=2, dropout=0.5)
        if gates == 4:
            params = [_weights(d, gates, inputs, 3, projected=2) for inputs in (4, 4, 4, 4)]
            yield call(d, *sum(params, ()), layers=2, bidirectional=True, projected=2)

    return make


def _cell_draws(gates: int) -> Callable[[Draw], Iterable[dict[str, Any]]]:
    def make(d: Draw) -> Iterable[dict[str, Any]]:
        for bias in (True, False):
            weights = _weights(d, gates, 4, 3, bias=bias)
            states = d(2, 3), d(2, 3)
            yield {
                "input": d(2, 4),
                "hx": states if gates == 4 else states[0],
                **dict(zip(("w_ih", "w_hh", "b_ih", "b_hh"), weights, strict=False)),
            }

    return make


def _lstm_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    return ANYTHING if is_projected(a) else Interval(-1.0, 1.0)


def _gru_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """Each step lies between the state before it and a tanh."""
    return of(a["hx"]).hull(Interval(-1.0, 1.0))


def _recurrent(name: str, gates: int, bounds: BoundsRule, cell_bounds: BoundsRule) -> Iterable[Op]:
    """A stack of layers and its cell."""
    two = name == "lstm"
    stack: Any = getattr(torch, name)
    cell: Any = getattr(torch, f"{name}_cell")
    yield Op(
        name=name,
        parameters=_STACK,
        run=stack,
        spellings=(Spelling(stack, when=_has_two_states if two else _has_weights),),
        axes=stack_rule(gates),
        bounds=bounds,
        samples=samples(_stack_draws(gates)),
    )
    yield Op(
        name=f"{name}_cell",
        parameters="input, hx, w_ih, w_hh, b_ih=None, b_hh=None",
        run=cell,
        spellings=(cell,),
        axes=cell_rule(gates),
        bounds=cell_bounds,
        samples=samples(_cell_draws(gates)),
    )


OPS = (
    *_recurrent("lstm", 4, _lstm_bounds, within(-1.0, 1.0)),
    *_recurrent("gru", 3, _gru_bounds, _gru_bounds),
    *_recurrent("rnn_tanh", 1, within(-1.0, 1.0), within(-1.0, 1.0)),
    *_recurrent("rnn_relu", 1, within(0.0, float("inf")), within(0.0, float("inf"))),
)
