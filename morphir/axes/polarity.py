"""Polarity: in which of its places a leaf is copied, and in which it is split.

    PLAN-7   the polarities of a leaf's places agree with a way of every call; what no call forces
             is oriented so that the first parameter that produces the units copies them
    PLAN-8   where no polarities agree the leaf cannot change, and the two places that contradict
             one another are named

A call says of most pairs of places that they are equal or opposite, so a union-find with parity
solves it in one walk over the calls in which the leaf occurs. What is left (a product, of which any
one factor may be split) is settled call by call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from morphir.axes.atoms import Reason
from morphir.axes.flow import Dims, Flow, Step, Tensor
from morphir.axes.incidence import Incidence
from morphir.axes.occurrences import occurrences
from morphir.axes.parity import Edge, Parity
from morphir.errors import RefusalError
from morphir.ir.axis_map import Polarity
from morphir.ops import Atom, Form
from morphir.ops.axes import Role, Site, Way
from morphir.ops.forms import atoms_in


class Spot(NamedTuple):
    """One place of a leaf.

    Attributes:
        tensor: The name of a state entry, or a value of a graph.
        axis: Which of its dimensions.
        place: Which of the leaf's places in the normal form of that dimension, from the left.
    """

    tensor: Tensor
    axis: int
    place: int


_COPY: Final = Spot("", -1, 0)  # stands for what is copied


@final
@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """How one call reads the leaf through one atom of its layout.

    Attributes:
        step: The call.
        atom: The atom of the program that stands for the layout's.
        role: What the call asks of it.
        sites: Where the layout has the atom.
        places: Where the leaf stands, for each site: where `(a + b) c` is `a c + b c` in the
            normal form it may be in several places, which have one polarity.
    """

    step: Step
    atom: Atom
    role: Role
    sites: tuple[Site, ...]
    places: tuple[tuple[Spot, ...], ...]

    @property
    def spots(self) -> tuple[Spot, ...]:
        """Where the leaf stands, for each site; the first place, where there are several."""
        return tuple(places[0] for places in self.places)


@final
class Polarities:
    """The polarities of one leaf (PLAN-7).

    Attributes:
        readings: How the calls read it, in program order.

    Raises:
        RefusalError: There are none (PLAN-8).
    """

    def __init__(self, flow: Flow, incidence: Incidence, leaf: Atom) -> None:
        self.readings: list[Reading] = []
        self._flow = flow
        self._leaf = leaf
        self._parity: Parity[Spot] = Parity()
        self._known: dict[tuple[Way, ...], _Columns] = {}
        for step in incidence.steps([leaf]):
            self._read(step)
        for written in incidence.writes(leaf):
            for spot in self._spots(written.before):
                after = spot._replace(tensor=written.after.tensor)
                self._relate(Edge(spot, after, False, written.place))
        for dims, axis, reason in flow.ends:
            for spot in self._spots(dims):
                if spot.axis == axis:
                    self._relate(Edge(spot, _COPY, False, reason))
        self._orient()

    def of(self, spot: Spot) -> Polarity:
        """The polarity of one place."""
        return "split" if self._parity.relation(spot, _COPY) else "copy"

    def _spots(self, dims: Dims) -> Iterator[Spot]:
        for axis, atom in enumerate(dims.atoms):
            for place in range(self._count(atom)):
                yield Spot(dims.tensor, axis, place)

    def _count(self, atom: Atom) -> int:
        return sum(leaf is self._leaf for leaf in atoms_in(self._flow.form(atom)))

    def _read(self, step: Step) -> None:
        """Takes note of what a call says of the leaf."""
        if step.bound is None:
            return
        layout = step.bound.layout
        axes = (*layout.operands, *layout.outputs)
        placed = self._placed(step, [[*map(step.bound.form, forms)] for forms in axes])
        found: dict[tuple[Atom, int], None] = {}
        for (tensor, axis, position, place), (spot, *others) in placed.items():
            found[[*atoms_in(axes[tensor][axis])][position], place] = None
            for other in others:
                self._relate(Edge(spot, other, False, step.place))
        for atom, place in found:
            sites = layout.sites[atom]
            tensors = (site.tensor + site.output * len(layout.operands) for site in sites)
            places = tuple(
                tuple(placed[tensor, site.axis, site.position, place])
                for tensor, site in zip(tensors, sites, strict=True)
            )
            reading = Reading(step, step.bound.atoms[atom], layout.roles[atom], sites, places)
            self.readings.append(reading)
            self._constrain(reading)

    def _placed(
        self, step: Step, axes: list[list[Form]]
    ) -> dict[tuple[int, int, int, int], list[Spot]]:
        """Where the leaf stands: tensor, axis, atom of its form, place inside that atom."""
        found: dict[tuple[int, int, int, int], list[Spot]] = {}
        for tensor, (dims, forms) in enumerate(zip(step.tensors, axes, strict=True)):
            for axis, (atom, form) in enumerate(zip(dims.atoms, forms, strict=True)):
                if self._leaf in self._flow.leaves(atom):
                    labels = occurrences(self._flow.atoms, form, self._leaf)
                    for index, label in zip(range(self._count(atom)), labels, strict=True):
                        spots = found.setdefault((tensor, axis, *label), [])
                        spots.append(Spot(dims.tensor, axis, index))
        return found

    def _constrain(self, reading: Reading) -> None:
        columns = self._columns(reading.role.ways)
        spots, place = reading.spots, reading.step.place
        for site, split in columns.constants:
            self._relate(Edge(spots[site], _COPY, split, place))
        for site, other, opposite in columns.links:
            self._relate(Edge(spots[site], spots[other], opposite, place))

    def _columns(self, ways: tuple[Way, ...]) -> _Columns:
        if ways not in self._known:
            self._known[ways] = _columns(ways)
        return self._known[ways]

    def _relate(self, edge: Edge[Spot]) -> None:
        if not self._parity.add(edge):
            raise _contradiction([*self._parity.path(edge.first, edge.second), edge])

    def _orient(self) -> None:
        """Lets the producers copy that nothing forces, then what is left, in program order."""
        open_readings = [r for r in self.readings if not self._columns(r.role.ways).complete]
        open_readings = self._propagate(open_readings)
        produced = [spot for reading in self.readings for spot in _produced(reading)]
        for spot in (*produced, *(spot for reading in self.readings for spot in reading.spots)):
            if self._parity.relation(spot, _COPY) is None:
                self._relate(Edge(spot, _COPY, False, Reason("")))
                open_readings = self._propagate(open_readings)

    def _propagate(self, readings: list[Reading]) -> list[Reading]:
        """Settles what only one way is left for; the readings for which several are left."""
        while True:
            left = [reading for reading in readings if not self._settle(reading)]
            if len(left) == len(readings):
                return left
            readings = left

    def _settle(self, reading: Reading) -> bool:
        known = [self._parity.relation(spot, _COPY) for spot in reading.spots]
        ways = [
            way
            for way in reading.role.ways
            if all(k in (None, p == "split") for k, p in zip(known, way, strict=True))
        ]
        if not ways:
            raise self._blocked(reading)
        columns = self._columns(tuple(ways))
        for site, split in columns.constants:
            if known[site] is None:
                self._relate(Edge(reading.spots[site], _COPY, split, reading.step.place))
        return len(columns.constants) == len(known)

    def _blocked(self, reading: Reading) -> RefusalError:
        """A call that has no way for polarities that others force."""
        paths = [self._parity.path(spot, _COPY) for spot in reading.spots]
        others = (path[-1].place for path in paths if path and path[-1].place.op)
        return _refusal(reading.step.place, next(others, reading.step.place))


@final
@dataclass(frozen=True, slots=True)
class _Columns:
    """What the ways of a role say of its sites.

    Attributes:
        constants: Sites that always have one polarity, and whether it is split.
        links: Pairs of other sites that are always equal, or always opposite.
        complete: Whether this is all that the ways say.
    """

    constants: tuple[tuple[int, bool], ...]
    links: tuple[tuple[int, int, bool], ...]
    complete: bool


def _columns(ways: tuple[Way, ...]) -> _Columns:
    constants: list[tuple[int, bool]] = []
    links: list[tuple[int, int, bool]] = []
    first: dict[tuple[bool, ...], int] = {}
    for site, column in enumerate(zip(*ways, strict=True)):
        split = tuple(polarity == "split" for polarity in column)
        opposite = tuple(not each for each in split)
        if len({*split}) == 1:
            constants.append((site, split[0]))
        elif split in first:
            links.append((first[split], site, False))
        elif opposite in first:
            links.append((first[opposite], site, True))
        else:
            first[split] = site
    return _Columns(tuple(constants), tuple(links), len({*ways}) == 2 ** len(first))


def _produced(reading: Reading) -> Iterator[Spot]:
    """The parameters whose units a call hands on as they are: the rows of a Linear."""
    columns = [*zip(*reading.role.ways, strict=True)]
    outputs = {column for column, site in zip(columns, reading.sites, strict=True) if site.output}
    for column, spot, site in zip(columns, reading.spots, reading.sites, strict=True):
        if isinstance(spot.tensor, str) and not site.output and column in outputs:
            yield spot


def _contradiction(cycle: list[Edge[Spot]]) -> RefusalError:
    """Names the two edges of a contradictory cycle that meet at a parameter, or at a constant."""
    meetings = []
    for before, after in zip([cycle[-1], *cycle], cycle, strict=False):
        shared = {before.first, before.second} & {after.first, after.second}
        if before.place != after.place:
            rank = min((_rank(spot) for spot in shared), default=2)
            meetings.append((rank, before.place, after.place))
    if not meetings:
        return _refusal(cycle[-1].place, cycle[-1].place)
    _, first, second = min(meetings, key=lambda meeting: meeting[0])
    return _refusal(first, second)


def _rank(spot: Spot) -> int:
    return 1 if spot == _COPY else 0 if isinstance(spot.tensor, str) else 2


def _refusal(first: Reason, second: Reason) -> RefusalError:
    places = dict.fromkeys((_show(first), _show(second)))
    return RefusalError(
        "a unit would have to be copied and split at once: " + " and ".join(places) + " contradict"
        " one another" * (len(places) > 1),
        nodes=[*dict.fromkeys(place.module for place in (first, second) if place.module)],
    )


def _show(place: Reason) -> str:
    return str(Reason(place.op or place.text, "", place.module, place.source))
