"""Groups: what changes together with the output features of a module.

PLAN-6   a group is one leaf atom with every axis that it stands in; a free group can change
         without any other leaf, as far as unification can tell
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

from morphir.axes.atoms import Reason, show_sizes
from morphir.axes.flow import Flow, Freed
from morphir.axes.polarity import Polarities
from morphir.axes.resizing import Effect, Resizing
from morphir.axes.undeclared import instead_of, undeclared
from morphir.errors import RefusalError
from morphir.ir import (
    AttributeChange,
    AxisMap,
    Call,
    ModuleAttribute,
    Program,
    TensorChange,
    Value,
)
from morphir.ops import DEFAULT_TABLE, Atom, Form, OpTable
from morphir.ops.forms import atoms_in


@final
@dataclass(frozen=True, slots=True)
class Place:
    """One axis of a tensor in which an atom stands.

    Attributes:
        tensor: The name of a state entry, or a value of a graph.
        axis: Which of its dimensions.
        form: What that dimension is made of: the blocks in which the atom's units lie.
    """

    tensor: str | Value
    axis: int
    form: Form

    def __str__(self) -> str:
        name = self.tensor if isinstance(self.tensor, str) else str(self.tensor.type)
        return f"{name}[{self.axis}] = {show_sizes(self.form)}"


@final
@dataclass(frozen=True, slots=True)
class Group:
    """The axes that one atom ties together.

    Attributes:
        atom: The leaf.
        state: Where it stands in parameters and buffers.
        values: Where it stands in inputs and results of nodes.
        reason: Why it cannot change, or None where it is free.
    """

    atom: Atom
    state: tuple[Place, ...]
    values: tuple[Place, ...]
    reason: Reason | None


@final
class AxisGroups:
    """The groups of a program, over all of its entry points."""

    def __init__(
        self, program: Program, table: OpTable = DEFAULT_TABLE, freed: Freed | None = None
    ) -> None:
        """Unifies the axes of a program.

        Args:
            program: The program.
            table: The op declarations.
            freed: The axes of inputs and outputs that may change; by default none (PLAN-4).
        """
        self._program, self._table = program, table
        self._flow = Flow(program, table, freed)

    @property
    def program(self) -> Program:
        """Whose groups they are."""
        return self._program

    @cached_property
    def groups(self) -> Mapping[Atom, Group]:
        """Every group by its leaf, in the order of their first places."""
        state: dict[Atom, list[Place]] = {}
        values: dict[Atom, list[Place]] = {}
        for found, dims_of in ((state, self._flow.state), (values, self._flow.values)):
            for tensor, dims in dims_of.items():
                for axis, atom in enumerate(dims.atoms):
                    place = Place(tensor, axis, self._flow.form(atom))
                    for leaf in self._flow.leaves(atom):
                        found.setdefault(leaf, []).append(place)
        return {
            leaf: Group(
                leaf,
                tuple(state.get(leaf, ())),
                tuple(values.get(leaf, ())),
                self._flow.atoms.reason(leaf),
            )
            for leaf in {**state, **values}
        }

    def of(self, module: str) -> tuple[Group, ...]:
        """The groups of a module's output features, from the first feature to the last.

        Args:
            module: A qualified name as `named_modules()` gives it.

        Raises:
            RefusalError: As for `features`.
        """
        return tuple(self.groups[leaf] for leaf in dict.fromkeys(atoms_in(self.features(module))))

    def has_free(self, module: str) -> bool:
        """Whether a module's output features are of a group that can change."""
        try:
            return any(group.reason is None for group in self.of(module))
        except RefusalError:
            return False

    def features(self, module: str) -> Form:
        """What the axis of a module's output features is made of.

        It is the axis of a result that stands in the module's own parameters or buffers.

        Args:
            module: A qualified name as `named_modules()` gives it.

        Raises:
            RefusalError: The module was not called, has no tensors of its own, or has not one
                feature axis.
        """
        calls = self._calls(module)
        forms = list(dict.fromkeys(form for call in calls for form in self._features(call)))
        if not forms:
            self._check_declared(module)
        if len(forms) != 1:
            found = f"{len(forms)} axes" if forms else "no axis"
            sizes = " and ".join(str(form.size) for form in forms)
            of = f", of {sizes} units" if forms else ""
            works = [f"at={name!r}" for name in self._inside(module)]
            if forms and self._program.modules.get(module) == "LSTM":
                of += ", since proj_size= gives its outputs another width than its cells"
                works = ["an LSTM without proj_size=, and a Linear behind it"]
            raise RefusalError(
                f"{module!r} returns {found} that its own parameters have{of}, expected one",
                nodes=[module],
                suggestions=works,
            )
        return forms[0]

    def _check_declared(self, module: str) -> None:
        """Refuses a module of whose own call nothing is known."""
        for step in self._flow.steps:
            op, place = step.node.op, step.place
            is_own = place.module == module and self._table.get(op) is None
            if is_own and any(v.origin == "state" for v in step.node.operands):
                reason = replace(place, text=undeclared(op))
                raise RefusalError(
                    f"the axes of what {module!r} returns are not known: {reason}",
                    nodes=[module],
                    suggestions=instead_of(op),
                )

    def _inside(self, module: str) -> Iterator[str]:
        """The modules inside another one that have one axis of output features."""
        graphs = self._program.graphs.values()
        for name in dict.fromkeys(call.module for graph in graphs for call in graph.calls):
            if name.startswith(f"{module}."):
                try:
                    self.features(name)
                except RefusalError:
                    continue
                yield name

    def axis(self, value: Value, axis: int) -> Form:
        """What one axis of an input or of the result of a node is made of."""
        return self._flow.form(self._flow.dims(value).atoms[axis])

    def resize(
        self,
        maps: Mapping[Atom, AxisMap],
        *,
        inverse: bool = False,
        propose: bool = True,
        restarts: bool = False,
    ) -> tuple[dict[str, TensorChange], tuple[AttributeChange, ...]]:
        """What changes when leaves change by these maps, all of them together (PLAN-13).

        Whether a unit that no map names any more contributed nothing is for the caller to know.

        Args:
            maps: Leaves, as the groups of a module have them, to the maps of their units.
            inverse: Whether these are maps from the new units to the old ones, and so are the
                changes; the attributes are not.
            propose: Whether the refusal of sizes that need companions proposes them (PLAN-12).
            restarts: Whether fresh units are old ones with other numbers, which any call accepts,
                though a mean over them is another one then.

        Returns:
            How each state entry changes that does, and the attributes that follow.

        Raises:
            RefusalError: A leaf is fixed, its polarities contradict one another, a call does not
                accept its map, a number in the code cannot follow, or a module that would change
                has state about which nothing is known.
        """
        return self._resizing.resize(maps, inverse=inverse, propose=propose, restarts=restarts)

    def explain(self, maps: Mapping[Atom, AxisMap]) -> tuple[Effect, ...]:
        """What `resize` would do to each axis of the state, and by which op it follows.

        Raises:
            RefusalError: `resize` would refuse.
        """
        return self._resizing.explain(maps)

    def polarities(self, leaf: Atom) -> Polarities:
        """How the calls read a leaf, and in which of its places it is copied and in which split.

        Raises:
            RefusalError: Its polarities contradict one another.
        """
        return self._resizing.polarities(leaf)

    def companions(self, sizes: Mapping[Atom, int]) -> Mapping[Atom, int]:
        """The joint change that new sizes of leaves are part of (PLAN-12).

        Args:
            sizes: Leaves to new sizes, all in one proportion.

        Returns:
            These and all other leaves that have to change, with their new sizes.

        Raises:
            RefusalError: None was found; the message is that of the first obligation that these
                sizes alone do not meet.
        """
        return self._resizing.companions(sizes)

    def proposal(self, sizes: Mapping[Atom, int]) -> str:
        """A joint change in words: each leaf by the place where it first stands."""
        return self._resizing.proposal(sizes)

    def attribute_of(self, leaf: Atom) -> ModuleAttribute | None:
        """The attribute that is the number of units of a leaf, where a call reads one."""
        return self._resizing.attribute_of(leaf)

    @cached_property
    def _resizing(self) -> Resizing:
        return Resizing(self._program, self._flow)

    def _calls(self, module: str) -> list[Call]:
        shared = self._program.shared.items()
        name = next((first for first, others in shared if module in others), module)
        calls = [c for graph in self._program.graphs.values() for c in graph.calls_of(name)]
        if not calls:
            read = next((name for name in self._flow.state if self._belongs(name, module)), "")
            if read:
                raise RefusalError(
                    f"{module!r} is not called: {read!r} is read by code outside of it, so there "
                    "is no call whose output could be meant",
                    nodes=[module],
                    suggestions=[f"a call of {module!r} in that code: its output has the axis"],
                )
            raise RefusalError(
                f"{module!r} was called by no recorded entry point",
                nodes=[module],
                suggestions=["record an entry point that calls it: entry_points=(...)"],
            )
        return calls

    def _features(self, call: Call) -> Iterator[Form]:
        """The forms of the axes of a call's results that stand in its module's own state."""
        own = {
            leaf
            for name, dims in self._flow.state.items()
            if self._belongs(name, call.module)
            for atom in dims.atoms
            for leaf in self._flow.leaves(atom)
        }
        known: set[Atom] = set()
        for value in call.results:
            found = [
                atom
                for atom in self._flow.dims(value).atoms
                if not own.isdisjoint(self._flow.leaves(atom))
            ]
            leaves = {leaf for atom in found for leaf in self._flow.leaves(atom)}
            if not leaves <= known:  # a recurrent layer returns the same units several times
                yield from map(self._flow.form, found)
                known |= leaves

    def _belongs(self, name: str, module: str) -> bool:
        names = (name, *self._program.state[name].aliases)
        return any(known.startswith(f"{module}.") for known in names)
