"""Equality of tensors to the bit."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import torch
import xxhash

from morphir.tensors import equal_numbers, words

_IN_NUMPY: Final = (torch.float32, torch.float64, torch.int64)


def equal_bits(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Whether two tensors have the same dtype, shape and bits: NaN equals itself, -0.0 is not 0.0.

    Tensors without numbers (of a parsed program, on the meta device) and those whose bits can't be
    had (sparse, quantised) equal nothing but themselves.
    """
    if a is None or b is None:
        return False
    if a is b:
        return not a.is_meta
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    left, right = bits(a), bits(b)
    if left is None or right is None:
        return False
    return equal_numbers(left, torch.as_tensor(right, device=left.device))


def bits(tensor: torch.Tensor) -> torch.Tensor | None:
    """A tensor's bits as whole numbers, None where they can't be had."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return None
    return words(tensor)


def digest(tensor: torch.Tensor) -> str | None:
    """A hash of dtype, shape and bits that a proof may rest on, or None where there are no bits."""
    content = _bytes(tensor)
    if content is None:
        return None
    found = hashlib.sha256(_form(tensor).encode())
    found.update(content)
    return found.hexdigest()


def fingerprint(tensor: torch.Tensor) -> str | None:
    """The same, and much quicker: no accident leaves it as it was, but somebody might."""
    content = _bytes(tensor)
    return None if content is None else f"{_form(tensor)}{xxhash.xxh3_128_hexdigest(content)}"


def _form(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} "


def _bytes(tensor: torch.Tensor) -> memoryview | None:
    if tensor.is_cpu and tensor.dtype in _IN_NUMPY and tensor.layout is torch.strided:
        array = tensor.numpy(force=True)  # in a quarter of the time
        return np.ascontiguousarray(array).data
    content = bits(tensor)
    return None if content is None else content.contiguous().cpu().numpy().data
