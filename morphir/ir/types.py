"""The type of a value: a dtype and a shape whose batch dimension may be symbolic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

_SHORT_DTYPES: dict[torch.dtype, str] = {
    torch.float64: "f64",
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.complex64: "c64",
    torch.complex128: "c128",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "bool",
}
_LONG_DTYPES = {short: dtype for dtype, short in _SHORT_DTYPES.items()}


@final
@dataclass(frozen=True, slots=True)
class Batch:
    """A dimension that is `multiple` times the batch size, printed `B` or `3*B`."""

    multiple: int = 1

    def __str__(self) -> str:
        return "B" if self.multiple == 1 else f"{self.multiple}*B"


Dim = int | Batch


def parse_dim(text: str) -> Dim:
    """Reads what `str(dim)` printed.

    Raises:
        ValueError: It is no dimension.
    """
    if text == "B":
        return Batch()
    return Batch(int(text.removesuffix("*B"))) if text.endswith("*B") else int(text)


def dtype_name(dtype: torch.dtype) -> str:
    """Names a dtype as the text form does: `f32`, or torch's own name for a rare one."""
    return _SHORT_DTYPES.get(dtype) or str(dtype).removeprefix("torch.")


def parse_dtype(text: str) -> torch.dtype:
    """Reads what `dtype_name` printed.

    Raises:
        ValueError: `text` names no dtype.
    """
    dtype = _LONG_DTYPES.get(text) or getattr(torch, text, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{text!r} is not a dtype")
    return dtype


@final
@dataclass(frozen=True, slots=True)
class TensorType:
    """A dtype and a shape, printed `f32[B, 64]`."""

    dtype: torch.dtype
    shape: tuple[Dim, ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> TensorType:
        """The concrete type of a tensor."""
        return cls(tensor.dtype, tuple(int(size) for size in tensor.shape))

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """Reads what `str(type)` printed."""
        name, _, dims = text.removesuffix("]").partition("[")
        return cls(parse_dtype(name), tuple(parse_dim(d.strip()) for d in dims.split(",") if d))

    def sizes(self, batch: int) -> tuple[int, ...]:
        """The concrete shape at a batch size."""
        return tuple(d.multiple * batch if isinstance(d, Batch) else d for d in self.shape)

    def __str__(self) -> str:
        return f"{dtype_name(self.dtype)}[{', '.join(map(str, self.shape))}]"
