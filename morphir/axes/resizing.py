"""A resize: what changes in the state and in the attributes when leaves change.

PLAN-13  a change of leaves is the map of every leaf, in the polarity of each of its places, in
         every state entry where it stands, and it computes what was computed before; what
         cannot be followed everywhere is refused
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import final

from morphir.axes.acceptance import check_maps
from morphir.axes.atoms import Reason
from morphir.axes.changes import attribute_changes, tensor_change
from morphir.axes.flow import Flow
from morphir.axes.incidence import Incidence
from morphir.axes.joint import companions
from morphir.axes.obligations import Obligations
from morphir.axes.polarity import Polarities
from morphir.errors import RefusalError
from morphir.ir import AttributeChange, AxisMap, ModuleAttribute, Program, TensorChange
from morphir.ops import Atom
from morphir.ops.forms import Sum, atoms_in


@final
@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to one axis of a state entry.

    Attributes:
        tensor: The name of the state entry.
        axis: Which of its dimensions.
        old: Its shape.
        new: Its shape afterwards.
        polarity: How the units are read there; both where they stand in several places.
        place: The first op that reads the units there.
    """

    tensor: str
    axis: int
    old: tuple[int, ...]
    new: tuple[int, ...]
    polarity: str
    place: Reason


@final
class Resizing:
    """What the change of leaves of a program comes to.

    The first use indexes the walk; every other takes time proportional to what changes.
    """

    def __init__(self, program: Program, flow: Flow) -> None:
        self._program = program
        self._flow = flow
        self._solved: dict[Atom, Polarities] = {}

    def resize(
        self,
        maps: Mapping[Atom, AxisMap],
        *,
        inverse: bool = False,
        propose: bool = True,
        restarts: bool = False,
    ) -> tuple[dict[str, TensorChange], tuple[AttributeChange, ...]]:
        """See `AxisGroups.resize`."""
        changed = {leaf: m for leaf, m in maps.items() if not m.is_identity}
        sizes = {leaf: m.size if inverse else len(m.source) for leaf, m in changed.items()}
        for leaf, axis_map in changed.items():
            self._check(leaf, len(axis_map.source) if inverse else axis_map.size, sizes[leaf])
        polarities = {leaf: self.polarities(leaf) for leaf in changed}
        for found in polarities.values() if not restarts else ():
            check_maps(self._flow, found.readings, changed)
        obligations = Obligations(self._flow, self._incidence, sizes)
        unmet = obligations.meet()
        if unmet is not None:
            raise self._with_companions(unmet.refusal, sizes) if propose else unmet.refusal
        names = dict.fromkeys(name for leaf in changed for name, _ in self._incidence.state(leaf))
        tensors = {name: tensor_change(self._flow, name, changed, polarities) for name in names}
        self._check_known(tensors)
        self._check_numbers(tensors)
        return tensors, attribute_changes(obligations.attributes, self._incidence.attributes)

    def companions(self, sizes: Mapping[Atom, int]) -> Mapping[Atom, int]:
        """See `AxisGroups.companions`."""
        unmet = Obligations(self._flow, self._incidence, sizes).meet()
        if unmet is None:
            return dict(sizes)
        found = companions(self._flow, self._incidence, sizes)
        if found is None:
            raise unmet.refusal
        return found

    def attribute_of(self, leaf: Atom) -> ModuleAttribute | None:
        """See `AxisGroups.attribute_of`."""
        return Obligations(self._flow, self._incidence, {}).attribute_of(leaf)

    def explain(self, maps: Mapping[Atom, AxisMap]) -> tuple[Effect, ...]:
        """See `AxisGroups.explain`."""
        found: list[Effect] = []
        for name, change in self.resize(maps)[0].items():
            old, new = (tuple(getattr(c, size) for c in change) for size in ("size", "new_size"))
            for leaf in maps:
                solved = self.polarities(leaf)
                spots: dict[int, dict[str, None]] = {}
                places: dict[int, Reason] = {}
                for reading in solved.readings:
                    for spot in reading.spots:
                        if spot.tensor == name:
                            spots.setdefault(spot.axis, {})[solved.of(spot)] = None
                            places.setdefault(spot.axis, reading.step.place)
                for axis, polarity in spots.items():
                    shown = " and ".join(polarity)
                    found.append(Effect(name, axis, old, new, shown, places[axis]))
        return tuple(found)

    @cached_property
    def _incidence(self) -> Incidence:
        return Incidence(self._flow)

    def polarities(self, leaf: Atom) -> Polarities:
        """See `AxisGroups.polarities`."""
        if leaf not in self._solved:
            self._solved[leaf] = Polarities(self._flow, self._incidence, leaf)
        return self._solved[leaf]

    def _check(self, leaf: Atom, old: int, new: int) -> None:
        if old != leaf.size:
            raise ValueError(f"a map of {old} units cannot change {leaf}")
        reason = self._flow.atoms.reason(leaf)
        if reason is not None:
            nodes = [reason.module] if reason.module else []
            raise RefusalError(f"the axis cannot change: {reason}", nodes=nodes)
        if not new:
            raise RefusalError("the axis would have no units left", nodes=self._show(leaf))

    def _check_known(self, tensors: Mapping[str, TensorChange]) -> None:
        """Refuses where a module has state that nobody read, of a size that changes in it."""
        for name, change in tensors.items():
            module = name.rpartition(".")[0]
            both = zip(self._program.state[name].type.shape, change, strict=True)
            sizes = {size for size, axis in both if not axis.relation.is_identity}
            for other in self._unread.get(module, ()):
                if not sizes.isdisjoint(self._program.state[other].type.shape):
                    raise RefusalError(
                        f"{name!r} changes, and no recorded entry point reads {other!r} of the "
                        "same module",
                        nodes=[module],
                        suggestions=["record an entry point that reads it: entry_points=(...)"],
                    )

    def _check_numbers(self, tensors: Mapping[str, TensorChange]) -> None:
        """Refuses to split what is not made of numbers that can be split (BACK-8)."""
        for name, change in tensors.items():
            dtype = self._program.state[name].type.dtype
            relations = [axis.relation for axis in change]
            if dtype.is_complex and any(len({*r.group.tolist()}) < len(r.group) for r in relations):
                raise RefusalError(
                    f"{name!r} holds {dtype}, whose numbers are not split into parts, and each of "
                    "several copies of a unit would need a part",
                    nodes=[name],
                    suggestions=["fresh units, if the layer that makes them is not complex either"],
                )
            exact = not (dtype.is_floating_point or dtype.is_complex)
            if exact and not all(relation.is_copied for relation in relations):
                raise RefusalError(
                    f"{name!r} would have to be split, and is of {dtype}",
                    nodes=[name],
                    suggestions=["numbers of a floating-point dtype in it, which have parts"],
                )

    @cached_property
    def _unread(self) -> Mapping[str, list[str]]:
        """The state that no entry point reads, by module."""
        found: dict[str, list[str]] = {}
        for name in self._program.state:
            if name not in self._flow.state and name not in self._program.masks:
                found.setdefault(name.rpartition(".")[0], []).append(name)
        return found

    def _with_companions(self, refusal: RefusalError, sizes: Mapping[Atom, int]) -> RefusalError:
        joint = companions(self._flow, self._incidence, sizes)
        if joint is None:
            return refusal
        return RefusalError(
            refusal.reason,
            nodes=refusal.nodes,
            suggestions=[*refusal.suggestions, self.proposal(joint)],
        )

    def proposal(self, sizes: Mapping[Atom, int]) -> str:
        """See `AxisGroups.proposal`."""
        shown = ", ".join(
            f"{leaf.size} -> {size} units of {', '.join(self._show(leaf))}"
            for leaf, size in sizes.items()
        )
        return f"change together: {shown}"

    def _show(self, leaf: Atom) -> list[str]:
        """The first place of a leaf in the state; of a part of an axis with its positions."""
        return [
            f"{name}[{axis}]{self._positions(leaf, name, axis)}"
            for name, axis in self._incidence.state(leaf)[:1]
        ]

    def _positions(self, leaf: Atom, name: str, axis: int) -> str:
        """Where the terms of an axis begin and end in which a leaf stands, if not in all."""
        form = self._flow.form(self._flow.state[name].atoms[axis])
        terms = form.terms if isinstance(form, Sum) else (form,)
        ends = [*accumulate(term.size for term in terms)]
        found = [
            f"{end - term.size} to {end - 1}"
            for term, end in zip(terms, ends, strict=True)
            if leaf in {*atoms_in(term)}
        ]
        return f" ({', '.join(found)})" if len(found) < len(terms) else ""
