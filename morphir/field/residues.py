"""Tensors of residues that a model computes with as if they were its floats.

A model is run as it is: its own Python, its hooks, torch's own decompositions. Whatever reaches a
kernel of torch's with such a tensor among its arguments is computed modulo a prime instead, and
what has no meaning there is refused. Numbers that depend on no parameter and no input (positions, a
causal mask) are computed as always, and lifted where they meet others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import torch
from torch._decomp import decomposition_table
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from morphir.field.keyed import Keyed
from morphir.field.modular import PrimeField, Unsupported

Gates = Literal["free", "square"]
Kernel = Callable[..., Any]
_Call = tuple[Any, ...]
# The mark of what comes of comparing residues, and comparisons that come out the same for all.
_COMPARED: Final = "_compared"
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
        self.begin("")

    def begin(self, key: str) -> None:
        """Has a run begin: those with the same key have the same functions and draws."""
        self.functions = Keyed(f"{self.field.prime} {key}", self.field.prime)
        self._draws = 0

    # -- numbers and residues ----------------------------------------------------------------------

    def lift(self, tensor: torch.Tensor) -> torch.Tensor:
        """The residues of a tensor; an infinity, as masks have it, is one random number."""
        if isinstance(tensor, Residues):
            return tensor.residues
        if not tensor.is_floating_point() or bool(tensor.isfinite().all()):
            return self.field.lift(tensor)
        if bool(tensor.isnan().any()):
            raise Unsupported("not a number")
        infinite = tensor.isinf()
        signed = torch.where(tensor > 0, self.number(float("inf")), self.number(-float("inf")))
        return torch.where(infinite, signed, self.field.lift(tensor.masked_fill(infinite, 0)))

    def number(self, number: float) -> int:
        """The residue of a Python number."""
        if isinstance(number, complex):
            raise Unsupported("complex numbers")
        if number != number:
            raise Unsupported("not a number")
        if abs(number) == float("inf"):
            residue = int(self.functions.value("infinity"))
            return residue if number > 0 else self.field.prime - residue
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

    def draw(self, shape: Sequence[int], like: torch.Tensor | None = None) -> torch.Tensor:
        """Residues that a model draws at random: the same in every model that draws as many."""
        self._draws += 1
        device = None if like is None else like.device
        count = torch.arange(torch.Size(shape).numel(), device=device)
        return self.functions.value(f"draw {self._draws}", count).reshape(shape)

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
        if any(isinstance(leaf, Residues) for leaf in leaves):
            found = self._compute(func, args, kwargs)
            compares = getattr(found, "dtype", None) is torch.bool and name not in _CERTAIN
        else:
            compares = any(hasattr(leaf, _COMPARED) for leaf in leaves)
            if compares and name == "_local_scalar_dense":
                raise Unsupported("Python decides by a number that depends on the input")
            found = func(*args, **kwargs)
        for leaf in tree_leaves(found) if compares else ():
            if type(leaf) is torch.Tensor:
                setattr(leaf, _COMPARED, True)
        return found

    def _compute(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call with residues among its arguments."""
        name = func.overloadpacket.__name__
        if func._overloadname == "out" or "out" in kwargs:
            raise Unsupported(f"{name} with out=")
        kernel = self._kernels.computed.get(name)
        if kernel is not None:
            return kernel(self, *args, **kwargs)
        if name in self._kernels.moving:
            return self._move(func, args, kwargs)
        if name.endswith("_") and not name.endswith("__"):
            write = self._turn if torch.Tag.inplace_view in func.tags else self._write
            return write(func, args, kwargs)
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

        def wrapped(leaf: Any) -> Any:
            return self.wrap(leaf, *leaves) if isinstance(leaf, torch.Tensor) else leaf

        moved_args, moved_kwargs = tree_map(residues, (args, kwargs))
        found = func(*moved_args, **moved_kwargs)
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype in _WHOLE for leaf in leaves):
            for leaf in tree_leaves(found):  # whole numbers may have come among the residues
                leaf.remainder_(self.field.prime)
        return args[0] if in_place else tree_map(wrapped, found)

    def _turn(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call that has a tensor see its own memory in another way."""
        if func.overloadpacket.__name__.startswith(("resize", "set")):
            raise Unsupported(str(func))
        func(args[0].residues, *args[1:], **kwargs)
        with no_dispatch():
            func(*args, **kwargs)
        return args[0]

    def _write(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call in place: what the same call returns, written into its first argument."""
        name = func.overloadpacket.__name__
        target, packet = args[0], getattr(torch.ops.aten, name[:-1], None)
        if packet is None:
            raise Unsupported(name)
        if not isinstance(target, Residues):
            raise Unsupported(f"{name} writes into a tensor that the model made itself")
        found = self.lift(packet(*args, **kwargs))
        if found.shape != target.shape:
            raise Unsupported(f"{name} changes a shape in place")
        target.residues.copy_(found)
        return target

    def _decompose(self, func: Any, args: _Call, kwargs: Mapping[str, Any]) -> Any:
        """A call as torch itself spells it out."""
        with self:
            found = func.decompose(*args, **kwargs)
            if found is NotImplemented and func in decomposition_table:
                found = decomposition_table[func](*args, **kwargs)
        if found is NotImplemented:
            raise Unsupported(str(func))
        return found
