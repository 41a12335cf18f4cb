"""What a recurrent layer keeps to itself: the states that it multiplies with, at every step.

Torch returns the states of the last layer, and of the others the last step. All layers and
directions of a stack share one hidden axis, so a unit of it has a state in each of them; what they
are follows from running the stack layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch

from morphir.ir import Node, Value
from morphir.ir.graph import Argument
from morphir.ops import DEFAULT_TABLE
from morphir.ops.recurrent_rule import is_projected

_KINDS: Final = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_CELL: Final = "_cell"


def is_recurrent(node: Node) -> bool:
    """Whether a call is a step, or all steps, of recurrent layers."""
    return node.op.removesuffix(_CELL) in _KINDS


def reader(node: Node) -> Value:
    """A weight whose columns are the hidden units; those of the other layers are like it."""
    if node.op.endswith(_CELL):
        found = node.arguments["w_hh"]
    else:
        weights = _directions(node.arguments)[0]
        found = weights[-1 if is_projected(node.arguments) else 1]
    assert isinstance(found, Value)
    return found


def fewest_units(node: Node) -> int:
    """How many units have to stay: torch projects a state that is narrower than its cells."""
    if not is_recurrent(node) or node.op.endswith(_CELL) or not is_projected(node.arguments):
        return 1
    state = reader(node).type
    return 1 if state is None else state.sizes(1)[0] + 1


def states(node: Node, read: Callable[[Argument], Any]) -> Iterator[torch.Tensor]:
    """The numbers of the hidden units that a recurrent call reads, the units along the last axis.

    Of a cell the state that it is given. Of a stack those of each layer and direction, from the
    first, which is given, to the last; of an LSTM with projections what these are made of. Nothing
    is dropped between the layers.

    Args:
        node: The call.
        read: Puts tensors in the place of values.
    """
    call = {name: read(argument) for name, argument in node.arguments.items()}
    if node.op.endswith(_CELL):
        yield call["hx"][0] if isinstance(call["hx"], tuple) else call["hx"]
        return
    op = DEFAULT_TABLE.get(node.op)
    assert op is not None
    time = 1 if call["batch_first"] else 0
    count = 1 + bool(call["bidirectional"])
    weights = _directions(call)
    call |= {"num_layers": 1, "dropout": 0.0, "train": False}
    features, given = call["input"], call["hx"]
    for first in range(0, len(weights), count):
        own = slice(first, first + count)
        hx = tuple(each[own] for each in given) if isinstance(given, tuple) else given[own]
        call |= {"input": features, "hx": hx, "params": sum(weights[own], ())}
        features = op.execute(call)[0]
        initial = [each.unsqueeze(time) for each in (hx[0] if isinstance(hx, tuple) else hx)]
        found = [*zip(initial, features.chunk(count, -1), strict=True)]
        if is_projected(call):
            yield from _projected(call, found, time)
        else:
            yield from (torch.cat(each, time) for each in found)


def _directions(arguments: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The parameters of each direction of each layer."""
    params = arguments["params"]
    count = (1 + bool(arguments["bidirectional"])) * arguments["num_layers"]
    each = len(params) // count
    return [tuple(params[start : start + each]) for start in range(0, len(params), each)]


def _projected(
    call: Mapping[str, Any], states: list[tuple[torch.Tensor, torch.Tensor]], time: int
) -> Iterator[torch.Tensor]:
    """The units that the projections of one layer read.

    The projected states are known by now, so they can be read as features: by a layer without
    projections, whose recurrent weights are zero.

    Args:
        call: The layer.
        states: For each direction the first state and those that follow, in the order of time.
        time: Which axis is time.
    """
    cells = call["hx"][1]
    before = [
        torch.cat([found.narrow(time, 1, steps - 1), first], time)
        if is_reverse
        else torch.cat([first, found.narrow(time, 0, steps - 1)], time)
        for is_reverse, (first, found) in enumerate(states)
        for steps in [found.shape[time]]
    ]
    params: list[torch.Tensor] = []
    for number, (w_ih, w_hh, *biases, _) in enumerate(_directions(call)):
        columns = [w_hh if k == number else torch.zeros_like(w_hh) for k in range(len(states))]
        params += [torch.cat([w_ih, *columns], 1), w_ih.new_zeros(len(w_ih), cells.shape[-1])]
        params += biases
    alone = {
        **call,
        "input": torch.cat([call["input"], *before], -1),
        "hx": (torch.zeros_like(cells), cells),
        "params": tuple(params),
    }
    op = DEFAULT_TABLE.get("lstm")
    assert op is not None
    yield from op.execute(alone)[0].chunk(len(states), -1)
