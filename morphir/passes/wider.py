"""Give a layer more units; the function computed is unchanged.

    WIDER-1   units are copied, and what reads them is split into parts that sum to the old numbers
              exactly:  sum_j w'[j] x'[j] = sum_i w[i] x[i]
    WIDER-2   units are fresh, with random incoming numbers, and what reads them is 0 there
    WIDER-3   the outgoing numbers of fresh units receive a gradient at once, copies in all numbers;
              pairs of copies become different with the first step of SGD or Adam
    WIDER-5   `heads=` changes how many heads attention has, and `width=` never does by itself

Copies are Net2WiderNet (Chen et al. 2016) with shares that are unequal, since equal copies never
part. Fresh units are the zero-initialised expansion of Net2Net's successors: nothing is computed
with them until the first step. Their directions may be those of GradMax (WIDER-4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar, Final, Literal, final, get_args

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import FRESH, AxisMap, Program, Resize, Rewriter, TensorChange
from morphir.ops.forms import Atom, atoms_in
from morphir.passes.anew import biases_in
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.chains import Chains
from morphir.passes.data import Loss
from morphir.passes.extend import ExtendOutputPass
from morphir.passes.gradmax import Search
from morphir.passes.refusals import about
from morphir.passes.sites import resolve, unprovable
from morphir.passes.sizes import SIZES, is_size
from morphir.passes.target import Target
from morphir.passes.told import told
from morphir.shares import widened

Init = Literal["copy", "fresh", "gradmax"]
_SHOWN: Final = 2  # of the sizes that would work


@final
@dataclass(frozen=True)
class WiderPass(MorphismPass):
    """Give the output features of a module more units, everywhere they are used.

    Args:
        at: Qualified name of the module whose output features get more units, a glob, or a list of
            them.
        width: How many output features each of these modules has afterwards.
        init: `"copy"` (units are copied, and their consumers split among the copies), `"fresh"`
            (random incoming numbers, zero outgoing ones) or `"gradmax"` (fresh, with incoming
            numbers for which the outgoing ones receive a large gradient on data; there are no more
            such directions than features that the module reads, or that the next layer returns,
            and other units get random ones).
        shares: `"unequal"` (copies become different under any optimizer) or `"equal"` (they stay
            the same; only then is optimizer state carried over exactly where a mean runs over the
            units, as in LayerNorm).
        joint: Whether other axes may change that have to change with these, in proportion: the
            heads of a transformer with its width.
        seed: Seed of the choice of units to copy, of their shares, and of fresh numbers.
        heads: In place of `width`: how many attention heads there are afterwards; `at` is then a
            projection of queries, keys or values, or a module with one attention in it.
        data: With `"gradmax"`, inputs in the form of `example_inputs`, for some entry points.
        loss: With `"gradmax"`, a function from what an entry point returns to a number; it is given
            one tensor, or a tuple if there are several.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "wider"
    resizes: ClassVar[bool] = True

    at: str | Sequence[str]
    width: int | None = None
    init: Init = "copy"
    shares: Literal["unequal", "equal"] = "unequal"
    joint: bool = False
    seed: int = 0
    heads: int | None = None
    data: Any = None
    loss: Loss | None = None

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        patterns = self.at if isinstance(self.at, tuple) else (self.at,)
        on_data = self.init == "gradmax"
        fits = {
            "at": bool(patterns) and all(isinstance(pattern, str) for pattern in patterns),
            "width": is_size(self.width) or (self.width is None and self.heads is not None),
            "heads": self.heads is None or (self.width is None and is_size(self.heads)),
            "init": self.init in get_args(Init),
            "shares": self.shares in ("unequal", "equal"),
            "joint": type(self.joint) is bool,
            "seed": type(self.seed) is int,
            "data": (self.data is not None) == on_data,
            "loss": callable(self.loss) if on_data else self.loss is None,
        }
        for name, holds in fits.items():
            if not holds:
                value = getattr(self, name)
                found = repr(value) if name != "data" or value is None else "..."
                raise RefusalError(
                    f"{name}={found}, expected {_EXPECTED[name]}", suggestions=[_EXAMPLES[name]]
                )

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        names, groups, maps = self._plan(program)
        at = ", ".join(names)
        if not maps:
            size = f"{self.width} features" if self.heads is None else f"{self.heads} heads"
            return [f"{', '.join(map(repr, names))} already has {size}"]
        tensors, attributes = groups.resize(maps)
        law = "WIDER-1" if self.init == "copy" else "WIDER-2"
        spec: dict[str, Any] = {"init": "copy", "seed": self.seed}
        if self.init != "copy":  # a replay of the lineage has no data: where these decide, it draws
            spec |= {"init": "fresh", "zero": biases_in(program, tensors)}
        given: dict[str, Any] = {}
        changes = told(groups, names, maps, heads=self.heads is not None)
        notes = [f"{change} ({law})" for change in changes]
        for chains in self._chains(groups, maps, tensors):
            assert self.loss is not None
            search = Search(program, chains, tensors)
            found = search.directions(self.data, self.loss, self.seed)
            given |= found.given
            notes += found.told(chains.weight)
        rewriter.resize(Resize(at, law, tensors, attributes, spec, given))
        return [*notes, f"{len(tensors)} tensors of another shape"]

    def _plan(self, program: Program) -> tuple[list[str], AxisGroups, dict[Atom, AxisMap]]:
        groups = AxisGroups(program)
        names = resolve(self.at, program, lambda name: self._may_change(groups, name))
        if isinstance(names, Refusal):
            raise RefusalError(names.reason, nodes=names.nodes, suggestions=names.suggestions)
        return names, groups, self.maps(groups, names)

    def _may_change(self, groups: AxisGroups, name: str) -> bool:
        """Whether a module has the axis that is asked for, and a group of it is free."""
        try:
            form = Target.of(groups, name, self.width, self.heads).form
        except RefusalError:
            return False
        return any(groups.groups[leaf].reason is None for leaf in atoms_in(form))

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
            target = Target.of(groups, name, self.width, self.heads)
            try:
                maps |= self._site(groups, target)
            except RefusalError as refusal:
                raise self._advised(groups, target, refusal) from refusal
        if maps:
            groups.resize(maps)
        return maps

    def _site(self, groups: AxisGroups, target: Target) -> dict[Atom, AxisMap]:
        """The maps that give one module its new width, or its new heads."""
        first: RefusalError | None = None
        for leaf, size in target.choices(groups, joint=self.joint):
            try:
                return self._maps(groups, target, {leaf: size})
            except RefusalError as refusal:
                first = first or refusal
        if first is None:
            return {}
        raise first

    def _maps(
        self, groups: AxisGroups, target: Target, sizes: Mapping[Atom, int]
    ) -> dict[Atom, AxisMap]:
        every = groups.companions(sizes) if self.joint else sizes
        target.check(every)
        maps = {leaf: self._map(target.module, leaf.size, size) for leaf, size in every.items()}
        tensors, _ = groups.resize(maps, propose=False)
        self._chains(groups, maps, tensors)
        return maps

    def _advised(self, groups: AxisGroups, target: Target, refusal: RefusalError) -> RefusalError:
        """A refusal with the module that was asked for, and with what was tried and would work."""
        name, size = target.module, target.size
        if unprovable(groups.program):  # what is proposed would end in an error
            return about(refusal, name)
        is_held = any(groups.groups[leaf].reason for leaf in atoms_in(target.form))
        if is_held and target.option == "width" and ExtendOutputPass(name, size).fits(groups):
            instead = f"morphir.ExtendOutputPass(at={name!r}, width={size})"
            return about(refusal, name, first=[instead])
        found = [*islice(self._working(groups, target), _SHOWN)]
        last = self._jointly(groups, target)
        heads = target.as_heads(groups)
        if heads is not None and self._tried(groups, name, {"width": None, "heads": heads}):
            last.append(f"heads={heads} in place of width=")
        return about(refusal, name, first=found, last=last)

    def _jointly(self, groups: AxisGroups, target: Target) -> list[str]:
        """What `joint=True` would do, for the nearest size for which it does something."""
        for size in (target.size, *target.jointly(groups)) if not self.joint else ():
            for kind in self._kinds():
                other = self._other({target.option: size, **kind, "joint": True})
                maps = self._tried(groups, target.module, other)
                if len(maps) > 1:  # else it needs nothing else
                    sizes = {leaf: len(axis_map.source) for leaf, axis_map in maps.items()}
                    return [groups.proposal(sizes), _typed(other)]
        return []

    def _working(self, groups: AxisGroups, target: Target) -> Iterator[str]:
        """Other options that would do: units of another kind, other sizes."""
        jointly = target.jointly(groups) if self.joint else ()
        for size in dict.fromkeys((target.size, *jointly, *target.others(groups))):
            for kind in self._kinds():
                other = self._other({target.option: size, **kind})
                if other and self._tried(groups, target.module, other):
                    yield _typed(other)
                    break

    def _kinds(self) -> list[dict[str, Any]]:
        """The options of this kind of units, and of those that ask for less."""
        kinds = ("gradmax", "fresh", "copy")
        easier = kinds[kinds.index(self.init) + 1 :]
        return [{}, *({"init": kind, "data": None, "loss": None} for kind in easier)]

    def _other(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some options that are not as they are."""
        return {key: value for key, value in options.items() if value != getattr(self, key)}

    def _tried(
        self, groups: AxisGroups, name: str, options: Mapping[str, Any]
    ) -> dict[Atom, AxisMap]:
        """The maps that other options give one module, none where these are refused."""
        other = replace(self, **options)
        try:
            return other._site(groups, Target.of(groups, name, other.width, other.heads))
        except RefusalError:
            return {}

    def _map(self, name: str, size: int, new: int) -> AxisMap:
        if self.init != "copy":
            return AxisMap.copies(size, (*range(size), *[FRESH] * (new - size)))
        return widened(size, new, seed=self.seed, name=name, equal=self.shares == "equal")

    def _chains(
        self,
        groups: AxisGroups,
        maps: Mapping[Atom, AxisMap],
        tensors: Mapping[str, TensorChange],
    ) -> list[Chains]:
        """How the units are made and read, where the directions of fresh ones come from that."""
        return [Chains(groups, leaf, tensors) for leaf in maps if self.init == "gradmax"]


def _typed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items())


_EXPECTED = {
    "at": "a qualified module name, a glob, or a list of them",
    "width": f"{SIZES}, or heads= in its place",
    "heads": f"{SIZES}, in place of width=",
    "init": f"one of {', '.join(map(repr, get_args(Init)))}",
    "shares": "'unequal' or 'equal'",
    "joint": "True or False",
    "seed": "an integer",
    "data": "inputs with init='gradmax', and only then",
    "loss": "a function from outputs to a number with init='gradmax', and only then",
}
_EXAMPLES = {
    "at": "at='extractor.0'",
    "width": "width=256",
    "heads": "heads=8",
    "init": "init='copy'",
    "shares": "shares='unequal'",
    "joint": "joint=True",
    "seed": "seed=0",
    "data": "init='gradmax', data=(x,), loss=lambda output: (output - y).square().mean()",
    "loss": "init='gradmax', data=(x,), loss=lambda output: (output - y).square().mean()",
}
