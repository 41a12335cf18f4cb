"""Units that start anew: what is not drawn for them, and whether that wakes them.

    PRUNE-5   the biases of units that start anew are 0; how many of these units are dormant on the
              data still is measured and said

A bias is where a ReLU starts, so that of a neighbour may put a unit to sleep again. ReDo (Sokar et
al. 2023) takes 0 for the bias of a layer; for that of a norm, which they do not have, the same
holds, and it is what torch starts with. A norm multiplies with its weight, so there 0 would be the
one number that makes a dead unit: it is the mean of those of the units that stay (BACK-10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.initial import fill_free
from morphir.ir import FRESH, ZERO, AxisMap, Program, TensorChange, Value
from morphir.passes.activity import scores_of, values_on
from morphir.passes.data import Data
from morphir.passes.units import Units, some

Anew = Sequence[tuple[Units, Sequence[int]]]  # the units of each axis, and which of them
Tensors = Mapping[str, torch.Tensor]
Changes = Mapping[str, TensorChange]


def biases_in(program: Program, names: Iterable[str]) -> list[str]:
    """Those of some state entries that a call takes as its bias."""
    taken = (
        node.arguments.get("bias") for graph in program.graphs.values() for node in graph.nodes
    )
    biases = {each.name for each in taken if isinstance(each, Value) and each.origin == "state"}
    return [name for name in names if name in biases]


def numbers_anew(
    program: Program, groups: AxisGroups, anew: Anew, masks: Tensors, seed: int
) -> tuple[Tensors, Tensors]:
    """The numbers with which units start anew (PRUNE-3): random incoming and zero outgoing ones.

    Args:
        program: The program as it is.
        groups: Its axes.
        anew: The units that start anew.
        masks: Parameter to its mask, if it is another one from now on; what is not in use is 0.
        seed: Seed of the draws.

    Returns:
        The numbers, and where they are those of a unit that starts anew.
    """
    maps = {units.leaf: _restarting(units.leaf.size, gone) for units, gone in anew}
    tensors = _learnable(program, groups.resize(maps, restarts=True)[0])
    spec = {"init": "fresh", "seed": seed, "zero": biases_in(program, tensors)}
    numbers, places = {}, {}
    for name, change in tensors.items():
        old, mask = program.state[name].tensor, masks.get(name, mask_of(program, name))
        assert old is not None
        numbers[name] = old.detach().clone()  # the axes are as long as before
        fill_free(numbers[name], old.detach(), change, name, spec, mask=mask)
        if mask is not None:
            numbers[name] *= mask
        places[name] = torch.zeros_like(old, dtype=torch.bool)
        for axis, each in enumerate(change):
            new = torch.from_numpy(each.relation.source < 0).to(old.device)
            places[name] |= new.view([-1 if d == axis else 1 for d in range(old.dim())])
    return numbers, places


def _learnable(program: Program, tensors: Changes) -> Changes:
    """The changes of parameters and of a norm's statistics: other buffers stay as they are.

    Such as a mask that a forward multiplies with, or an encoding of positions. Where one of them
    would have the outgoing zeros, the parameter has them that it is multiplied with.

    Raises:
        RefusalError: There is no such parameter.
    """
    statistics = _statistics_in(program)
    kept = {n: c for n, c in tensors.items() if program.state[n].kind == "parameter"}
    kept |= {name: tensors[name] for name in tensors if name in statistics}
    for name in tensors.keys() - kept.keys():
        for axis, each in enumerate(tensors[name]):
            if not (each.relation.source == ZERO).any():
                continue
            factor = _factor_of(program, name)
            if factor not in kept:
                raise RefusalError(
                    f"{name!r} is no parameter, and would have to hold the zeros by which units "
                    "that start anew are not heard at first",
                    nodes=[name],
                    suggestions=["at= without the layer whose units it reads"],
                )
            own = kept[factor]
            kept[factor] = (*own[:axis], each, *own[axis + 1 :])
    return {name: kept[name] for name in tensors if name in kept}


def _statistics_in(program: Program) -> set[str]:
    """The running means and variances of norms."""
    taken = (
        node.arguments.get(name)
        for graph in program.graphs.values()
        for node in graph.nodes
        for name in ("running_mean", "running_var")
    )
    return {each.name for each in taken if isinstance(each, Value) and each.origin == "state"}


def _factor_of(program: Program, name: str) -> str:
    """The parameter of the same shape that a state entry is multiplied with, or ""."""
    for graph in program.graphs.values():
        for node in graph.nodes:
            read = [each.name for each in node.operands if each.origin == "state"]
            if node.op == "mul" and name in read:
                for other in read:
                    entry = program.state[other]
                    if entry.kind == "parameter" and entry.type == program.state[name].type:
                        return other
    return ""


def mask_of(program: Program, name: str) -> torch.Tensor | None:
    """The mask of a state entry, None where it has none."""
    mask = program.state[name].mask
    return program.state[mask].tensor if mask else None


def told_dormant(
    program: Program, numbers: Tensors, anew: Anew, data: Data, threshold: float
) -> Iterator[str]:
    """Says which of the units that start anew are dormant on the data still (PRUNE-5).

    Args:
        program: The program as it is.
        numbers: What they start with.
        anew: The units of each axis, and which of them start anew.
        data: On which they are measured.
        threshold: The largest score of a unit that is dormant.
    """
    values = values_on(program, data, numbers)
    for units, new in anew:
        dormant = np.intersect1d(np.flatnonzero(scores_of(units, values) <= threshold), new)
        if len(dormant):
            yield (
                f"{len(dormant)} of the {len(new)} new units of {units.name} are dormant on the "
                f"data still: {some(dormant.tolist())}; another seed= draws others"
            )


def _restarting(size: int, gone: Sequence[int]) -> AxisMap:
    new = {*gone}
    return AxisMap.copies(size, [FRESH if unit in new else unit for unit in range(size)])
