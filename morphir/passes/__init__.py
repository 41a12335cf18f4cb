"""The passes."""

from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.compact import CompactPass
from morphir.passes.deeper import DeeperPass
from morphir.passes.extend import ExtendInputPass, ExtendOutputPass
from morphir.passes.prune import PruneDormantPass
from morphir.passes.shallower import ShallowerPass
from morphir.passes.wider import WiderPass

__all__ = [
    "CompactPass",
    "DeeperPass",
    "ExtendInputPass",
    "ExtendOutputPass",
    "MorphismPass",
    "PruneDormantPass",
    "Refusal",
    "ShallowerPass",
    "WiderPass",
]
