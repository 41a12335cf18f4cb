"""Which maps the calls accept: a mean wants every unit equally often, a norm no unit twice.

PLAN-9   a map is accepted by every call that reads the leaf, over the whole axis of that call
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from morphir.axes.flow import Flow
from morphir.axes.polarity import Reading
from morphir.errors import RefusalError
from morphir.ir.axis_map import FRESH, AxisMap
from morphir.ops import Atom, Form
from morphir.ops.axes import Maps
from morphir.ops.forms import Product, parts_of

AtomMaps = Mapping[Atom, AxisMap]


def check_maps(flow: Flow, readings: Iterable[Reading], maps: AtomMaps) -> None:
    """Checks that every call accepts the maps of what it reads (PLAN-9).

    Raises:
        RefusalError: One does not.
    """
    for reading in readings:
        if reading.role.maps == "any":
            continue
        form = flow.form(reading.atom)
        counts, fresh = _multiplicities(form, maps)
        if not _accepts(reading.role.maps, counts, fresh):
            raise _refused(reading, form)


def _multiplicities(form: Form, maps: AtomMaps) -> tuple[frozenset[int], bool]:
    """How often old units appear among the new ones, and whether some new ones are fresh."""
    if isinstance(form, Atom):
        if form not in maps:
            return frozenset([1]), False
        copies = Counter(maps[form].source)
        fresh = copies.pop(FRESH, 0) > 0
        missing = [0] * (len(copies) < maps[form].size)
        return frozenset([*copies.values(), *missing]), fresh
    parts = [_multiplicities(part, maps) for part in parts_of(form)]
    if not isinstance(form, Product):
        return frozenset().union(*(counts for counts, _ in parts)), any(f for _, f in parts)
    found = {1}
    for counts, _ in parts:
        found = {each * more for each in found for more in counts}
    return frozenset(found), any(fresh for _, fresh in parts)


def _accepts(wanted: Maps, counts: frozenset[int], fresh: bool) -> bool:
    match wanted:
        case "any":
            return True
        case "onto":
            return min(counts) > 0 and not fresh
        case "equal":
            return len(counts) == 1 and min(counts) > 0 and not fresh
        case "permutation":
            return counts == {1} and not fresh
        case "identity":
            return False


def _refused(reading: Reading, form: Form) -> RefusalError:
    place = reading.step.place
    wanted = {
        "onto": "every unit at least once, and no fresh one",
        "equal": f"every unit equally often, and no fresh one, of the {form.size} that it reads",
        "permutation": "every unit exactly once, so that none can be added or removed",
        "identity": "no change",
    }[reading.role.maps]
    nodes = [place.module] if place.module else []
    return RefusalError(f"{place.op} wants {wanted}{place}", nodes=nodes)
