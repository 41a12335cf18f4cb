"""Running error analysis of whatever runs: a bound for each element on what rounding may have done.

Beside every number stands how far rounding may have moved it from what the same calls give in real
arithmetic (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.3). Bounds live
in a memory of their own, laid out like that of the tensors, so views need no rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, cast, final

import torch
from torch._decomp import decomposition_table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from morphir.checks.running import arithmetic, choices, functions, movement
from morphir.checks.running.composed import COMPOSED
from morphir.checks.running.operands import Bound, Operands, Rule, Unknown
from morphir.dispatch import Dispatch

_T = torch.Tensor
_RULES: Final[Mapping[str, Rule]] = {
    **arithmetic.RULES,
    **functions.RULES,
    **choices.RULES,
    **movement.RULES,
}
_DRAWS: Final = ("uniform_", "normal_", "bernoulli_", "exponential_", "random_")
_WAYS_OUT: Final = (_T.numpy, _T.tolist, _T.__array__, _T.__dlpack__, _T.data_ptr)
_MANY: Final = 64  # calls between two looks for memory that nobody holds any more


@final
class RunningError(Dispatch, TorchDispatchMode):
    """Follows bounds through whatever runs under it.

    A call without a rule is computed as its op is spelled out; where that has no rule either, its
    results have infinite bounds. Tensors that were there before are exact. Rounding that
    underflows is counted as one smallest normal number.

    Attributes:
        lost: Why no bound holds any more, or "".
        without_rule: The ops that had no rule for what they were given.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lost = ""
        self.without_rule: set[str] = set()
        self._shadows: dict[int, tuple[torch.UntypedStorage, _T]] = {}
        self._calls = 0

    def __enter__(self) -> RunningError:
        """Begins, with torch's fused layers spelled out."""
        with ExitStack() as stack:
            mha, mkldnn = torch.backends.mha, cast("Any", torch.backends.mkldnn)
            stack.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
            stack.callback(setattr, mkldnn, "enabled", mkldnn.enabled)
            mha.set_fastpath_enabled(False)
            mkldnn.enabled = False
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(_Exits(self))
            super().__enter__()  # type: ignore[no-untyped-call]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """Ends."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._stack.close()

    def bound(self, tensor: _T) -> Bound:
        """A bound for each element, in float64; `None` where all are exact."""
        storage = tensor.untyped_storage()
        known = self._shadows.get(storage.data_ptr())
        if known is None:
            return None
        if known[1].numel() != storage.nbytes() // tensor.element_size():  # seen as another dtype
            return torch.full(tensor.shape, torch.inf, dtype=torch.float64)
        return known[1].as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def run(self, kernel: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Computes a call and the bounds of what it returns."""
        self._sweep()
        returns = kernel._schema.returns
        if kernel._schema.is_mutable:
            return self._write(kernel, args, kwargs)
        if returns and all(each.alias_info is not None for each in returns):
            return kernel(*args, **kwargs)  # the same memory
        operands = Operands(self.bound, args, kwargs)
        if not operands.tensors:
            return kernel(*args, **kwargs)
        if operands.are_sure:
            try:
                return self._compute(kernel, operands)
            except Unknown:
                self.without_rule.add(kernel.overloadpacket.__name__)
        return self._give_up(kernel, operands)

    def _compute(self, kernel: Any, operands: Operands) -> Any:
        name = kernel.overloadpacket.__name__ if kernel.namespace == "aten" else ""
        if name in _RULES:
            result, bounds = _RULES[name](operands, kernel)
            several = isinstance(result, tuple | list)
            for each, bound in zip(result, bounds, strict=True) if several else [(result, bounds)]:
                self._set(each, bound)
            return result
        with self._again():
            if name in COMPOSED:
                return operands.call(COMPOSED[name])
            found = operands.call(kernel.decompose)
            if found is NotImplemented and kernel in decomposition_table:
                found = operands.call(decomposition_table[kernel])
        if found is NotImplemented:
            raise Unknown
        return found

    def _again(self) -> ExitStack:
        """What a call is made of is computed under the same mode."""
        stack = ExitStack()
        stack.callback(super().__exit__, None, None, None)
        super().__enter__()  # type: ignore[no-untyped-call]
        return stack

    def _give_up(self, kernel: Any, operands: Operands) -> Any:
        result = operands.call(kernel)
        for leaf in tree_leaves(result):
            if isinstance(leaf, _T):
                self._set(leaf, torch.full(leaf.shape, torch.inf, dtype=torch.float64))
            elif not operands.are_exact:
                self.lost = "Python read a number that was rounded"
        return result

    def _write(self, kernel: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A call in place: what the same call returns, written into its first argument."""
        name = kernel.overloadpacket.__name__
        packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
        if name in _DRAWS:
            self._set(args[0], None)
            return kernel(*args, **kwargs)
        if torch.Tag.inplace_view in kernel.tags and not name.startswith(("resize", "set")):
            return kernel(*args, **kwargs)  # the same memory, seen in another way
        if packet is None or not name.endswith("_") or "out" in kwargs:
            self.lost = f"{name} writes into its arguments"
            return kernel(*args, **kwargs)
        with self._again():
            found = packet(*args, **kwargs)
        if found.shape != args[0].shape:
            self.lost = f"{name} changes a shape"
            return kernel(*args, **kwargs)
        self._set(args[0], self.bound(found))
        args[0].copy_(found)
        return args[0]

    def _set(self, tensor: Any, bound: Bound) -> None:
        """Notes the bounds of a tensor."""
        if not isinstance(tensor, _T) or (bound is None and self.bound(tensor) is None):
            return
        storage = tensor.untyped_storage()
        if not storage.data_ptr():
            return
        if storage.data_ptr() not in self._shadows:
            shadow = torch.zeros(storage.nbytes() // tensor.element_size(), dtype=torch.float64)
            self._shadows[storage.data_ptr()] = storage, shadow
        mine = self.bound(tensor)
        assert mine is not None
        bound = torch.zeros_like(mine) if bound is None else bound.expand(mine.shape)
        for axis, stride in enumerate(mine.stride()):
            if stride == 0 and mine.shape[axis] > 1:  # one number that is seen several times
                mine, bound = mine.narrow(axis, 0, 1), bound.amax(axis, keepdim=True)
        mine.copy_(bound.nan_to_num(torch.inf, torch.inf))

    def _sweep(self) -> None:
        """Forgets the memory that nobody else holds."""
        self._calls += 1
        if self._calls % _MANY:
            return
        for address, (storage, _) in [*self._shadows.items()]:
            if torch._C._storage_Use_Count(storage._cdata) == 1:
                del self._shadows[address]


@final
class _Exits(TorchFunctionMode):
    """Sees numbers leave torch: what comes of them has no bounds."""

    def __init__(self, run: RunningError) -> None:
        super().__init__()
        self._run = run

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _WAYS_OUT and self._run.bound(args[0]) is not None:
            self._run.lost = "numbers left torch"
        return func(*args, **(kwargs or {}))
