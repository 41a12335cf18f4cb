"""How active the units of an axis are on data: the score of ReDo.

    PRUNE-2   s[i] = mean |x[i]| / (mean over all units k of mean |x[k]|), over rows and positions

It is that of Sokar et al. 2023, eq. 1. Where units are read in several places the largest counts:
a unit that is silent in one of them is not dormant. Every layer and direction of a recurrent layer
is a place of its own, where the units are its states (`hidden.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from morphir.errors import RefusalError
from morphir.ir import Program, Value, is_of_train_mode
from morphir.ir.graph import Argument
from morphir.ops.replay import evaluate
from morphir.passes.data import Data, run_on
from morphir.passes.hidden import is_recurrent, reader, states
from morphir.passes.units import Term, Total, Units

Scores = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class Values:
    """What was computed on data.

    Attributes:
        found: The values that were.
        state: State entry to the numbers that they were computed with.
    """

    found: Mapping[Value, torch.Tensor]
    state: Mapping[str, torch.Tensor]


def values_on(
    program: Program, data: Data, changed: Mapping[str, torch.Tensor] | None = None
) -> Values:
    """All values that the entry points compute on data, in eval mode.

    Args:
        program: The program.
        data: Entry point to arguments.
        changed: State entries that have other numbers than they have in the program.

    Raises:
        RefusalError: The data do not fit an entry point.
    """
    found: dict[Value, torch.Tensor] = {}
    state = {name: e.tensor for name, e in program.state.items() if e.tensor is not None}
    state |= changed or {}
    with torch.no_grad():
        for name, graph in program.graphs.items():
            if name in data and not is_of_train_mode(name):
                found |= run_on(graph, state, data[name]).values
    return Values(found, state)


def scores_of(units: Units, values: Values) -> Scores:
    """The score of each unit (PRUNE-2).

    Args:
        units: The units.
        values: What was computed on data.

    Raises:
        RefusalError: Nothing that was computed on them is read, or a call that is no recurrent
            layer reads what no graph shows.
    """
    read = [*_read(units, values)]
    if not read:
        raise RefusalError(
            f"no activations of the units of {units.name!r} can be measured: nothing that the data "
            "reach reads them",
            nodes=[units.name],
            suggestions=["data= for an entry point that reads them", "no data="],
        )
    return np.asarray(np.maximum.reduce([_score(t, x, units.leaf.size) for t, x in read]))


def _read(units: Units, values: Values) -> Iterator[tuple[Term, torch.Tensor]]:
    for total in units.totals:
        if total.is_hidden:
            yield from _hidden(units, total, values)
            continue
        terms = [term for term in total.terms if term.tensor in values.found]
        for term in [term for term in terms if not term.is_split] or terms:
            assert isinstance(term.tensor, Value)
            tensor = values.found[term.tensor]
            if tensor.shape[term.axis] == len(term.units):
                yield term, tensor.detach().double().abs()


def _hidden(units: Units, total: Total, values: Values) -> Iterator[tuple[Term, torch.Tensor]]:
    """What a call reads inside of itself."""
    node = total.node
    if not is_recurrent(node):
        raise RefusalError(
            f"no activations of the units of {units.name!r} can be measured: {node.op} multiplies "
            "with numbers that it does not return",
            nodes=[units.name],
            suggestions=["no data="],
        )

    def read(argument: Argument) -> Any:
        return evaluate(argument, values.found, values.state)

    if node.outputs[0] in values.found:
        weight = reader(node)
        name = weight.name if weight.origin == "state" else weight
        column = next(term for term in total.terms if term.tensor == name)
        with torch.no_grad():
            sizes = [state.double().abs() for state in states(node, read)]
        for size in sizes:
            yield Term(name, size.dim() - 1, column.units, is_split=False), size


def _score(term: Term, size: torch.Tensor, count: int) -> Scores:
    others = [each for each in range(size.dim()) if each != term.axis]
    mean = (size.mean(dim=others) if others else size).numpy(force=True)
    place = term.units >= 0
    total = np.bincount(term.units[place], mean[place], minlength=count)
    each = total / np.bincount(term.units[place], minlength=count)
    whole = float(each.mean())
    if not np.isfinite(whole):  # beside what overflows any size is nothing, but not silence
        return np.where(each == 0, 0.0, np.inf)
    return np.asarray(each / whole if whole > 0 else each)
