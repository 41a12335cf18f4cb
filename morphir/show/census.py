"""The axis groups of a program by name: `g1` for one that can change, `f1` for a reason not to.

SHOW-1   every dimension of the state is named by the groups that stand in it, free ones by
         their own name and fixed ones by that of their reason, and by no other
SHOW-2   the pass that is shown as an example for a group is one that `transform` accepts, and
         it changes the group
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, final

from morphir.axes import AxisGroups, Effect, Group
from morphir.errors import RefusalError
from morphir.ir import AxisMap, Program, TensorType, Value
from morphir.ops import Atom, Form
from morphir.ops.forms import Product, Sum, atoms_in
from morphir.passes.base import Refusal
from morphir.passes.sites import resolve, unprovable
from morphir.passes.wider import WiderPass

Tensor = str | Value
_TRIES: Final = 3  # how many modules are tried as the place of an example
_TERMS: Final = 4  # how many parts of a sum are written out


@final
@dataclass(frozen=True)
class Dim:
    """One dimension of a tensor, as it is shown.

    Attributes:
        size: `64`, or `B`.
        form: What it is made of, in names of groups: `g1`, `(g1 16)`; empty where nothing has one.
        names: The groups that stand in it.
        polarity: Whether a change of the free ones copies or splits its units, empty where not
            known.
    """

    size: str
    form: str = ""
    names: tuple[str, ...] = ()
    polarity: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.size, self.form, self.polarity)))


@final
@dataclass(frozen=True)
class Axis:
    """A row of the table of groups.

    Attributes:
        name: `g1` or `f1`.
        sizes: The size of a group; those of all groups that are fixed for one reason.
        places: Where it stands in the state: `fc1.weight[0]`.
        reason: Why it cannot change; empty for a free one.
        example: A pass that changes it, as it could be typed.
        obstacle: Why there is no example.
        effects: What the example does, axis by axis.
    """

    name: str
    sizes: tuple[int, ...]
    places: tuple[str, ...]
    reason: str = ""
    example: str = ""
    obstacle: str = ""
    effects: tuple[Effect, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether it can change, as far as unification can tell."""
        return not self.reason


