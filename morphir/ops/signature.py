"""The notation of axis signatures.

    signature := operand ("," operand)* "->" operand ("," operand)* ["|" flag (";" flag)*]
    operand   := dim*
    dim       := name | "..." | "(" term ("+" term)* ")"
    term      := name+
    flag      := ("lin" | "stat" | "extremum" | "norm" | "sum" | "fixed") name*
               | name "=" parameter ["[" position "]"]

The k-th operand is the op's k-th parameter; one that is None is skipped. `(g i)` is a product, the
major factor first, `(a + b)` a sum. A name whose first letter is upper case is fixed. `...` stands
for any number of axes, aligned from the right and broadcast. `g = groups` reads a size from an
integer argument, and makes the argument follow when the axis changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Final, cast, final

from morphir.ops.axes import Flow, Kind, Layout, SizeRule, make_layout
from morphir.ops.forms import Atom, Axes, Form, add, fit, multiply
from morphir.ops.paths import Path, read_path

_FLAGS: Final = ("lin", "stat", "extremum", "norm", "sum", "fixed")
_DIM: Final = re.compile(r"\(([^()]*)\)|(\.\.\.|[\w']+)")

Term = tuple[str, ...]
Dim = tuple[Term, ...]  # the terms of a sum, each with its factors; ((name,),) is a plain axis
_DOTS: Final[Dim] = (("...",),)


@final
@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed signature."""

    operands: tuple[tuple[Dim, ...], ...]
    outputs: tuple[tuple[Dim, ...], ...]
    flags: tuple[tuple[str, str], ...]  # (name, flag)
    sizes: tuple[tuple[str, Path], ...]  # (name, argument)


@cache
def parse_signature(text: str) -> Signature:
    """Reads a signature.

    Raises:
        ValueError: The text is not of the notation.
    """
    shapes, _, flag_text = text.partition("|")
    sides = shapes.split("->")
    if len(sides) != 2:
        raise ValueError(f"signature {text!r} needs exactly one '->'")
    operands, outputs = (
        tuple(_parse_operand(part, text) for part in side.split(",")) for side in sides
    )
    flags: list[tuple[str, str]] = []
    sizes: list[tuple[str, Path]] = []
    for flag in filter(None, map(str.strip, flag_text.split(";"))):
        name, equals, parameter = (part.strip() for part in flag.partition("="))
        if equals:
            base, _, position = parameter.rstrip("]").partition("[")
            sizes.append((name, (base, int(position)) if position else (base,)))
            continue
        kind, *names = flag.split()
        if kind not in _FLAGS:
            raise ValueError(f"signature {text!r} has the flag {kind!r}, expected one of {_FLAGS}")
        flags += [(name, kind) for name in names]
    known = {n for side in (operands, outputs) for o in side for d in o for t in d for n in t}
    unknown = {name for name, _ in (*flags, *sizes)} - known
    if unknown:
        raise ValueError(f"signature {text!r} flags axes it does not have: {sorted(unknown)}")
    return Signature(operands, outputs, tuple(flags), tuple(sizes))


def _parse_operand(text: str, signature: str) -> tuple[Dim, ...]:
    if _DIM.sub("", text).strip():
        raise ValueError(f"signature {signature!r}: cannot read the operand {text.strip()!r}")
    dims: list[Dim] = []
    for inside, name in _DIM.findall(text):
        terms = inside.split("+") if inside else [name]
        dims.append(tuple(tuple(term.split()) for term in terms))
    return tuple(dims)


