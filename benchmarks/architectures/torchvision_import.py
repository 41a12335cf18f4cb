"""Imports torchvision, whose models need none of its compiled operators."""

from __future__ import annotations

import sys
from types import ModuleType

from torch.library import Library


def import_torchvision() -> ModuleType:
    """Imports it also where it was built for another torch, and its operators can't be loaded."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            _LIBRARY.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        import torchvision
    return torchvision


_LIBRARY = Library("torchvision", "FRAGMENT")
