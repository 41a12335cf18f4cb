"""The passes."""

from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.deeper import DeeperPass
from morphir.passes.wider import WiderPass

__all__ = ["DeeperPass", "MorphismPass", "Refusal", "WiderPass"]
