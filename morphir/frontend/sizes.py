"""Integers that remember where they came from.

While a model is recorded, `x.shape[1]` is a `TaggedInt`: an ordinary int with an expression.
Arithmetic on it keeps the expression, so that the number in `x.view(b, t, self.n_head, c //
self.n_head)` is known to follow from shapes and attributes. What loses the tag (true division,
`int(x)`) is a literal, and is treated as one. A comparison loses it too, and is noted: Python may
go another way at another size.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from torch import fx

from morphir.frontend.source import is_called_by_torch, source_line


@final
@dataclass(frozen=True, slots=True)
class ReadSize:
    """The size of one axis of a recorded tensor."""

    node: fx.Node
    axis: int


@final
@dataclass(frozen=True, slots=True)
class ReadAttribute:
    """An integer attribute of a module."""

    module: str
    name: str
    number: int


@final
@dataclass(frozen=True, slots=True)
class Computed:
    """`left op right`, each an expression or a plain int."""

    op: str
    left: Expression
    right: Expression


Expression = ReadSize | ReadAttribute | Computed | int


@final
@dataclass(frozen=True, slots=True)
class SizeTest:
    """A comparison that Python made with a size.

    Attributes:
        expression: The size.
        number: The number it was.
        test: The comparison in words: `== 1`.
        source: `file:line` of the statement.
    """

    expression: Expression
    number: int
    test: str
    source: str


def expression_of(number: int) -> Expression:
    """The expression of a tagged integer; a plain one is its own."""
    return number.expression if isinstance(number, TaggedInt) else int(number)


def _arithmetic(
    op: str, function: Callable[[int, int], int], *, swapped: bool = False
) -> Callable[[TaggedInt, Any], Any]:
    def apply(self: TaggedInt, other: Any) -> Any:
        if not isinstance(other, int) or isinstance(other, bool):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        number = function(int(left), int(right))
        tests = self.tests if self.tests is not None else getattr(other, "tests", None)
        return TaggedInt(number, Computed(op, expression_of(left), expression_of(right)), tests)

    return apply


def _comparison(op: str, compare: Callable[[int, Any], Any]) -> Callable[[TaggedInt, Any], Any]:
    def apply(self: TaggedInt, other: Any) -> Any:
        if self.tests is not None and not is_called_by_torch():
            self.tests.append(SizeTest(self.expression, int(self), f"{op} {other}", source_line()))
        return compare(self, other)

    return apply


class TaggedInt(int):
    """An int with the expression that it was computed by.

    Attributes:
        expression: How it was computed.
        tests: Where comparisons are noted; None for a number that no tensor's size is part of.
    """

    expression: Expression
    tests: list[SizeTest] | None

    def __new__(
        cls, number: int, expression: Expression, tests: list[SizeTest] | None = None
    ) -> TaggedInt:
        """Makes a tagged copy of `number`."""
        tagged = super().__new__(cls, number)
        tagged.expression = expression
        tagged.tests = tests
        return tagged

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> int:
        return int(self)

    def __neg__(self) -> TaggedInt:
        return TaggedInt(-int(self), Computed("*", -1, self.expression), self.tests)

    def __bool__(self) -> bool:
        return bool(self != 0)

    __hash__ = int.__hash__

    __add__ = _arithmetic("+", operator.add)
    __radd__ = _arithmetic("+", operator.add, swapped=True)
    __sub__ = _arithmetic("-", operator.sub)
    __rsub__ = _arithmetic("-", operator.sub, swapped=True)
    __mul__ = _arithmetic("*", operator.mul)
    __rmul__ = _arithmetic("*", operator.mul, swapped=True)
    __floordiv__ = _arithmetic("//", operator.floordiv)
    __rfloordiv__ = _arithmetic("//", operator.floordiv, swapped=True)
    __mod__ = _arithmetic("%", operator.mod)
    __rmod__ = _arithmetic("%", operator.mod, swapped=True)

    __eq__ = _comparison("==", int.__eq__)
    __ne__ = _comparison("!=", int.__ne__)
    __lt__ = _comparison("<", int.__lt__)
    __le__ = _comparison("<=", int.__le__)
    __gt__ = _comparison(">", int.__gt__)
    __ge__ = _comparison(">=", int.__ge__)
