"""Units that start anew: what is not drawn for them, and whether that wakes them.

    PRUNE-5   the biases of units that start anew are 0; how many of these units are dormant on the
              data still is measured and said

A bias is where a ReLU starts, so that of a neighbour may put a unit to sleep again. ReDo (Sokar et
al. 2023) takes 0 for the bias of a layer; for that of a norm, which they do not have, the same
holds, and it is what torch starts with. A norm multiplies with its weight, so there 0 would be the
one number that makes a dead unit: it is the mean of those of the units that stay (BACK-10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from morphir.initial import fill_free
from morphir.ir import Program, Resize, Value
from morphir.passes.activity import scores_of, values_on
from morphir.passes.data import Data
from morphir.passes.units import Units, some


def biases_in(program: Program, names: Iterable[str]) -> list[str]:
    """Those of some state entries that a call takes as its bias."""
    taken = (
        node.arguments.get("bias") for graph in program.graphs.values() for node in graph.nodes
    )
    biases = {each.name for each in taken if isinstance(each, Value) and each.origin == "state"}
    return [name for name in names if name in biases]


def told_dormant(
    program: Program,
    edit: Resize,
    anew: Iterable[tuple[Units, list[int]]],
    data: Data,
    threshold: float,
) -> Iterator[str]:
    """Says which of the units that start anew are dormant on the data still (PRUNE-5).

    Args:
        program: The program as it is.
        edit: How they start anew.
        anew: The units of each axis, and which of them start anew.
        data: On which they are measured.
        threshold: The largest score of a unit that is dormant.
    """
    state = {}
    for name, change in edit.tensors.items():
        old = program.state[name].tensor
        assert old is not None
        state[name] = old.detach().clone()  # the axes are as long as before
        fill_free(state[name], old.detach(), change, name, edit.spec)
    values = values_on(program, data, state)
    for units, new in anew:
        dormant = np.intersect1d(np.flatnonzero(scores_of(units, values) <= threshold), new)
        if len(dormant):
            yield (
                f"{len(dormant)} of the {len(new)} new units of {units.name} are dormant on the "
                f"data still: {some(dormant.tolist())}; another seed= draws others"
            )
