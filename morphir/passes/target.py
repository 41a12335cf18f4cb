"""What a widening asks for: an axis of a module, and how many units it is to have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import gcd, prod
from typing import Final, final

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
            RefusalError: It has no such axis.
        """
        if heads is not None:
            return cls(module, heads_of(groups, module), heads, "heads")
        return cls(module, _features(groups, module), width or 0, "width")

    def choices(self, groups: AxisGroups, *, joint: bool) -> Iterator[tuple[Atom, int]]:
        """The leaves one of which may change, with their new sizes; none if the axis has its size.

        Args:
            groups: The groups of the program.
            joint: Whether other leaves of the axis may change with it, in proportion.

        Raises:
            RefusalError: It is longer already, or no number of units of any leaf gives it this
                size.
        """
        more = self.size - self.form.size
        if more < 0:
            raise RefusalError(
                f"{self.module!r} has {self.form.size} {self._what}, more than "
                f"{self.option}={self.size}",
                nodes=[self.module],
                suggestions=[_INSTEAD],
            )
        steps = self._steps(groups)
        found = {
            (leaf, leaf.size + more // n): None for leaf, n in steps.items() if n and more % n == 0
        }
        if joint:
            every = ((leaf, divmod(leaf.size * self.size, self.form.size)) for leaf in steps)
            found |= {
                (leaf, size): None for leaf, (size, rest) in every if steps[leaf] and not rest
            }
        if not found:
            raise RefusalError(
                f"{self.module!r} has {self.form.size} {self._what} in blocks, which can't become "
                f"{self.size}",
                nodes=[self.module],
            )
        if more:
            yield from found

    def others(self, groups: AxisGroups) -> list[int]:
        """Sizes that the axis could have in place of the one that it is to have, by their blocks.

        Args:
            groups: The groups of the program.
        """
        size, more = self.form.size, self.size - self.form.size
        steps = {step for step in self._steps(groups).values() if step}
        near = {size - -more // step * step for step in steps} if more > 0 else set()
        times = max(2, -(-self.size // size))
        return [*sorted(near - {self.size}), *(size * k for k in range(times, times + _TRIED))]

    def jointly(self, groups: AxisGroups) -> list[int]:
        """The nearest sizes from the wanted one on to which all can change in proportion.

        The nearest multiple is among them: where a mean runs over the units, no other will do.

        Args:
            groups: The groups of the program.
        """
        size, more = self.form.size, self.size - self.form.size
        found: set[int] = set()
        for leaf in (leaf for leaf, step in self._steps(groups).items() if step):
            try:
                joint = groups.companions({leaf: 2 * leaf.size})
            except RefusalError:
                continue
            each = (size_of(self.form, joint) - size) // gcd(*(other.size for other in joint))
            if each > 0 and more > 0:
                found |= {size - -more // step * step for step in (each, size)}
        return sorted(found)

    def check(self, sizes: Mapping[Atom, int]) -> None:
        """Checks that the axis has its new size when leaves have theirs.

        Raises:
            RefusalError: It has another.
        """
        found = size_of(self.form, sizes)
        if found != self.size:
            raise RefusalError(
                f"{self.module!r} would have {found} {self._what} when all has changed that has "
                f"to, not {self.size}",
                nodes=[self.module],
                suggestions=[f"{self.option}={found}"],
            )

    def as_heads(self, groups: AxisGroups) -> int | None:
        """How many heads make this width, None where the axis has none or they do not."""
        try:
            heads = heads_of(groups, self.module) if self.option == "width" else self.form
        except RefusalError:
            return None
        each = self.form.size // heads.size
        return None if heads is self.form or self.size % each else self.size // each

    @property
    def _what(self) -> str:
        return "heads" if self.option == "heads" else "output features"

    def _steps(self, groups: AxisGroups) -> dict[Atom, int]:
        """How many positions one more unit of each leaf makes."""
        leaves = [*dict.fromkeys(atoms_in(self.form))]
        if self.option == "heads":  # of grouped queries rather the queries of each head
            leaves.reverse()
        return {leaf: self._step(groups, leaf) for leaf in leaves}

    def _step(self, groups: AxisGroups, leaf: Atom) -> int:
        """How many positions one more unit of a leaf makes; 0 for heads that were not asked for."""
        if self.option == "width" and leaf is not self.form and is_of_heads(groups, leaf):
            return 0
        return _each(self.form, leaf)


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


def size_of(form: Form, sizes: Mapping[Atom, int]) -> int:
    """The size of a form when leaves have their new sizes."""
    if isinstance(form, Atom):
        return sizes.get(form, form.size)
    parts = (size_of(part, sizes) for part in parts_of(form))
    return sum(parts) if isinstance(form, Sum) else prod(parts)


_TRIED: Final = 2  # multiples of a size
_INSTEAD: Final = "morphir.PruneDormantPass(at=...)"