@final
class Census:
    """Names and examples for the axis groups of a program."""

    def __init__(self, program: Program) -> None:
        """Finds the groups, and tries an example for each.

        Attributes:
            axes: The free groups that stand in the state, then the reasons for the fixed ones.
        """
        self.program = program
        self._groups = AxisGroups(program)
        self._forms: dict[tuple[Tensor, int], Form] = {}
        self._names: dict[Atom, str] = {}
        self._polarity: dict[tuple[str, int], str] = {}
        self.axes = (*self._free(), *self._fixed())
        for group in self._groups.groups.values():
            for place in (*group.state, *group.values):
                self._forms[place.tensor, place.axis] = place.form

    def names_at(self, at: str) -> tuple[str, ...]:
        """The names of the groups of a module's output features.

        Args:
            at: A qualified name, or a glob, for several.

        Raises:
            RefusalError: There is no such module, or one of them has no output features.
        """
        modules = resolve(at, self.program, self._has_features)
        if isinstance(modules, Refusal):
            raise RefusalError(modules.reason, nodes=modules.nodes, suggestions=modules.suggestions)
        groups = (group for module in modules for group in self._groups.of(module))
        return tuple(dict.fromkeys(self._names[group.atom] for group in groups))

    def _has_features(self, module: str) -> bool:
        try:
            return bool(self._groups.of(module))
        except RefusalError:
            return False

    def dims(self, tensor: Tensor, type: TensorType | None) -> tuple[Dim, ...]:
        """The dimensions of a state entry (by name) or of another value."""
        shape = () if type is None else type.shape
        return tuple(self._dim(tensor, axis, str(size)) for axis, size in enumerate(shape))

    def _dim(self, tensor: Tensor, axis: int, size: str) -> Dim:
        form = self._forms.get((tensor, axis))
        if form is None:
            return Dim(size)
        names = tuple(dict.fromkeys(self._names[a] for a in atoms_in(form) if a in self._names))
        if not isinstance(tensor, str):
            names = tuple(name for name in names if name.startswith("g"))
        polarity = self._polarity.get((tensor, axis), "") if isinstance(tensor, str) else ""
        return Dim(size, self._show(form, names), names, polarity)

    def _show(self, form: Form, names: Sequence[str]) -> str:
        if not any(name.startswith("g") for name in names):
            return " ".join(names)
        return self._written(form)

    def _written(self, form: Form) -> str:
        if isinstance(form, Product):
            return f"({' '.join(map(self._written, form.factors))})"
        if isinstance(form, Sum):
            more = [f"{len(form.terms) - _TERMS} more"] * (len(form.terms) > _TERMS)
            return f"({' + '.join([*map(self._written, form.terms[:_TERMS]), *more])})"
        name = self._names.get(form, "")
        return name if name.startswith("g") else str(form.size)

    def _free(self) -> Iterator[Axis]:
        number = 0
        for group in self._groups.groups.values():
            if group.reason is None and group.state:
                number += 1
                name = self._names[group.atom] = f"g{number}"
                places = tuple(f"{place.tensor}[{place.axis}]" for place in group.state)
                example, obstacle, effects = self._example(group)
                for place in group.state:
                    for effect in effects:
                        if (effect.tensor, effect.axis) == (place.tensor, place.axis):
                            self._polarity[effect.tensor, effect.axis] = effect.polarity
                yield Axis(name, (group.atom.size,), places, "", example, obstacle, effects)

    def _fixed(self) -> Iterator[Axis]:
        reasons: dict[str, list[Group]] = {}
        for group in self._groups.groups.values():
            if group.reason is not None and group.state:
                reasons.setdefault(group.reason.text, []).append(group)
        for number, (reason, groups) in enumerate(reasons.items(), 1):
            places = [f"{place.tensor}[{place.axis}]" for g in groups for place in g.state]
            self._names |= {group.atom: f"f{number}" for group in groups}
            sizes = tuple(dict.fromkeys(group.atom.size for group in groups))
            yield Axis(f"f{number}", sizes, tuple(dict.fromkeys(places)), reason)

    def _example(self, group: Group) -> tuple[str, str, tuple[Effect, ...]]:
        """A pass that changes a group, or why none was found; and what the pass does."""
        obstacle = unprovable(self.program)
        if obstacle:
            return "", obstacle, ()
        for module, features in islice(self._producers(group), _TRIES):
            for wider in _candidates(module, features, group.atom):
                try:
                    maps = wider.maps(self._groups, [module])
                    if group.atom in maps:
                        return wider.describe(), "", self._groups.explain(maps)
                except RefusalError as refusal:
                    obstacle = obstacle or refusal.reason
        own = self._refusal(group.atom)
        return "", own or obstacle or "no module returns it as a part of its output features", ()

    def _refusal(self, leaf: Atom) -> str:
        """Why a leaf cannot be twice as large by itself, "" if it can."""
        try:
            self._groups.resize({leaf: AxisMap.copies(leaf.size, [*range(leaf.size)] * 2)})
        except RefusalError as refusal:
            return refusal.reason
        return ""

    def _producers(self, group: Group) -> Iterator[tuple[str, Form]]:
        """The modules of which a group is a part of the output features."""
        tensors = (place.tensor for place in group.state)
        owners = dict.fromkeys(t.rpartition(".")[0] for t in tensors if isinstance(t, str))
        for module in filter(None, owners):
            try:
                form = self._groups.features(module)
            except RefusalError:
                continue
            if group.atom in {*atoms_in(form)}:
                yield module, form


def _candidates(module: str, features: Form, leaf: Atom) -> Iterator[WiderPass]:
    """Passes that may change a leaf: twice the features, the leaf, the heads; or one unit more.

    A pass takes the first leaf that a width fits, so another width may mean another leaf.
    """
    terms = features.terms if isinstance(features, Sum) else (features,)
    each = sum(term.size // leaf.size for term in terms if leaf in {*atoms_in(term)})
    for more in dict.fromkeys((features.size, each * leaf.size)):
        for joint in (False, True):
            yield WiderPass(at=module, width=features.size + more, joint=joint)
    for joint in (False, True):
        yield WiderPass(at=module, heads=2 * leaf.size, joint=joint)
    yield WiderPass(at=module, width=features.size + each)


def free_names(dims: Iterable[Dim]) -> tuple[str, ...]:
    """The free groups that stand in some dimensions."""
    return tuple(dict.fromkeys(n for dim in dims for n in dim.names if n.startswith("g")))
