"""Remove units that do nothing, or start them anew.

    PRUNE-1   a unit whose contribution is zero wherever units are summed is removed, and the
              function is unchanged:  w[:, i] x[i] = 0  for all inputs, since a factor is zero
    PRUNE-2   a unit that is dormant on data is removed; what that changes is measured on the data
    PRUNE-3   a unit that is dormant on data is started anew, with random incoming numbers, zero
              outgoing ones and fresh optimizer state (PRUNE-5: `anew.py`)
    PRUNE-4   a unit that is a constant is removed, and a bias takes the constant over
    PRUNE-6   weights of dormant units cease to be used (`truncate.py`)

When a unit is dead stands in `units.py`, what dormant is in `activity.py`, and which constants can
be folded in `constants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, final

import numpy as np

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.frontend.inputs import given_inputs
from morphir.ir import (
    Fold,
    Grade,
    Mapped,
    Program,
    Renumbering,
    Resize,
    Rewriter,
    is_of_train_mode,
)
from morphir.ops.forms import Atom, atoms_in
from morphir.passes.activity import Scores, Values, scores_of, values_on
from morphir.passes.anew import Anew, Tensors, numbers_anew, told_dormant
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.bounds import Bounds, bounds_of, is_box
from morphir.passes.constants import Constants, together
from morphir.passes.data import Data
from morphir.passes.refusals import about
from morphir.passes.sites import resolve
from morphir.passes.truncate import told_pruned, truncated
from morphir.passes.units import Candidates, Known, Units, some, without
from morphir.tensors import tensors_in


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
        mode: `"remove"`; or with data `"reseed"`: random incoming and zero outgoing numbers; or
            `"mask"`: weights of dormant units cease to be used, random ones, and the units that
            lost one are reseeded.
        weights: With `"mask"`, how many weights may cease to be used, by name; by default all.
        fold: Whether units that are a constant, and not zero, are removed too, and biases take the
            constants over. Where these have to be rounded the change is `TESTED`, and the report
            says by how much, and how far that moves the outputs.
        box: Bounds of the inputs, for all or by name: what is dead only within them is removed too,
            and graded `PROVED_ON_BOX`.
        max_fraction: The largest share of the units of one axis to remove or reseed.
        min_width: How many units of one axis have to stay, where they are removed.
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
    mode: Literal["remove", "reseed", "mask"] = "remove"
    weights: Mapping[str, int] | None = None
    fold: bool = False
    box: Bounds | Mapping[str, Bounds] | None = None
    max_fraction: float = 1.0
    min_width: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("at", "units"):
            if isinstance(getattr(self, name), list | range | set | frozenset):
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
                and isinstance(self.units, tuple)
                and bool(self.units)
                and all(type(unit) is int and unit >= 0 for unit in self.units)
            ),
            "threshold": isinstance(self.threshold, int | float) and self.threshold >= 0,
            "mode": self.mode in ("remove", "reseed", "mask"),
            "weights": self.weights is None
            or (
                self.mode == "mask"
                and isinstance(self.weights, Mapping)
                and all(type(each) is int and each >= 0 for each in self.weights.values())
            ),
            "max_fraction": isinstance(self.max_fraction, int | float)
            and 0 < self.max_fraction <= 1,
            "min_width": type(self.min_width) is int and self.min_width > 0,
            "seed": type(self.seed) is int,
            "fold": type(self.fold) is bool and (not self.fold or self.mode == "remove"),
            "box": self.box is None or is_box(self.box),
            "data": self.data is not None or (self.threshold == 0 and self.mode == "remove"),
        }
        for name, holds in checks.items():
            if not holds:
                holds_data = next(tensors_in(getattr(self, name)), None) is not None
                found = "..." if holds_data else repr(getattr(self, name))
                raise RefusalError(
                    f"{name}={found}, expected {_EXPECTED[name]}", suggestions=[_EXAMPLES[name]]
                )

    @property
    def claim(self) -> Grade:
        """`EMPIRICAL` where data decide, `TESTED` where constants may be rounded, else proved."""
        if self.data is not None:
            return Grade.EMPIRICAL
        if self.fold:
            return Grade.TESTED
        return Grade.PROVED if self.box is None else Grade.PROVED_ON_BOX

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes, or the numbers."""
        groups, known, sites = self._plan(program)
        if not sites:
            limits = f"max_fraction={self.max_fraction:g}, min_width={self.min_width}"
            return [f"there is no unit that does nothing and may go ({limits})"]
        at = self.at if isinstance(self.at, str) else ", ".join(self.at or ["the model"])
        if self.mode != "remove":
            dormant = [(site.units, site.gone) for site in sites]
            return self._start_anew(program, groups, dormant, at, rewriter)
        maps = {site.units.leaf: without(site.units.leaf.size, site.gone) for site in sites}
        tensors, attributes = groups.resize(maps)
        for site in sites:
            tensors = site.units.claims(tensors, maps[site.units.leaf], known)
        folds = together(fold for site in sites for fold in site.folds)
        for fold in folds:
            for name in (fold.weight, fold.bias):
                same = tuple(map(Mapped, program.state[name].type.sizes(1)))
                tensors.setdefault(name, same)
        needs_data = any(site.dormant for site in sites)
        law = "PRUNE-2" if needs_data else "PRUNE-4" if folds else "PRUNE-1"
        spec = {"init": "copy", "seed": self.seed}
        data = self._data(program) if needs_data else None
        rewriter.resize(
            Resize(
                at, law, tensors, attributes, spec, box=self._box(program), data=data, folds=folds
            )
        )
        return [
            f"{len(each.gone)} of {each.units.leaf.size} units of {each.units.name} removed: "
            f"{some(each.gone)} ({law})"
            for each in sites
        ]

    def _start_anew(
        self, program: Program, groups: AxisGroups, dormant: Anew, at: str, rewriter: Rewriter
    ) -> Sequence[str]:
        """Gives dormant units new numbers, and takes weights of theirs out of use."""
        masks: Tensors = {}
        anew = dormant
        if self.mode == "mask":
            masks, anew = truncated(program, dormant, self.weights, self.seed)
            if not masks:
                return ["no weight of a dormant unit may cease to be used"]
        law = "PRUNE-3" if self.mode == "reseed" else "PRUNE-6"
        data = self._data(program)
        assert data is not None
        numbers, places = numbers_anew(program, groups, anew, masks, self.seed)
        spec = {"seed": self.seed, "units": {units.name: [*gone] for units, gone in anew}}
        silent = self.threshold == 0 and not any(units.is_mixed for units, _ in anew)
        most = self._most(program)
        edit = Renumbering(
            at, law, masks, spec, numbers, places, keeps=False, data=data, silent=silent, most=most
        )
        rewriter.renumber(edit)
        return [
            *(
                f"{len(gone)} of {units.leaf.size} units of {units.name} started anew: "
                f"{some(gone)} ({law})"
                for units, gone in anew
            ),
            *told_pruned(program, masks),
            *told_dormant(program, numbers, anew, data, self.threshold),
        ]

    def _most(self, program: Program) -> Mapping[str, int]:
        """How many numbers of each parameter may cease to be in use (PRUNE-6)."""
        return {} if self.weights is None else {**dict.fromkeys(program.state, 0), **self.weights}

    def _data(self, program: Program) -> Data | None:
        names = [name for name in program.graphs if not is_of_train_mode(name)]
        return None if self.data is None else given_inputs(self.data, names)

    def _plan(self, program: Program) -> tuple[AxisGroups, Known, list[_Site]]:
        axes = program.once(Candidates)
        groups, known = axes.groups, Known(program, self._box(program))
        data = self._data(program)
        values = None if data is None else values_on(program, data)
        sites = []
        seen: set[Atom] = set()
        for name, leaves in self._leaves(program, groups):
            found = [axes.units(leaf, go=self.mode == "remove") for leaf in leaves]
            refusals = [each for each in found if isinstance(each, RefusalError)]
            if name and len(refusals) == len(leaves):
                raise about(refusals[0], name)
            for units in found:
                if isinstance(units, RefusalError) or units.leaf in seen:
                    continue
                seen.add(units.leaf)
                site = self._site(program, units, known, values)
                sites += [site] if site.gone else []
        return groups, known, sites

    def _leaves(self, program: Program, groups: AxisGroups) -> Iterator[tuple[str, list[Atom]]]:
        """The axes that each module's features are made of; by default every axis by itself."""
        if self.at is None:
            for leaf, group in groups.groups.items():
                can_lose = leaf.size > 1 or self.mode != "remove"
                if group.reason is None and group.state and can_lose:
                    yield "", [leaf]
            return
        names = resolve(self.at, program, groups.has_free)
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
        for name, form in zip(names, forms, strict=True):
            yield name, [*dict.fromkeys(atoms_in(form))]

    def _site(self, program: Program, units: Units, known: Known, values: Values | None) -> _Site:
        """The units that go, most dormant first where not all may."""
        size = units.leaf.size
        score = np.full(size, np.inf)
        if self.mode == "remove":  # a unit that nobody reads yet need not be dormant
            score[units.dead(known)] = -2.0
        constants = Constants(program, units, known) if self.fold else None
        if constants is not None:
            score[[unit for unit, reason in constants.reasons.items() if not reason]] = -1.0
        activity = None if values is None else scores_of(units, values)
        if activity is not None:
            score = np.where((activity <= self.threshold) & (score > 0), activity, score)
        if self.units is not None:
            self._check_known(score, activity, constants or Constants(program, units, known))
            score[[unit for unit in range(size) if unit not in self.units]] = np.inf
        fewest = max(self.min_width, units.fewest) if self.mode == "remove" else 0
        most = max(0, min(int(self.max_fraction * size), size - fewest))
        self._check_count(units, most)
        order = [int(unit) for unit in np.argsort(score, kind="stable") if score[unit] < np.inf]
        gone = sorted(order[:most])
        folded = [unit for unit in gone if score[unit] == -1]
        folds = () if constants is None or not folded else constants.folds(folded)
        return _Site(units, gone, folds, any(score[unit] >= 0 for unit in gone))

    def _check_count(self, units: Units, most: int) -> None:
        named = sorted({*(self.units or ())})
        if len(named) > most:
            raise RefusalError(
                f"{len(named)} of {units.leaf.size} units of {units.name} are named, of which "
                f"{most} may go (max_fraction={self.max_fraction:g}, min_width={self.min_width})",
                nodes=[str(self.at)],
                suggestions=[f"units={named[:most]}"] if most else [],
            )

    def _check_known(self, score: Scores, activity: Scores | None, constants: Constants) -> None:
        for unit in self.units or ():
            if score[unit] < np.inf:
                continue
            reason = constants.reasons.get(unit)  # why it can't be folded, "" where it can
            found = "" if activity is None else f": its score is {activity[unit]:.3g}"
            if reason is None:
                problem = f"is not known to do nothing{found}"
            elif reason:
                problem = f"is a constant that can't be folded: {reason}"
            else:
                problem = f"is a constant, and not zero{found}"
            can_fold = reason == "" and self.mode == "remove"
            raise RefusalError(
                f"unit {unit} {problem}",
                nodes=[str(self.at)],
                suggestions=[
                    *["fold=True"] * can_fold,
                    "data= on which it is dormant" if activity is None else "a larger threshold=",
                ],
            )

    def _box(self, program: Program) -> dict[str, Bounds] | None:
        names = [value.name for graph in program.graphs.values() for value in graph.inputs]
        return None if self.box is None else bounds_of(self.box, names)


