"""Forms: what the certificate knows a value as.

A form is a sum of atoms with integer coefficients, each atom broadcast to the form's type. An atom
is an input, a piece of state, or the result of one op on operands of given forms, so equal ops on
equal operands have equal forms (congruence) and sums cancel (`h + g - g`). The empty sum is zero.
Two values with equal forms are equal, whatever the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch

from morphir.ir import TensorType
from morphir.ops import ANYTHING, Interval


@final
@dataclass(frozen=True, slots=True)
class Form:
    """A sum of atoms.

    Attributes:
        type: Type of the sum; None where types are unknown. Values of different types are never
            equal.
        terms: Atom and coefficient, sorted, no coefficient zero.
    """

    type: TensorType | None = field(hash=False)  # the terms tell enough apart
    terms: tuple[tuple[int, int], ...] = ()

    @property
    def is_zero(self) -> bool:
        """Whether this is the empty sum."""
        return not self.terms

    @property
    def is_floating(self) -> bool:
        """Whether its type is known and floating-point: the lemmas are about these."""
        return self.type is not None and self.type.dtype.is_floating_point

    def plus(self, other: Form, sign: int) -> Form:
        """The sum of two forms of one type, the second with a sign."""
        total = dict(self.terms)
        for atom, coefficient in other.terms:
            total[atom] = total.get(atom, 0) + sign * coefficient
        return Form(self.type, tuple(sorted((a, c) for a, c in total.items() if c != 0)))


@final
class FormTable:
    """Gives atoms their numbers, and holds what is known about forms."""

    def __init__(self) -> None:
        self._atoms: dict[Any, int] = {}
        self._depend: set[int] = set()  # atoms that change with the content of an input
        self._intervals: dict[Form, Interval] = {}

    def atom(self, key: Any, type: TensorType | None, *, on: Iterable[Form] | None = ()) -> Form:
        """The form of the atom with this key.

        Args:
            key: What tells it from other atoms.
            type: Its type.
            on: The forms that it is computed from; None for an input.
        """
        number = self._atoms.setdefault(key, len(self._atoms))
        if on is None or any(map(self.depends_on_input, on)):
            self._depend.add(number)
        return Form(type, ((number, 1),))

    def depends_on_input(self, form: Form) -> bool:
        """Whether the form mentions an input."""
        return any(atom in self._depend for atom, _ in form.terms)

    def interval(self, form: Form) -> Interval:
        """The tightest interval known to hold every element of a form."""
        if form.is_zero:
            return Interval(0.0, 0.0)
        known = self._intervals.get(form)
        if known is None and form.type is not None:
            return _TYPE_BOUNDS.get(form.type.dtype, ANYTHING)
        return ANYTHING if known is None else known

    def narrow(self, form: Form, interval: Interval) -> None:
        """Adds a fact about a form."""
        self._intervals[form] = self.interval(form).meet(interval)


_TYPE_BOUNDS: Final[Mapping[torch.dtype, Interval]] = {
    torch.bool: Interval(0.0, 1.0),
    torch.uint8: Interval(0.0, 255.0),
}
