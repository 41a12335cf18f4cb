"""The passes."""

from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.deeper import DeeperPass

__all__ = ["DeeperPass", "MorphismPass", "Refusal"]
