"""How the ops of `torch.ops.aten` are computed on residues."""

from typing import Final

from morphir.field.kernels import (
    arithmetic,
    composed,
    gates,
    linear,
    making,
    moving,
    ordering,
    sampling,
    smooth,
)
from morphir.field.residues import Kernels as _Kernels

KERNELS: Final = _Kernels(
    making.MAKERS,
    {
        **moving.COMPUTED,
        **arithmetic.COMPUTED,
        **linear.COMPUTED,
        **gates.COMPUTED,
        **smooth.COMPUTED,
        **ordering.COMPUTED,
        **composed.COMPUTED,
        **sampling.COMPUTED,
    },
    moving.MOVING,
)

__all__ = ["KERNELS"]
