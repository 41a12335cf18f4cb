"""Where in the user's code something happened, for messages."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

import torch

_TORCH: Final = str(Path(torch.__file__).parent)
_HERE: Final = str(Path(__file__).parent.parent)
_LIBRARIES: Final = (_TORCH, _HERE, "<")
# Between a statement that uses a tensor and the function that does the work.
_TRANSPARENT: Final = (_HERE, f"{_TORCH}/_tensor.py", f"{_TORCH}/overrides.py")


def source_line() -> str:
    """`file:line` of the nearest frame outside torch and this package, or "" without one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_LIBRARIES):
            return f"{name.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def raised_at(error: BaseException, names: Mapping[int, str]) -> list[str]:
    """The innermost module that ran, and the last line outside torch and this package.

    Args:
        error: What was raised.
        names: Identity of each module to its qualified name.
    """
    module = line = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        module = names.get(id(frame.f_locals.get("self")), module)
        file = frame.f_code.co_filename
        if not file.startswith(_LIBRARIES):
            line = f"{file.rpartition('/')[2]}:{number}"
    return [*filter(None, (module, line))]


def is_called_by_torch() -> bool:
    """Whether the statement that led here is torch's own."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_TRANSPARENT) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(_TORCH)
