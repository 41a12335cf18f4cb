"""The passes."""

from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.deeper import DeeperPass
from morphir.passes.prune import PruneDormantPass
from morphir.passes.wider import WiderPass

__all__ = ["DeeperPass", "MorphismPass", "PruneDormantPass", "Refusal", "WiderPass"]
