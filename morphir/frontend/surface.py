"""Which torch functions read no elements, read sizes, hand out memory; what each is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import torch
from torch.overrides import resolve_name

_T = torch.Tensor
_PROPERTIES: Final = (
    "dtype", "device", "layout", "is_cuda", "is_sparse", "is_quantized", "is_meta", "requires_grad",
    "ndim", "is_leaf", "grad_fn", "grad", "names", "itemsize", "nbytes", "is_mps", "is_xpu",
    "is_mkldnn", "is_nested", "_version", "output_nr", "name", "_backward_hooks",
)  # fmt: skip
_METHODS: Final = (
    "dim", "is_contiguous", "stride", "storage_offset", "is_floating_point", "is_complex",
    "is_signed", "element_size", "get_device", "ndimension", "is_inference", "is_conj", "is_neg",
    "is_pinned", "is_same_size", "requires_grad_", "retain_grad", "__hash__", "has_names",
    "register_hook", "_is_view", "is_set_to", "__dlpack_device__",
)  # fmt: skip

# Recorded without a node: dtype, strides, flags.
METADATA: Final[frozenset[Callable[..., Any]]] = frozenset(
    {getattr(_T, name).__get__ for name in _PROPERTIES if hasattr(_T, name)}
    | {getattr(_T, name) for name in _METHODS if hasattr(_T, name)}
    | {_T.requires_grad.__set__, _T.grad.__set__}  # type: ignore[attr-defined, union-attr]
    | {
        torch.is_floating_point, torch.is_complex, torch.is_tensor, torch.is_same_size,
        torch.result_type, torch.is_inference, torch.is_signed,
    }
)  # fmt: skip
SHAPES: Final[frozenset[Callable[..., Any]]] = frozenset({_T.shape.__get__, _T.size})  # type: ignore[attr-defined]
COUNTS: Final[frozenset[Callable[..., Any]]] = frozenset(
    {_T.numel, _T.nelement, torch.numel, _T.__len__}
)
# After these someone else may write to the memory without torch's knowledge.
EXPOSES_MEMORY: Final[frozenset[Callable[..., Any]]] = frozenset(
    {
        getattr(_T, name)
        for name in ["numpy", "__array__", "data_ptr", "untyped_storage", "storage", "__dlpack__"]
    }
    | {_T.__cuda_array_interface__.__get__}
)
DIFFERENTIATES: Final[frozenset[Callable[..., Any]]] = frozenset(
    {torch.autograd.grad, torch.autograd.backward, _T.backward, torch._make_dual}
)
ASSIGNS_DATA: Final[Callable[..., Any]] = _T.data.__set__  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)  # the search among torch's names is slow
def function_name(func: Callable[..., Any]) -> str:
    """The qualified name under which an undeclared callable can be found again."""
    if isinstance(func, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        return f"torch.ops.{func}"
    name = resolve_name(func)
    if name is None:
        module = getattr(func, "__module__", None) or "builtins"
        name = f"{module}.{getattr(func, '__qualname__', type(func).__name__)}"
    return str(name)