@final
class _Solver:
    """Gives every name its size, and every name and dot its atom."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self.pending: list[tuple[Dim, int]] = []
        self.dots: dict[int, int] = {}  # distance from the right -> broadcast size
        self._atoms: dict[str, Atom] = {}

    def read(self, dims: Sequence[Dim], shape: Sequence[int]) -> None:
        """Takes in what one tensor's shape says about the names."""
        names, dots = _unroll(dims, shape)
        self.pending += [(dim, size) for dim, size in zip(names, shape, strict=True) if dim]
        for distance, size in dots.items():
            self.dots[distance] = max(self.dots.get(distance, 1), size)

    def solve(self) -> None:
        """Solves for one unknown name at a time.

        Raises:
            ValueError: A shape does not fit, or a size cannot be told.
        """
        while self.pending:
            left = [(dim, size) for dim, size in self.pending if not self._solve(dim, size)]
            if len(left) == len(self.pending):
                raise ValueError(f"the sizes of {left[0][0]} cannot be told")
            self.pending = left

    def _solve(self, dim: Dim, size: int) -> bool:
        unknown = {name for term in dim for name in term if name not in self.sizes}
        if len(unknown) > 1:
            return False
        known = sum(prod(self.sizes[n] for n in t) for t in dim if not unknown & {*t})
        if not unknown:
            if known != size:
                raise ValueError(f"found an axis of size {size}, expected {known}")
            return True
        scale = sum(
            prod(self.sizes[n] for n in t if n in self.sizes) for t in dim if unknown & {*t}
        )
        if scale == 0 or (size - known) % scale:
            raise ValueError(f"found an axis of size {size}, expected a multiple of {scale}")
        self.sizes[unknown.pop()] = (size - known) // scale
        return True

    def atom(self, name: str) -> Atom:
        """The atom of a name."""
        if name not in self._atoms:
            self._atoms[name] = Atom(name, self.sizes[name])
        return self._atoms[name]

    def dot(self, distance: int, size: int) -> Form:
        """The atom of one axis under `...`; a broadcast one has its own (AXIS-6)."""
        name = f"...{distance}"
        self.sizes[name] = self.dots[distance]
        return fit(self.atom(name), size)

    def axes(self, dims: Sequence[Dim], shape: Sequence[int]) -> Axes:
        """The forms of one tensor's dimensions."""
        names, dots = _unroll(dims, shape)
        forms: list[Form] = []
        for axis, dim in enumerate(names):
            if not dim:
                distance = _distance(dims, len(shape), axis)
                forms.append(self.dot(distance, dots[distance]))
            else:
                forms.append(add(multiply(map(self.atom, term)) for term in dim))
        return tuple(forms)


def _distance(dims: Sequence[Dim], rank: int, axis: int) -> int:
    return rank - (len(dims) - 1 - dims.index(_DOTS)) - axis


def _unroll(dims: Sequence[Dim], shape: Sequence[int]) -> tuple[list[Dim], dict[int, int]]:
    """Replaces `...` by as many empty dims as fit, and sizes these by distance from the right."""
    if _DOTS not in dims:
        if len(dims) != len(shape):
            raise ValueError(f"found shape {tuple(shape)}, expected {len(dims)} dimensions")
        return list(dims), {}
    count = len(shape) - len(dims) + 1
    if count < 0:
        raise ValueError(
            f"found shape {tuple(shape)}, expected at least {len(dims) - 1} dimensions"
        )
    at = dims.index(_DOTS)
    sizes = {_distance(dims, len(shape), axis): shape[axis] for axis in range(at, at + count)}
    return [*dims[:at], *((),) * count, *dims[at + 1 :]], sizes


def signature_layout(
    text: str,
    arguments: Mapping[str, Any],
    shapes: Sequence[Sequence[int] | None],
    outputs: Sequence[Sequence[int]],
) -> Layout:
    """The layout of one call by a signature.

    Args:
        text: The signature.
        arguments: All arguments by name, for the sizes that the signature reads from them.
        shapes: The shape of the argument of each parameter in order, None where it is no tensor.
        outputs: The shapes of the returned tensors.

    Raises:
        ValueError: The shapes do not fit the signature.
    """
    signature = parse_signature(text)
    if any(shape is not None for shape in shapes[len(signature.operands) :]):
        raise ValueError(f"found more tensors than the operands of {text!r}")
    present = [
        (dims, shape)
        for dims, shape in zip(signature.operands, shapes, strict=False)
        if shape is not None
    ]
    results = list(zip(signature.outputs, outputs, strict=False))
    if len(outputs) > len(signature.outputs):
        raise ValueError(f"found {len(outputs)} outputs, expected those of {text!r}")
    solver = _Solver({name: int(read_path(arguments, path)) for name, path in signature.sizes})
    for dims, shape in (*present, *results):
        solver.read(dims, shape)
    solver.solve()
    operand_axes = [solver.axes(dims, shape) for dims, shape in present]
    output_axes = [solver.axes(dims, shape) for dims, shape in results]
    return make_layout(
        operand_axes,
        output_axes,
        _flows(signature, solver),
        [SizeRule(path, solver.atom(name)) for name, path in signature.sizes],
    )


def _flows(signature: Signature, solver: _Solver) -> dict[Atom, Flow]:
    flows: dict[Atom, Flow] = {}
    flags = dict(signature.flags)
    for name in solver.sizes:
        flag = flags.get("..." if name.startswith("...") else name)
        if name[0].isupper():
            flows[solver.atom(name)] = "fixed"
        elif flag is not None:
            flows[solver.atom(name)] = cast("Kind", flag)
    return flows
