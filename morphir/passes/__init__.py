"""The passes."""

from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.compact import CompactPass
from morphir.passes.deeper import DeeperPass
from morphir.passes.extend import ExtendInputPass, ExtendOutputPass
from morphir.passes.inject import InjectPlasticityPass
from morphir.passes.mask_grow import MaskGrowPass
from morphir.passes.prune import PruneDormantPass
from morphir.passes.recycle import RecycleDormantPass
from morphir.passes.reset import ResetPass
from morphir.passes.shallower import ShallowerPass
from morphir.passes.sparsify import SparsifyPass
from morphir.passes.wider import WiderPass

__all__ = [
    "CompactPass",
    "DeeperPass",
    "ExtendInputPass",
    "ExtendOutputPass",
    "InjectPlasticityPass",
    "MaskGrowPass",
    "MorphismPass",
    "PruneDormantPass",
    "RecycleDormantPass",
    "Refusal",
    "ResetPass",
    "ShallowerPass",
    "SparsifyPass",
    "WiderPass",
]