@final
@dataclass(frozen=True, eq=False)
class _Site:
    """What is done on one axis.

    Attributes:
        units: Its units.
        gone: Those that are removed or started anew.
        folds: What biases take over.
        dormant: Whether that any of them does nothing is known from data only.
    """

    units: Units
    gone: list[int]
    folds: Sequence[Fold]
    dormant: bool


_EXPECTED: Final = {
    "at": "a qualified module name, a glob, a list of them, or None",
    "units": "unit numbers, with at= the name of one module",
    "threshold": "a number that is not negative",
    "mode": "'remove', 'reseed' or 'mask'",
    "weights": "a number for each weight by name, with mode='mask'",
    "fold": "True or False, and True with mode='remove' only",
    "max_fraction": "a number above 0, at most 1",
    "min_width": "a positive integer",
    "seed": "an integer",
    "box": "(low, high), two numbers for every element of the inputs, or such pairs by name",
    "data": "inputs, where threshold= is given or mode= is not 'remove'",
}
_EXAMPLES: Final = {
    "at": "at='extractor.0'",
    "units": "at='extractor.0', units=[3, 5]",
    "threshold": "threshold=0.025",
    "mode": "mode='remove'",
    "weights": "mode='mask', weights={'extractor.2.weight': 100}",
    "fold": "fold=True",
    "max_fraction": "max_fraction=0.5",
    "min_width": "min_width=8",
    "seed": "seed=0",
    "box": "box=(-1.0, 1.0)",
    "data": "data=(x,)",
}
