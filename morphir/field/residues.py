"""Tensors of residues that a model computes with as if they were its floats.

A model is run as it is: its own Python, its hooks, torch's own decompositions. Whatever reaches a
kernel of torch's with such a tensor among its arguments is computed modulo a prime instead, and
what has no meaning there is refused. Numbers that depend on no parameter and no input (positions, a
causal mask) are computed as always, and lifted where they meet others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal, final

import torch
from torch._decomp import decomposition_table
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from morphir.field.keyed import Keyed
from morphir.field.modular import PrimeField, Unsupported
from morphir.field.reading import is_compared, mark_compared, refuse_reading

Gates = Literal["free", "square"]
Kernel = Callable[..., Any]
_Call = tuple[Any, ...]
# Comparisons that come out the same for all numbers.
_CERTAIN: Final = ("isfinite", "isinf", "isnan")
_WHOLE: Final = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


@final
@dataclass(frozen=True)
class Kernels:
    """How the ops of `torch.ops.aten` are computed, by their names.

    Attributes:
        makers: Those that make numbers of none, called with the op and its arguments.
        computed: Those that compute, called with the arguments.
        moving: Those that only move numbers.
    """

    makers: Mapping[str, Kernel]
    computed: Mapping[str, Kernel]
    moving: frozenset[str]


@final
class Residues(torch.Tensor):
    """Residues that say they are floats: shape, strides and dtype are those of the numbers.

    Attributes:
        residues: An int64 tensor. Views of this tensor hold views of it.
        run: The run that they belong to.
    """

    residues: torch.Tensor
    run: Run

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, residues: torch.Tensor, dtype: torch.dtype, run: Run) -> Residues:
        """Wraps residues."""
        with torch.inference_mode(False):  # else views of it could not be taken
            self = torch.Tensor._make_wrapper_subclass(
                cls,
                residues.shape,
                strides=residues.stride(),
                storage_offset=residues.storage_offset(),
                dtype=dtype,
                device=residues.device,
            )
        self.residues, self.run = residues, run
        return self

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Sequence[type],
        args: _Call = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Has the run compute the call."""
        leaves = tree_leaves((args, kwargs))
        run = next(leaf.run for leaf in leaves if isinstance(leaf, Residues))
        return run.call(func, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Residues({self.residues}, {self.dtype})"


@final
class Run(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What models compute under: a field, functions for what has no meaning in it, and kernels.

    Attributes:
        field: The field.
        functions: What stands for other functions than sums and products.
        gates: What stands for the piecewise ones: with `"square"` a number counts as positive if it
            is a square, with `"free"` they are functions like all others.
    """

    def __init__(self, field: PrimeField, gates: Gates, kernels: Kernels) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.field, self.gates = field, gates
        self._kernels = kernels
        self._infinity = int(Keyed(str(field.prime), field.prime).value("infinity"))
        self.begin("")

    def begin(self, key: str) -> None:
        """Has a run begin: those with the same key have the same functions and draws."""
        self.functions = Keyed(f"{self.field.prime} {key}", self.field.prime)
        self._draws = count()

    # -- numbers and residues ----------------------------------------------------------------------

    def lift(self, tensor: torch.Tensor) -> torch.Tensor:
        """The residues of a tensor; an infinity, as masks have it, is one random number."""
        if isinstance(tensor, Residues):
            return tensor.residues
        lifted = self.field.lift(tensor.masked_fill(tensor.isinf(), 0))
        for end in (math.inf, -math.inf):
            lifted = lifted.masked_fill(tensor == end, self.number(end))
        return lifted

    def number(self, number: float) -> int:
        """The residue of a Python number."""
        if isinstance(number, complex):
            raise Unsupported("complex numbers")
        if number != number:
            raise Unsupported("not a number")
        if math.isinf(number):
            return int(math.copysign(self._infinity, number)) % self.field.prime
        return self.field.number(number)

    def value(self, argument: torch.Tensor | float) -> Any:
        """The residues of an argument that may be a Python number."""
        if isinstance(argument, torch.Tensor):
            return self.lift(argument)
        return self.number(argument)

    def wrap(self, residues: torch.Tensor, *like: Any) -> Residues:
        """Residues as a tensor of the dtype that others would be promoted to."""
        dtypes = [each.dtype for each in like if isinstance(each, torch.Tensor)]
        floats = [dtype for dtype in dtypes if dtype.is_floating_point]
        dtype = torch.get_default_dtype() if not floats else floats[0]
        for other in floats[1:]:
            dtype = torch.promote_types(dtype, other)
        return Residues(residues, dtype, self)

    def draw(self, shape: Sequence[int], device: torch.device | None = None) -> torch.Tensor:
        """Residues that a model draws at random: the same in every model that draws as many."""
        places = torch.arange(torch.Size(shape).numel(), device=device)
        return self.functions.value(f"draw {next(self._draws)}", places).reshape(shape)

    # -- calls -------------------------------------------------------------------------------------

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: _Call = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Computes a call."""
        return self.call(func, args, kwargs or {})

    def call(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """Computes a call of one of torch's ops.

        Raises:
            Unsupported: It has no meaning in the field.
        """
        name = func.overloadpacket.__name__
        maker = self._kernels.makers.get(name)
        if maker is not None:
            return maker(self, func, args, kwargs)
        leaves = tree_leaves((args, kwargs))
        refuse_reading(func, args, leaves)
        if any(isinstance(leaf, Residues) for leaf in leaves):
            found = self._compute(func, args, kwargs)
            compares = getattr(found, "dtype", None) is torch.bool and name not in _CERTAIN
        else:
            compares = any(map(is_compared, leaves))
            found = self._taken_apart(func, args, kwargs) if compares else NotImplemented
            if found is NotImplemented:
                found = func(*args, **kwargs)
        if compares:
            mark_compared(tree_leaves(found))
        return found

    def _compute(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call with residues among its arguments."""
        name = func.overloadpacket.__name__
        if any(argument.is_out for argument in func._schema.arguments):
            raise Unsupported(f"{name} with out=")
        kernel = self._kernels.computed.get(name)
        if kernel is not None:
            return kernel(self, *args, **kwargs)
        if name in self._kernels.moving:
            return self._move(func, args, kwargs)
        if torch.Tag.inplace_view in func.tags:
            return self._turn(func, args)
        if name.endswith("_") and hasattr(torch.ops.aten, name[:-1]):
            return self._write(name, args, kwargs)
        return self._decompose(func, args, kwargs)

    def _move(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call that only moves numbers, which it may as well do with their residues."""
        leaves = tree_leaves((args, kwargs))
        in_place = func.overloadpacket.__name__.endswith("_")
        if any(isinstance(leaf, torch.dtype) for leaf in leaves):
            raise Unsupported(f"{func} reads the bits of a number")
        if in_place and not isinstance(args[0], Residues):
            raise Unsupported(f"{func} writes into a tensor that the model made itself")

        def residues(leaf: Any) -> Any:
            is_float = isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
            return self.lift(leaf) if is_float else leaf

        moved_args, moved_kwargs = tree_map(residues, (args, kwargs))
        found = func(*moved_args, **moved_kwargs)
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype in _WHOLE for leaf in leaves):
            for leaf in tree_leaves(found):  # whole numbers may have come among the residues
                leaf.remainder_(self.field.prime)
        # Of a call in place torch returns what it was given, whatever comes of it here.
        return tree_map(lambda leaf: self.wrap(leaf, *leaves), found)

    def _turn(self, func: Any, args: _Call) -> Any:
        """A call that has a tensor see its own memory in another way."""
        if func.overloadpacket.__name__.startswith(("resize", "set")):
            raise Unsupported(str(func))
        func(args[0].residues, *args[1:])
        with no_dispatch():
            func(*args)
        return args[0]

    def _write(self, name: str, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call in place: what the same call returns, written into its first argument."""
        target = args[0]
        if not isinstance(target, Residues):
            raise Unsupported(f"{name} writes into a tensor that the model made itself")
        found = self.lift(getattr(torch.ops.aten, name[:-1])(*args, **kwargs))
        if found.shape != target.shape:
            raise Unsupported(f"{name} changes a shape in place")
        target.residues.copy_(found)
        return target

    def _decompose(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call as torch itself spells it out, in C++ or in Python."""
        found = self._taken_apart(func, args, kwargs)
        if found is NotImplemented and func in decomposition_table:
            with self:
                found = decomposition_table[func](*args, **kwargs)
        if found is NotImplemented:
            raise Unsupported(str(func))
        return found

    def _taken_apart(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """What the ops return that a call is made of; `NotImplemented` where it is one itself."""
        with self:
            return func.decompose(*args, **kwargs)
