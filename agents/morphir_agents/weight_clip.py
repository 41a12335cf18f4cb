"""Weight clipping (Elsayed et al. 2024): parameters stay near where they were initialised.

    NE-1   after a step every weight w and bias b of a layer with n inputs has
           |w|, |b| <= kappa / sqrt(n)

That is kappa times the range from which torch draws them. Neuroplastic Expansion clips in all
methods that it compares, with kappa = 3 on MuJoCo and 2 with images (appendix).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import nn

from morphir_agents.heads import HeadLayer

__all__ = ["WeightClip"]

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@final
class WeightClip:
    """Clips the layers of a network as it is; after it was changed, build another.

    Args:
        network: Its Linear layers and convolutions are clipped; where tasks have heads, that of the
            task which is learned.
        kappa: How many times the range of torch's initialisation is allowed.
    """

    def __init__(self, network: nn.Module, kappa: float) -> None:
        self._parameters: list[torch.Tensor] = []
        self._bounds: list[float] = []
        for layer in network.modules():
            if isinstance(layer, _LAYERS):
                weight, bias = layer.weight, layer.bias
                if isinstance(layer, HeadLayer):
                    weight, bias = layer.used(layer.weight, layer.bias)
                own = [each for each in (weight, bias) if each is not None]
                self._parameters += own
                self._bounds += [kappa / math.sqrt(weight[0].numel())] * len(own)

    @torch.no_grad()
    def apply(self) -> None:
        """Clip every parameter, in place (NE-1)."""
        if self._parameters:
            torch._foreach_clamp_max_(self._parameters, self._bounds)
            torch._foreach_clamp_min_(self._parameters, [-bound for bound in self._bounds])
