"""What a widening asks for: an axis of a module, and how many units it is to have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import final

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ops.forms import Atom, Form, Sum, atoms_in, parts_of
from morphir.passes.heads import heads_of, is_of_heads


@final
@dataclass(frozen=True, eq=False)
class Target:
    """The new size of an axis.

    Attributes:
        module: Whose axis it is.
        form: What it is made of.
        size: How many units it will have.
        option: Which option said so.
    """

    module: str
    form: Form
    size: int
    option: str

    @classmethod
    def of(cls, groups: AxisGroups, module: str, width: int | None, heads: int | None) -> Target:
        """The output features of a module, or its attention heads.

        Raises:
            RefusalError: It has no such axis, or one that is longer already.
        """
        if heads is not None:
            found = cls(module, heads_of(groups, module), heads, "heads")
        else:
            found = cls(module, _features(groups, module), width or 0, "width")
        if found.form.size > found.size:
            raise RefusalError(
                f"{module!r} has {found.form.size} {found._what}, more than "
                f"{found.option}={found.size}",
                nodes=[module],
                suggestions=[f"{found.option}={2 * found.form.size}", _INSTEAD],
            )
        return found

    def choices(self, groups: AxisGroups, *, joint: bool) -> Iterator[tuple[Atom, int]]:
        """The leaves one of which may change, with their new sizes; none if the axis has its size.

        Args:
            groups: The groups of the program.
            joint: Whether other leaves of the axis may change with it, in proportion.

        Raises:
            RefusalError: No number of units of any leaf gives the axis this size.
        """
        more = self.size - self.form.size
        leaves = [*dict.fromkeys(atoms_in(self.form))]
        if self.option == "heads":  # of grouped queries rather the queries of each head
            leaves.reverse()
        steps = {leaf: self._step(groups, leaf) for leaf in leaves}
        found = {
            (leaf, leaf.size + more // n): None for leaf, n in steps.items() if n and more % n == 0
        }
        if joint:
            every = ((leaf, divmod(leaf.size * self.size, self.form.size)) for leaf in steps)
            found |= {
                (leaf, size): None for leaf, (size, rest) in every if steps[leaf] and not rest
            }
        if not found:
            raise self.advised(groups, self._misfit({*steps.values()} - {0}))
        if more:
            yield from found

    def check(self, sizes: Mapping[Atom, int]) -> None:
        """Checks that the axis has its new size when leaves have theirs.

        Raises:
            RefusalError: It has another.
        """
        found = _size(self.form, sizes)
        if found != self.size:
            raise RefusalError(
                f"{self.module!r} would have {found} {self._what} when all has changed that has "
                f"to, not {self.size}",
                nodes=[self.module],
                suggestions=[f"{self.option}={found}"],
            )

    def advised(self, groups: AxisGroups, refusal: RefusalError) -> RefusalError:
        """A refusal, with the hint that the axis has heads if that is so."""
        try:
            heads = heads_of(groups, self.module) if self.option == "width" else self.form
        except RefusalError:
            return refusal
        each = self.form.size // heads.size
        if heads is self.form or self.size % each:
            return refusal
        suggestions = [*refusal.suggestions, f"heads={self.size // each} in place of width="]
        return RefusalError(refusal.reason, nodes=refusal.nodes, suggestions=suggestions)

    @property
    def _what(self) -> str:
        return "heads" if self.option == "heads" else "output features"

    def _step(self, groups: AxisGroups, leaf: Atom) -> int:
        """How many positions one more unit of a leaf makes; 0 for heads that were not asked for."""
        if self.option == "width" and leaf is not self.form and is_of_heads(groups, leaf):
            return 0
        return _each(self.form, leaf)

    def _misfit(self, steps: set[int]) -> RefusalError:
        more = self.size - self.form.size
        near = sorted({self.form.size - -more // step * step for step in steps})
        return RefusalError(
            f"{self.module!r} has {self.form.size} {self._what} in blocks, which can't become "
            f"{self.size}",
            nodes=[self.module],
            suggestions=[f"{self.option}={each}" for each in near],
        )


def _features(groups: AxisGroups, module: str) -> Form:
    """The output features of a module; of an activation it says whose units it returns."""
    try:
        return groups.features(module)
    except RefusalError as refusal:
        makers = [f"at={name!r}" for name in _makers(groups, module)]
        if not makers:
            raise
        raise RefusalError(refusal.reason, nodes=refusal.nodes, suggestions=makers) from refusal


def _makers(groups: AxisGroups, module: str) -> Iterator[str]:
    """The modules whose tensors make the units that another one returns, where they may change."""
    graphs = groups.program.graphs.values()
    results = {value for g in graphs for call in g.calls_of(module) for value in call.results}
    for leaf, group in groups.groups.items():
        if group.reason is None and not results.isdisjoint(place.tensor for place in group.values):
            owners = (str(place.tensor).rpartition(".")[0] for place in group.state)
            yield from islice((name for name in owners if _returns(groups, name, leaf)), 1)


def _returns(groups: AxisGroups, module: str, leaf: Atom) -> bool:
    try:
        return leaf in {*atoms_in(groups.features(module))}
    except RefusalError:
        return False


def _each(form: Form, leaf: Atom) -> int:
    """How many positions of an axis one more unit of an atom makes, 0 where that is not linear."""
    if form is leaf:
        return 1
    if isinstance(form, Sum):
        return sum(_each(term, leaf) for term in form.terms)
    inside = [part for part in parts_of(form) if leaf in {*atoms_in(part)}]
    if len(inside) != 1:
        return 0
    return _each(inside[0], leaf) * (form.size // inside[0].size)


def _size(form: Form, sizes: Mapping[Atom, int]) -> int:
    if isinstance(form, Atom):
        return sizes.get(form, form.size)
    parts = (_size(part, sizes) for part in parts_of(form))
    return sum(parts) if isinstance(form, Sum) else prod(parts)


_INSTEAD = "morphir.PruneDormantPass(at=...)"
