"""The edit that says which numbers of parameters are in use from now on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch


@final
@dataclass(frozen=True, eq=False)
class Masking:
    """New masks of parameters, of which some may have had none.

    Attributes:
        at: What was asked for, for messages.
        law: The law that it follows.
        masks: Parameter to its new mask, in the parameter's dtype.
        numbers: Parameter to its new numbers, for those that are not just 0 where the mask is now.
        spec: JSON-ready description.
        keeps: Whether it claims to keep the function.
    """

    at: str
    law: str
    masks: Mapping[str, torch.Tensor]
    spec: Mapping[str, Any]
    numbers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    keeps: bool = True
