"""Integers that remember where they came from.

While a model is recorded, `x.shape[1]` is a `TaggedInt`: an ordinary int with an expression.
Arithmetic on it keeps the expression, so that the number in `x.view(b, t, self.n_head, c //
self.n_head)` is known to follow from shapes and attributes. What loses the tag (`int(x)`, `x & 1`)
is a literal, and is treated as one. Two losses are noted: a comparison, as Python may go another
way at another size, and a float (`x ** -0.5`, `math.sqrt(x)`), as no argument shows what it follows
from. Python gives no word of `0.5 * x`, `math.log(x)` and `range(x)`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from torch import fx

from morphir.frontend.source import is_called_by_torch, source_line
from morphir.ir import TensorType


@final
@dataclass(frozen=True, slots=True)
class ReadSize:
    """The size of one axis of a recorded tensor."""

    node: fx.Node
    axis: int


@final
@dataclass(frozen=True, slots=True)
class ReadState:
    """The size of one axis of a parameter or buffer, which a module wrote down.

    Attributes:
        name: The state entry.
        axis: Which of its dimensions.
        type: Its type.
    """

    name: str
    axis: int
    type: TensorType


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


Expression = ReadSize | ReadState | ReadAttribute | Computed | int


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


@final
class SizeWatch:
    """Takes note of what becomes of sizes and attributes where no expression can say it.

    Attributes:
        tests: The comparisons that were made with sizes.
        on_float: Is given each number that becomes a float; None while nothing is recorded.
    """

    def __init__(self, on_float: Callable[[TaggedInt], None] | None = None) -> None:
        self.tests: list[SizeTest] = []
        self.on_float = on_float


def expression_of(number: int) -> Expression:
    """The expression of a tagged integer; a plain one is its own."""
    return number.expression if isinstance(number, TaggedInt) else int(number)


def _reads_size(expression: Expression) -> bool:
    if isinstance(expression, Computed):
        return _reads_size(expression.left) or _reads_size(expression.right)
    return isinstance(expression, ReadSize)


def _note_floats(*numbers: Any) -> None:
    for number in numbers:
        if isinstance(number, TaggedInt) and number.watch and number.watch.on_float:
            number.watch.on_float(number)


def _arithmetic(
    op: str, function: Callable[[int, int], int], *, swapped: bool = False
) -> Callable[[TaggedInt, Any], Any]:
    def apply(self: TaggedInt, other: Any) -> Any:
        if isinstance(other, float):
            _note_floats(self)
        if not isinstance(other, int) or isinstance(other, bool):
            return NotImplemented
        left, right = (other, self) if swapped else (self, other)
        number = function(int(left), int(right))
        watch = self.watch or getattr(other, "watch", None)
        return TaggedInt(number, Computed(op, expression_of(left), expression_of(right)), watch)

    return apply


def _division(divide: Callable[[int, Any], Any]) -> Callable[[TaggedInt, Any], Any]:
    def apply(self: TaggedInt, other: Any) -> Any:
        if isinstance(other, int | float):
            _note_floats(self, other)
        return divide(self, other)

    return apply


def _comparison(op: str, compare: Callable[[int, Any], Any]) -> Callable[[TaggedInt, Any], Any]:
    def apply(self: TaggedInt, other: Any) -> Any:
        if self.watch and _reads_size(self.expression) and not is_called_by_torch():
            test = SizeTest(self.expression, int(self), f"{op} {other}", source_line())
            self.watch.tests.append(test)
        return compare(self, other)

    return apply


class TaggedInt(int):
    """An int with the expression that it was computed by.

    Attributes:
        expression: How it was computed.
        watch: What takes note of comparisons and floats; None where nobody asks.
    """

    expression: Expression
    watch: SizeWatch | None

    def __new__(
        cls, number: int, expression: Expression, watch: SizeWatch | None = None
    ) -> TaggedInt:
        """Makes a tagged copy of `number`."""
        tagged = super().__new__(cls, number)
        tagged.expression = expression
        tagged.watch = watch
        return tagged

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> int:
        return int(self)

    def __neg__(self) -> TaggedInt:
        return TaggedInt(-int(self), Computed("*", -1, self.expression), self.watch)

    def __float__(self) -> float:
        _note_floats(self)
        return int.__float__(self)

    def __pow__(self, exponent: Any, modulus: int | None = None) -> Any:
        if modulus is None and isinstance(exponent, int) and int(exponent) == 2:
            return self * self
        if isinstance(exponent, float) or (isinstance(exponent, int) and int(exponent) < 0):
            _note_floats(self)
        return int.__pow__(self, exponent, modulus)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """What numpy computes: a plain number."""
        plain = (int(n) if isinstance(n, TaggedInt) else n for n in inputs)
        result = getattr(ufunc, method)(*plain, **options)
        if np.asarray(result).dtype.kind == "f":
            _note_floats(*inputs)
        return result

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
    __truediv__ = _division(int.__truediv__)
    __rtruediv__ = _division(int.__rtruediv__)

    __eq__ = _comparison("==", int.__eq__)
    __ne__ = _comparison("!=", int.__ne__)
    __lt__ = _comparison("<", int.__lt__)
    __le__ = _comparison("<=", int.__le__)
    __gt__ = _comparison(">", int.__gt__)
    __ge__ = _comparison(">=", int.__ge__)
