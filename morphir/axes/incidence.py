"""Where leaves and attributes occur, so that what one of them asks is found without a search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final

from morphir.axes.flow import Dims, Flow, Step, Written
from morphir.axes.numbers import attributes_in, sizes_in
from morphir.ir import ModuleAttribute
from morphir.ops import Atom

Name = tuple[str, str]  # a module, and the name of one of its attributes


@final
class Incidence:
    """The steps and writes of a program by the leaves and attributes that occur in them.

    Fixed leaves are left out: nothing is asked of them.

    Attributes:
        attributes: Every attribute that a number in the program was computed from.
    """

    def __init__(self, flow: Flow) -> None:
        self._steps: dict[Atom, list[int]] = {}
        self._readers: dict[Name, list[int]] = {}
        self.attributes: dict[ModuleAttribute, None] = {}
        self._writes: dict[Atom, list[Written]] = {}
        self._state: dict[Atom, list[tuple[str, int]]] = {}
        self._flow = flow
        self._fixed: dict[Atom, bool] = {}
        for index, step in enumerate(flow.steps):
            for leaf in dict.fromkeys(self._leaves_of(step)):
                self._steps.setdefault(leaf, []).append(index)
            read = dict.fromkeys(a for _, number in step.numbers for a in attributes_in(number))
            self.attributes |= read
            for attribute in read:
                known = self._readers.setdefault((attribute.module, attribute.name), [])
                known.append(index)
        for written in flow.writes:
            for leaf in dict.fromkeys(self._free_in(written.before)):
                self._writes.setdefault(leaf, []).append(written)

        for name, dims in flow.state.items():
            for axis, atom in enumerate(dims.atoms):
                for leaf in filter(self._is_free, flow.leaves(atom)):
                    self._state.setdefault(leaf, []).append((name, axis))

    def _leaves_of(self, step: Step) -> Iterator[Atom]:
        for dims in step.tensors:
            yield from self._free_in(dims)
        for _, number in step.numbers:
            for size in sizes_in(number):
                atom = self._flow.dims(size.value).atoms[size.axis]
                yield from filter(self._is_free, self._flow.leaves(atom))

    def _free_in(self, dims: Dims) -> Iterator[Atom]:
        for atom in dims.atoms:
            yield from filter(self._is_free, self._flow.leaves(atom))

    def _is_free(self, leaf: Atom) -> bool:
        fixed = self._fixed.get(leaf)
        if fixed is None:
            fixed = self._fixed[leaf] = self._flow.atoms.reason(leaf) is not None
        return not fixed

    def steps(self, leaves: Iterable[Atom], names: Iterable[Name] = ()) -> list[Step]:
        """The steps in which leaves or attributes occur, in program order."""
        found = {index for leaf in leaves for index in self._steps.get(leaf, ())}
        found.update(index for name in names for index in self._readers.get(name, ()))
        return [self._flow.steps[index] for index in sorted(found)]

    def writes(self, leaf: Atom) -> list[Written]:
        """What was written to among the tensors in which a leaf stands."""
        return self._writes.get(leaf, [])

    def state(self, leaf: Atom) -> list[tuple[str, int]]:
        """The state entries in which a leaf stands, and the axes."""
        return self._state.get(leaf, [])
