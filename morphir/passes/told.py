"""What a widening says of itself: which units became how many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import AxisMap
from morphir.ops.forms import Atom, Form, atoms_in
from morphir.passes.heads import heads_of
from morphir.passes.target import size_of


def told(
    groups: AxisGroups, names: Sequence[str], maps: Mapping[Atom, AxisMap], *, heads: bool
) -> Iterator[str]:
    """What becomes of the modules that were asked for, and of what changes with them.

    Args:
        groups: The groups of the program.
        names: The modules.
        maps: The maps of the leaves that change.
        heads: Whether they were asked for by heads: these may be several leaves, or one factor of
            what the user counts as heads, so it is said what was counted.
    """
    sizes = {leaf: len(axis_map.source) for leaf, axis_map in maps.items()}
    counted: set[Atom] = set()
    for name in names if heads else ():
        form, features = heads_of(groups, name), _features(groups, name)
        counted |= {*atoms_in(form)}
        text = f"{name}: {form.size} -> {size_of(form, sizes)} heads"
        if features is not None and {*atoms_in(form)} <= {*atoms_in(features)}:
            text += f", {features.size} -> {size_of(features, sizes)} features"
        yield text
    found: dict[str, list[Atom]] = {}
    for leaf in (leaf for leaf in maps if leaf not in counted):
        label = _of(groups, names, leaf) or _number(groups, leaf) or ", ".join(names)
        found.setdefault(label, []).append(leaf)
    for label, leaves in found.items():
        old = " and ".join(str(leaf.size) for leaf in leaves)
        new = " and ".join(str(sizes[leaf]) for leaf in leaves)
        yield f"{label}: {old} -> {new} units"


def _of(groups: AxisGroups, names: Sequence[str], leaf: Atom) -> str:
    """Those of the modules whose features a leaf is part of."""
    forms = {name: _features(groups, name) for name in names}
    return ", ".join(n for n, form in forms.items() if form and leaf in {*atoms_in(form)})


def _number(groups: AxisGroups, leaf: Atom) -> str:
    """Where the number of units of a leaf stands: an attribute, or the first tensor's module."""
    attribute = groups.attribute_of(leaf)
    if attribute is not None:
        return f"{attribute.module}.{attribute.name}".removeprefix(".")
    places = (place.tensor for place in groups.groups[leaf].state)
    return next((name.rpartition(".")[0] for name in places if isinstance(name, str)), "")


def _features(groups: AxisGroups, name: str) -> Form | None:
    try:
        return groups.features(name)
    except RefusalError:  # a module with an attention in it has none of its own
        return None
