"""Groups: what changes together with the output features of a module.

PLAN-6   a group is one leaf atom with every axis that it stands in; a free group can change
         without any other leaf, as far as unification can tell
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

from morphir.axes.atoms import Reason, show_sizes
from morphir.axes.flow import Flow
from morphir.errors import RefusalError
from morphir.ir import Call, Program, Value
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

    def __init__(self, program: Program, table: OpTable = DEFAULT_TABLE) -> None:
        self._program = program
        self._flow = Flow(program, table)
        # By root: the values of a residual stream have many dimensions and one form.
        self._forms: dict[Atom, Form] = {}

    def _form(self, atom: Atom) -> Form:
        root = self._flow.atoms.find(atom)
        if root not in self._forms:
            self._forms[root] = self._flow.atoms.normal_form(root)
        return self._forms[root]

    @cached_property
    def groups(self) -> Mapping[Atom, Group]:
        """Every group by its leaf, in the order of their first places."""
        state: dict[Atom, list[Place]] = {}
        values: dict[Atom, list[Place]] = {}
        for found, dims_of in ((state, self._flow.state), (values, self._flow.values)):
            for tensor, dims in dims_of.items():
                for axis, atom in enumerate(dims.atoms):
                    place = Place(tensor, axis, self._form(atom))
                    for leaf in dict.fromkeys(atoms_in(place.form)):
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

        The feature axis of a result is the one that stands in the module's own parameters or
        buffers.

        Args:
            module: A qualified name as `named_modules()` gives it.

        Raises:
            RefusalError: The module was not called, has no tensors of its own, or has not one
                feature axis.
        """
        calls = self._calls(module)
        forms = list(dict.fromkeys(form for call in calls for form in self._features(call)))
        if len(forms) != 1:
            found = f"{len(forms)} axes" if forms else "no axis"
            raise RefusalError(
                f"{module!r} returns {found} that its own parameters have, expected one",
                nodes=[module],
                suggestions=["name the layer inside it whose output features are meant"],
            )
        return tuple(self.groups[leaf] for leaf in dict.fromkeys(atoms_in(forms[0])))

    def _calls(self, module: str) -> list[Call]:
        shared = self._program.shared.items()
        name = next((first for first, others in shared if module in others), module)
        calls = [c for graph in self._program.graphs.values() for c in graph.calls_of(name)]
        if not calls:
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
            for leaf in atoms_in(self._form(atom))
        }
        for value in call.results:
            forms = map(self._form, self._flow.dims(value).atoms)
            yield from (form for form in forms if not own.isdisjoint(atoms_in(form)))

    def _belongs(self, name: str, module: str) -> bool:
        names = (name, *self._program.state[name].aliases)
        return any(known.startswith(f"{module}.") for known in names)
