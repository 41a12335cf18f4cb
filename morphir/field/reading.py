"""What Python may read while a model runs on residues: no outcome of a comparison.

Which of two numbers is the larger one is made up in the field, so a path that Python takes by it is
not the path that it takes on floats. What comes of comparing residues is a plain tensor; it bears a
mark, and so does all that is computed of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch.overrides import TorchFunctionMode

from morphir.field.modular import Unsupported

_MARK: Final = "_compared"
# What hands numbers of a tensor to Python, as such or as a size, and what does so past all ops.
_READING: Final = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_READERS: Final = (
    torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.__dlpack__,
)  # fmt: skip
_REFUSAL: Final = "Python decides by a number that depends on the input"


def mark_compared(found: Sequence[Any]) -> None:
    """Marks the tensors among what comes of a comparison."""
    for leaf in found:
        if isinstance(leaf, torch.Tensor):
            setattr(_owner(leaf), _MARK, True)


def is_compared(leaf: Any) -> bool:
    """Whether something is a tensor that bears the mark, or shows the memory of one."""
    return isinstance(leaf, torch.Tensor) and getattr(_owner(leaf), _MARK, False)


def refuse_reading(func: Any, args: Sequence[Any], leaves: Sequence[Any]) -> None:
    """Lets an op be called whose outcome shows Python nothing of a comparison.

    Args:
        func: The op.
        args: Its arguments.
        leaves: The tensors among these, and other things.

    Raises:
        Unsupported: Its outcome is a number, or its size depends on one.
    """
    if not _READING.intersection(func.tags):
        return
    if func is torch.ops.aten.index.Tensor:  # as large as whole numbers, of a mask as it has it
        leaves = [each for each in args[1] if each is not None and each.dtype is torch.bool]
    if any(map(is_compared, leaves)):
        raise Unsupported(_REFUSAL)


@final
class Unread(TorchFunctionMode):
    """What models are called under: here Python would read without a call of an op."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls a function.

        Raises:
            Unsupported: It hands what comes of a comparison to Python.
        """
        if func in _READERS and is_compared(args[0]):
            raise Unsupported(_REFUSAL)
        return func(*args, **(kwargs or {}))


def _owner(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor whose memory a view shows."""
    return tensor if tensor._base is None else tensor._base
