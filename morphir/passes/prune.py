"""Remove units that do nothing, or start them anew.

    PRUNE-1   a unit whose contribution is zero wherever it is read is removed, and the function
              computed is unchanged:  w[:, i] x[i] = 0  for all inputs, since the weights are zero or
              the unit is
    PRUNE-2   a unit that is dormant on data is removed; what that changes is measured on the data
    PRUNE-3   a unit that is dormant on data is started anew, with random incoming numbers, zero
              outgoing ones and fresh optimizer state

The score is that of ReDo (Sokar et al. 2023, eq. 1): the mean size of a unit's activations over data,
relative to the mean over the layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal, final, get_args

import numpy as np

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.frontend.inputs import given_inputs
from morphir.ir import FRESH, AxisMap, Grade, Program, Resize, Rewriter, is_of_train_mode
from morphir.ops.forms import Atom, atoms_in
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.sites import resolve
from morphir.passes.units import Data, Units, boxes_of, unconstrained, without

Bounds = tuple[float, float]


@final
@dataclass(frozen=True)
class PruneDormantPass(MorphismPass):
    """Remove units that provably do nothing, or that are dormant on data.

    Args:
        at: Qualified name of the module whose output features are looked at, a glob, or a list of
            them; by default every axis that can change.
        units: Which units, by number, where one module is named; by default all that are dead.
        data: Inputs, in the form of `example_inputs`, on which units are dormant. The change of the
            function is then measured on them and graded `EMPIRICAL`.
        threshold: With data, the largest score of a unit that is dormant; 0 is silence.
        mode: `"remove"`, or `"reseed"`: random incoming and zero outgoing numbers (with data).
        box: Bounds of the inputs, for all or by name: what is dead only within them is removed too,
            and graded `PROVED_ON_BOX`.
        max_fraction: The largest share of the units of one axis to remove or reseed.
        min_width: How many units of one axis have to stay.
        seed: Seed of the numbers of units that are started anew.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "prune"
    resizes: ClassVar[bool] = True

    at: str | Sequence[str] | None = None
    units: Sequence[int] | None = None
    data: Any = None
    threshold: float = 0.0
    mode: Literal["remove", "reseed"] = "remove"
    box: Bounds | Mapping[str, Bounds] | None = None
    max_fraction: float = 1.0
    min_width: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("at", "units"):
            if isinstance(getattr(self, name), list | range):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.at, tuple) and not all(isinstance(each, str) for each in self.at):
            fits = False
        else:
            fits = self.at is None or (isinstance(self.at, str | tuple) and bool(self.at))
        checks = {
            "at": fits,
            "units": self.units is None
            or (
                isinstance(self.at, str)
                and bool(self.units)
                and all(type(unit) is int and unit >= 0 for unit in self.units)
            ),
            "threshold": isinstance(self.threshold, int | float) and self.threshold >= 0,
            "mode": self.mode in ("remove", "reseed"),
            "max_fraction": isinstance(self.max_fraction, int | float)
            and 0 < self.max_fraction <= 1,
            "min_width": type(self.min_width) is int and self.min_width > 0,
            "seed": type(self.seed) is int,
            "data": self.data is not None or (self.threshold == 0 and self.mode == "remove"),
        }
        for name, holds in checks.items():
            if not holds:
                found = "None" if name == "data" else repr(getattr(self, name))
                raise RefusalError(
                    f"{name}={found}, expected {_EXPECTED[name]}", suggestions=[_EXAMPLES[name]]
                )

    @property
    def claim(self) -> Grade:
        """`EMPIRICAL` where data decide, `PROVED_ON_BOX` within a box, else `PROVED`."""
        if self.data is not None:
            return Grade.EMPIRICAL
        return Grade.PROVED if self.box is None else Grade.PROVED_ON_BOX

    def requires(self, program: Program) -> Refusal | None:
        """Refuses units that are not known to do nothing, or that can't go."""
        try:
            self._plan(program)
        except RefusalError as refusal:
            return Refusal(refusal.reason, tuple(refusal.nodes), tuple(refusal.suggestions))
        return None

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        groups, chosen, box, data = self._plan(program)
        if not chosen:
            return ["no unit does nothing"]
        maps = {each.leaf: self._map(each, gone) for each, gone in chosen}
        tensors, attributes = groups.resize(maps)
        is_exact = all(each.dead[gone].all() for each, gone in chosen)
        for each, gone in chosen:
            for name in each.loaded(gone):
                if self.mode == "remove":
                    tensors[name] = unconstrained(tensors[name], maps[each.leaf])
        law = "PRUNE-3" if self.mode == "reseed" else "PRUNE-1" if is_exact else "PRUNE-2"
        needs_data = not is_exact or self.mode == "reseed"
        at = self.at if isinstance(self.at, str) else ", ".join(self.at or ["the model"])
        rewriter.resize(
            Resize(
                at, law, tensors, attributes, {"init": "fresh", "seed": self.seed},
                box=box, data=data if needs_data else None,
            )
        )  # fmt: skip
        verb = "started anew" if self.mode == "reseed" else "removed"
        return [
            f"{len(gone)} of {each.leaf.size} units of {next(iter(each.tensors))} {verb}: "
            f"{_some(gone)} ({law})"
            for each, gone in chosen
        ]

    def _map(self, units: Units, gone: Sequence[int]) -> AxisMap:
        size = units.leaf.size
        if self.mode == "remove":
            return without(size, gone)
        return AxisMap.copies(size, [FRESH if unit in gone else unit for unit in range(size)])

    def _plan(
        self, program: Program
    ) -> tuple[AxisGroups, list[tuple[Units, list[int]]], dict[str, Bounds] | None, Data | None]:
        groups = AxisGroups(program)
        box = self._box(program)
        named = [name for name in program.graphs if not is_of_train_mode(name)]
        data = None if self.data is None else given_inputs(self.data, named)
        boxes = boxes_of(program, box)
        chosen = []
        for leaf in self._leaves(program, groups):
            try:
                units = Units(program, groups, leaf, boxes)
            except RefusalError:
                if self.at is None:  # not every axis can change
                    continue
                raise
            gone = self._chosen(units, data)
            if gone:
                chosen.append((units, gone))
        if chosen:
            groups.resize({each.leaf: self._map(each, gone) for each, gone in chosen})
        return groups, chosen, box, data

    def _leaves(self, program: Program, groups: AxisGroups) -> Iterator[Atom]:
        if self.at is None:
            for leaf, group in groups.groups.items():
                if group.reason is None and group.state and leaf.size > 1:
                    yield leaf
            return
        names = resolve(self.at, program)
        if isinstance(names, Refusal):
            raise RefusalError(names.reason, nodes=names.nodes, suggestions=names.suggestions)
        forms = [groups.features(name) for name in names]
        if self.units is not None:
            size = forms[0].size
            outside = [unit for unit in self.units if unit >= size]
            if outside or not isinstance(forms[0], Atom):
                problem = f"unit {outside[0]} is" if outside else "its features are blocks of units"
                raise RefusalError(
                    f"{names[0]!r} has {size} units, numbered from 0: {problem} not among them"
                    if outside
                    else f"{names[0]!r}: {problem}, which have no numbers of their own",
                    nodes=names[:1],
                    suggestions=["without units="],
                )
        yield from dict.fromkeys(leaf for form in forms for leaf in atoms_in(form))

    def _chosen(self, units: Units, data: Data | None) -> list[int]:
        """The units that go, most dormant first where not all may."""
        size = units.leaf.size
        score = np.where(units.dead, -1.0, np.inf)
        if data is not None:
            activity = units.activity(data)
            score = np.where((activity <= self.threshold) & ~units.dead, activity, score)
        if self.units is not None:
            alive = [unit for unit in self.units if np.isinf(score[unit])]
            if alive:
                raise RefusalError(
                    f"unit {alive[0]} is not known to do nothing"
                    + ("" if data is None else f": its score is {activity[alive[0]]:.3g}"),
                    nodes=[str(self.at)],
                    suggestions=["data= on which it is dormant", "a larger threshold="],
                )
            score[[unit for unit in range(size) if unit not in self.units]] = np.inf
        most = min(int(self.max_fraction * size), size - self.min_width)
        order = [int(unit) for unit in np.argsort(score, kind="stable") if score[unit] < np.inf]
        return sorted(order[: max(most, 0)])

    def _box(self, program: Program) -> dict[str, Bounds] | None:
        names = [value.name for graph in program.graphs.values() for value in graph.inputs]
        if self.box is None:
            return None
        given = self.box if isinstance(self.box, Mapping) else dict.fromkeys(names, self.box)
        unknown = sorted(given.keys() - {*names})
        wrong = [n for n, b in given.items() if not (len(b) == 2 and b[0] <= b[1])]
        if unknown or wrong:
            raise RefusalError(
                f"box= names {unknown[0]!r}, and the inputs are {sorted({*names})}"
                if unknown
                else f"box= of {wrong[0]!r} is {given[wrong[0]]}, expected (low, high)",
                suggestions=["box=(-1.0, 1.0)"],
            )
        return {name: (float(low), float(high)) for name, (low, high) in given.items()}


def _some(units: Sequence[int]) -> str:
    shown = ", ".join(map(str, units[:8]))
    return f"{shown}, ..." if len(units) > 8 else shown


_EXPECTED: Final = {
    "at": "a qualified module name, a glob, a list of them, or None",
    "units": "unit numbers, with at= the name of one module",
    "threshold": "a number that is not negative",
    "mode": "'remove' or 'reseed'",
    "max_fraction": "a number above 0, at most 1",
    "min_width": "a positive integer",
    "seed": "an integer",
    "data": "inputs, where threshold= or mode='reseed' is given",
}
_EXAMPLES: Final = {
    "at": "at='extractor.0'",
    "units": "at='extractor.0', units=[3, 5]",
    "threshold": "threshold=0.025",
    "mode": "mode='remove'",
    "max_fraction": "max_fraction=0.5",
    "min_width": "min_width=8",
    "seed": "seed=0",
    "data": "data=(x,)",
}
