"""Give a layer more units; the function computed is unchanged.

    WIDER-1   units are copied, and what reads them is split into parts that sum to the old numbers
              exactly:  sum_j w'[j] x'[j] = sum_i w[i] x[i]
    WIDER-2   units are fresh, with random incoming numbers, and what reads them is 0 there
    WIDER-3   the outgoing numbers of fresh units receive a gradient at once, copies in all numbers

Copies are Net2WiderNet (Chen et al. 2016) with shares that are unequal, since equal copies never
part. Fresh units are the zero-initialised expansion of Net2Net's successors: nothing is computed
with them until the first step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import FRESH, AxisMap, Program, Resize, Rewriter
from morphir.ops.forms import Atom, Form, Sum, atoms_in, parts_of
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.sites import resolve
from morphir.shares import widened

Init = Literal["copy", "fresh"]
_LAWS: Mapping[str, str] = {"copy": "WIDER-1", "fresh": "WIDER-2"}


@final
@dataclass(frozen=True)
class WiderPass(MorphismPass):
    """Give the output features of a module more units, everywhere they are used.

    Args:
        at: Qualified name of the module whose output features get more units, a glob, or a list of
            them.
        width: How many output features each of these modules has afterwards.
        init: `"copy"` (units are copied, and their consumers split among the copies) or `"fresh"`
            (random incoming numbers, zero outgoing ones).
        shares: `"unequal"` (copies become different under any optimizer) or `"equal"` (they stay
            the same; only then is optimizer state carried over exactly where a mean runs over the
            units, as in LayerNorm).
        joint: Whether other axes may change that have to change with these, in proportion: the
            heads of a transformer with its width.
        seed: Seed of the choice of units to copy, of their shares, and of fresh numbers.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "wider"
    resizes: ClassVar[bool] = True

    at: str | Sequence[str]
    width: int
    init: Init = "copy"
    shares: Literal["unequal", "equal"] = "unequal"
    joint: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        patterns = self.at if isinstance(self.at, tuple) else (self.at,)
        fits = {
            "at": bool(patterns) and all(isinstance(pattern, str) for pattern in patterns),
            "width": type(self.width) is int and self.width > 0,
            "init": self.init in get_args(Init),
            "shares": self.shares in ("unequal", "equal"),
            "joint": type(self.joint) is bool,
            "seed": type(self.seed) is int,
        }
        for name, holds in fits.items():
            if not holds:
                raise RefusalError(
                    f"{name}={getattr(self, name)!r}, expected {_EXPECTED[name]}",
                    suggestions=[_EXAMPLES[name]],
                )

    def requires(self, program: Program) -> Refusal | None:
        """Refuses features that can't change, or not to this width."""
        try:
            self._plan(program)
        except RefusalError as refusal:
            return Refusal(refusal.reason, tuple(refusal.nodes), tuple(refusal.suggestions))
        return None

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        names, groups, maps = self._plan(program)
        if not maps:
            return [f"{', '.join(map(repr, names))} already has {self.width} features"]
        tensors, attributes = groups.resize(maps)
        spec = {"init": self.init, "seed": self.seed}
        at = ", ".join(names)
        rewriter.resize(Resize(at, _LAWS[self.init], tensors, attributes, spec))
        count = len(tensors)
        return [
            f"{at}: {axis_map.size} units became {len(axis_map.source)} ({_LAWS[self.init]})"
            for axis_map in maps.values()
        ] + [f"{count} tensors changed their shape"]

    def _plan(self, program: Program) -> tuple[list[str], AxisGroups, dict[Atom, AxisMap]]:
        names = resolve(self.at, program)
        if isinstance(names, Refusal):
            raise RefusalError(names.reason, nodes=names.nodes, suggestions=names.suggestions)
        groups = AxisGroups(program)
        return names, groups, self.maps(groups, names)

    def maps(self, groups: AxisGroups, names: Sequence[str]) -> dict[Atom, AxisMap]:
        """The maps of the leaves that change.

        Args:
            groups: The groups of the program.
            names: The modules that `at` means.

        Raises:
            RefusalError: Features can't change, or not to this width.
        """
        maps: dict[Atom, AxisMap] = {}
        for name in names:
            maps |= self._site(groups, name, groups.features(name))
        if maps:
            groups.resize(maps)
        return maps

    def _site(self, groups: AxisGroups, name: str, form: Form) -> dict[Atom, AxisMap]:
        """The maps that give one module its new width."""
        if form.size == self.width:
            return {}
        if form.size > self.width:
            raise RefusalError(
                f"{name!r} has {form.size} output features, more than width={self.width}",
                nodes=[name],
                suggestions=[f"width={2 * form.size}", "morphir.PruneDormantPass(at=...)"],
            )
        first: RefusalError | None = None
        for leaf, size in _choices(form, self.width):
            try:
                return self._maps(groups, name, {leaf: size})
            except RefusalError as refusal:
                first = first or refusal
        raise first or _no_choice(name, form, self.width)

    def _maps(
        self, groups: AxisGroups, name: str, sizes: Mapping[Atom, int]
    ) -> dict[Atom, AxisMap]:
        if self.joint:
            sizes = groups.companions(sizes)
        maps = {leaf: self._map(name, leaf.size, size) for leaf, size in sizes.items()}
        groups.resize(maps)
        return maps

    def _map(self, name: str, size: int, new: int) -> AxisMap:
        if self.init == "fresh":
            return AxisMap.copies(size, (*range(size), *[FRESH] * (new - size)))
        return widened(size, new, seed=self.seed, name=name, equal=self.shares == "equal")


def _choices(form: Form, width: int) -> Iterator[tuple[Atom, int]]:
    """The atoms of an axis, and how large each would have to be to give the axis its new width."""
    for leaf in dict.fromkeys(atoms_in(form)):
        each = _each(form, leaf)
        if each and (width - form.size) % each == 0:
            yield leaf, leaf.size + (width - form.size) // each


def _each(form: Form, leaf: Atom) -> int:
    """How many positions of an axis one more unit of an atom makes, 0 where that is not linear."""
    if form is leaf:
        return 1
    if isinstance(form, Sum):
        return sum(_each(term, leaf) for term in form.terms)
    inside = [part for part in parts_of(form) if leaf in {*atoms_in(part)}]
    if len(inside) != 1:
        return 0
    return _each(inside[0], leaf) * (form.size // inside[0].size)


def _no_choice(name: str, form: Form, width: int) -> RefusalError:
    steps = sorted({_each(leaf_form, leaf) for leaf_form, leaf in _leaves(form)} - {0})
    near = sorted({form.size + step * -(-(width - form.size) // step) for step in steps})
    return RefusalError(
        f"{name!r} has {form.size} output features in blocks, which can't become {width}",
        nodes=[name],
        suggestions=[f"width={each}" for each in near],
    )


def _leaves(form: Form) -> Iterator[tuple[Form, Atom]]:
    for leaf in dict.fromkeys(atoms_in(form)):
        yield form, leaf


_EXPECTED = {
    "at": "a qualified module name, a glob, or a list of them",
    "width": "a positive integer",
    "init": f"one of {', '.join(map(repr, get_args(Init)))}",
    "shares": "'unequal' or 'equal'",
    "joint": "True or False",
    "seed": "an integer",
}
_EXAMPLES = {
    "at": "at='extractor.0'",
    "width": "width=256",
    "init": "init='copy'",
    "shares": "shares='unequal'",
    "joint": "joint=True",
    "seed": "seed=0",
}
