"""Nested plain data and tensors as JSON with the tensors aside, and back.

Lists, tuples and dicts keep their kind, numbers their value; what is no plain data is refused, so
reading never has to run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from morphir.errors import RefusalError

_PLAIN: Final = (bool, int, float, str, type(None))


def pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Turns a value into what JSON can hold; its tensors go into `tensors`, as `name/...`.

    Raises:
        RefusalError: It holds something else than plain data and tensors.
    """
    if isinstance(value, torch.Tensor):
        if name in tensors:
            raise RefusalError(f"two tensors would be stored under the name {name!r}")
        tensors[name] = value.detach()
        return {"tensor": name}
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [pack(part, f"{name}/{i}", tensors) for i, part in enumerate(value)]}
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {"dict": {k: pack(part, f"{name}/{k}", tensors) for k, part in value.items()}}
    raise RefusalError(
        f"{name} is a {type(value).__name__}, which can't be saved without pickle",
        suggestions=["numbers, strings, tensors, and lists, tuples and dicts of them"],
    )


def unpack(packed: Any, tensor: Callable[[str], torch.Tensor]) -> Any:
    """Turns back what `pack` made; `tensor` gives a tensor by its name.

    Raises:
        ValueError: It is not what `pack` made.
    """
    if type(packed) in _PLAIN:
        return packed
    match packed:
        case {"tensor": str(name)}:
            return tensor(name)
        case {"list": list(parts)}:
            return [unpack(part, tensor) for part in parts]
        case {"tuple": list(parts)}:
            return tuple(unpack(part, tensor) for part in parts)
        case {"dict": dict(parts)}:
            return {key: unpack(part, tensor) for key, part in parts.items()}
    raise ValueError(f"not packed data: {packed!r}")
