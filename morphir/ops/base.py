"""What an op declaration is.

An `Op` says once: which torch callables mean it (`spellings`), its canonical parameters, how axes
flow through it (`axes`), which interval its result lies in (`bounds`), where it is the identity
(`identity_on`), and how to make small examples of itself (`samples`). Planner and checker both read
this table, so `tests/ops/test_contract.py` runs every declaration's real op under random admissible
maps; that test is part of the trusted base.

    OPS-1   every declaration holds for its own samples: its layout (AXIS-4), its facts (FACT-1),
            where it is the identity (FACT-2), whether it keeps zero (FACT-3)
    OPS-2   what torch shows a recording of any spelling binds to the op, and `run` on what was
            bound gives the same result
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

from torch import nn

from morphir.ir.graph import Argument
from morphir.ops.axes import Layout
from morphir.ops.bounds import BoundsRule
from morphir.ops.interval import Interval
from morphir.ops.parameters import MISSING, Parameter, parse_parameters
from morphir.ops.paths import Path, tensors_of
from morphir.ops.signature import signature_layout


@final
@dataclass(frozen=True, slots=True)
class Spelling:
    """One torch callable that means an op.

    Attributes:
        function: What the recording sees: a function, a method of `torch.Tensor` or a property
            getter.
        parameters: Its own parameter list where that differs from the op's; `torch.rsub` swaps its
            operands by it.
        extra: Arguments that this spelling implies (`x.double()` is `to` with a dtype).
        when: Which calls it covers where one callable has several meanings (`torch.max`); None for
            all that bind.
    """

    function: Callable[..., Any]
    parameters: str = ""
    extra: tuple[tuple[str, Any], ...] = ()
    when: Callable[[Mapping[str, Argument]], bool] | None = None


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """One small call of an op: canonical arguments with tensors in the place of values."""

    arguments: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Instance:
    """One concrete call as an axis rule sees it.

    Attributes:
        arguments: Every argument by name, defaults filled in; tensors are anything with a shape.
        operands: The tensors among them in order: where each stands, and its shape.
        outputs: The shapes of the returned tensors.
    """

    arguments: Mapping[str, Any]
    operands: tuple[tuple[Path, tuple[int, ...]], ...]
    outputs: tuple[tuple[int, ...], ...]

    def __getitem__(self, name: str) -> Any:
        """One argument."""
        return self.arguments[name]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the operands."""
        return tuple(shape for _, shape in self.operands)

    def axis(self, axis: int, rank: int | None = None) -> int:
        """A dimension of the first operand counted from the left."""
        rank = len(self.operands[0][1]) if rank is None else rank
        return axis % max(rank, 1)


AxisRule = str | Callable[[Instance], "Layout | str"]


def no_samples(_: random.Random) -> Iterable[Sample]:
    """Makes no samples."""
    return ()


@final
@dataclass(frozen=True, eq=False)
class Op:
    """One declaration.

    The functions it holds may read every argument that the op has: where a call left out a default,
    it is filled in.

    Attributes:
        name: Canonical name, used in the text form.
        parameters: Canonical parameter list, as `parse_parameters` reads it, with torch's own
            defaults.
        run: Computes the op from canonical arguments given by keyword; a variadic parameter arrives
            as one tuple.
        spellings: Torch callables that mean it; a bare callable has the op's own parameters.
        axes: The axis signature, or a rule that gives the layout or the signature of one call.
        bounds: The interval of the first output from those of the arguments.
        bounds_all_outputs: Whether the same interval holds for every output, as for the parts of a
            split.
        identity_on: The inputs on which the op returns its first operand unchanged, from its
            arguments.
        keeps_zero: Whether an all-zero first operand gives an all-zero result, whatever the other
            arguments.
        module: For activations the `torch.nn` class whose constructor takes the op's other
            arguments by name.
        samples: Small examples for the contract test.
    """

    name: str
    parameters: str
    run: Callable[..., Any]
    spellings: tuple[Spelling | Callable[..., Any], ...]
    axes: AxisRule
    bounds: BoundsRule | None = None
    bounds_all_outputs: bool = False
    identity_on: Callable[[Mapping[str, Argument]], Interval | None] | None = None
    keeps_zero: bool = False
    module: type[nn.Module] | None = None
    samples: Callable[[random.Random], Iterable[Sample]] = no_samples

    def __post_init__(self) -> None:
        for name in ("bounds", "identity_on"):
            rule = getattr(self, name)
            if rule is not None:
                object.__setattr__(self, name, partial(self._run_rule, rule))

    def _run_rule(self, rule: Callable[..., Any], arguments: Mapping[str, Any], *more: Any) -> Any:
        return rule(self.complete(arguments), *more)

    @cached_property
    def parameter_list(self) -> tuple[Parameter, ...]:
        """The parsed canonical parameters."""
        return parse_parameters(self.parameters)

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments in the order of the parameters, defaults filled in."""
        filled = {p.name: arguments.get(p.name, p.default) for p in self.parameter_list}
        return {name: value for name, value in filled.items() if value is not MISSING}

    def execute(self, arguments: Mapping[str, Any]) -> Any:
        """Runs the op on canonical arguments (tensors in the place of values)."""
        return self.run(**arguments)

    def layout(self, arguments: Mapping[str, Any], outputs: Sequence[Any]) -> Layout:
        """How axes flow through one concrete call.

        Args:
            arguments: Canonical arguments with tensors, or anything that has a shape, in the place
                of values.
            outputs: The tensors that the call returns, or anything that has their shapes.

        Raises:
            ValueError: The shapes do not fit the declaration; the message names the op.
        """
        complete = self.complete(arguments)
        operands = tuple(
            (path, tuple(int(size) for size in tensor.shape))
            for name, argument in complete.items()
            for path, tensor in tensors_of(argument, (name,))
        )
        results = tuple(tuple(int(size) for size in tensor.shape) for tensor in outputs)
        instance = Instance(complete, operands, results)
        try:
            found = self.axes if isinstance(self.axes, str) else self.axes(instance)
            if isinstance(found, str):
                by_path = dict(operands)
                shapes = [by_path.get((p.name,)) for p in self.parameter_list]
                found = signature_layout(found, complete, shapes, results)
            check_shapes(found, instance)
        except ValueError as error:
            raise ValueError(
                f"op {self.name!r} on {instance.shapes} -> {results}: {error}"
            ) from error
        return found


def check_shapes(layout: Layout, instance: Instance) -> None:
    """Checks that the forms of a layout have the sizes of the real shapes.

    Raises:
        ValueError: One has not.
    """
    for what, axes, shapes in (
        ("operands", layout.operands, instance.shapes),
        ("outputs", layout.outputs, instance.outputs),
    ):
        found = tuple(tuple(form.size for form in forms) for forms in axes)
        if found != shapes:
            raise ValueError(f"the layout gives the {what} shapes {found}, expected {shapes}")
