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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final, get_args

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import FRESH, AxisMap, Program, Resize, Rewriter, TensorChange
from morphir.ops.forms import Atom
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.chains import Chains
from morphir.passes.gradmax import Loss, Search
from morphir.passes.sites import resolve
from morphir.passes.target import Target
from morphir.shares import widened

Init = Literal["copy", "fresh", "gradmax"]


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
            numbers for which the outgoing ones receive a large gradient on data).
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
            "width": _is_size(self.width) or (self.width is None and self.heads is not None),
            "heads": self.heads is None or (self.width is None and _is_size(self.heads)),
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
        # A replay of the lineage has no data: where these decide, it draws.
        spec = {"init": "copy" if self.init == "copy" else "fresh", "seed": self.seed}
        given: dict[str, Any] = {}
        notes = [f"{at}: {m.size} units became {len(m.source)} ({law})" for m in maps.values()]
        for chains in self._chains(groups, maps, tensors):
            assert self.loss is not None
            search = Search(program, chains, tensors)
            found = search.directions(self.data, self.loss, self.seed)
            given |= found.given
            notes.append(
                f"{chains.weight}: what reads the new units has a gradient {found.gain:.2g} times "
                "as large as for random directions (WIDER-4)"
            )
        rewriter.resize(Resize(at, law, tensors, attributes, spec, given))
        return [*notes, f"{len(tensors)} tensors changed their shape"]

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
            maps |= self._site(groups, Target.of(groups, name, self.width, self.heads))
        if maps:
            tensors, _ = groups.resize(maps)
            self._chains(groups, maps, tensors)
        return maps

    def _site(self, groups: AxisGroups, target: Target) -> dict[Atom, AxisMap]:
        """The maps that give one module its new width, or its new heads."""
        first: RefusalError | None = None
        for leaf, size in target.choices(groups, joint=self.joint):
            try:
                return self._maps(groups, target, {leaf: size}, joint=self.joint)
            except RefusalError as refusal:
                first = first or refusal
        if first is None:
            return {}
        hint = ["joint=True"] if not self.joint and self._works_jointly(groups, target) else []
        suggestions = [*first.suggestions, *hint]
        with_hint = RefusalError(first.reason, nodes=first.nodes, suggestions=suggestions)
        raise target.advised(groups, with_hint)

    def _maps(
        self, groups: AxisGroups, target: Target, sizes: Mapping[Atom, int], *, joint: bool
    ) -> dict[Atom, AxisMap]:
        every = groups.companions(sizes) if joint else sizes
        target.check(every)
        maps = {leaf: self._map(target.module, leaf.size, size) for leaf, size in every.items()}
        groups.resize(maps)
        return maps

    def _works_jointly(self, groups: AxisGroups, target: Target) -> bool:
        for leaf, size in target.choices(groups, joint=True):
            try:
                self._maps(groups, target, {leaf: size}, joint=True)
            except RefusalError:
                continue
            return True
        return False

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


def _is_size(value: object) -> bool:
    return type(value) is int and value > 0


_EXPECTED = {
    "at": "a qualified module name, a glob, or a list of them",
    "width": "a positive integer, or heads= in its place",
    "heads": "a positive integer in place of width=",
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
