"""How dense each layer of a sparse network is.

    MASK-6   uniform: every layer has the density that was asked for. Erdos-Renyi: that of a layer
             is proportional to the sum of its sizes over their product, such that all together have
             the density that was asked for; where this would be more than 1 the layer is dense,
             and the others share what is left

Mocanu et al. 2018 (eq. 3) for matrices; Evci et al. 2020 (RigL, appendix H) for kernels, whose taps
count as well, and for the layers that are dense.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import floor, prod
from typing import Literal

Distribution = Literal["erdos_renyi", "uniform"]
Shape = tuple[int, ...]


def whole(number: float) -> int:
    """The largest integer that is not above a number, but for what rounding took from that."""
    return floor(number + 1e-6)


def densities(
    shapes: Mapping[str, Shape],
    density: float,
    distribution: Distribution = "erdos_renyi",
    dense: Collection[str] = (),
) -> dict[str, float]:
    """The density of each layer (MASK-6).

    Args:
        shapes: The shapes of their weights by name.
        density: Of all their weights together, the dense ones among them; with `"uniform"` of each
            layer that is not dense.
        distribution: How it is shared.
        dense: The layers that have all of their weights.

    Raises:
        ValueError: The dense ones alone are denser than that.
    """
    if distribution == "uniform":
        return {name: 1.0 if name in dense else density for name in shapes}
    full = {*dense}
    while True:
        sparse = [name for name in shapes if name not in full]
        left = density * sum(map(prod, shapes.values())) - sum(prod(shapes[n]) for n in full)
        if left < 0 or (left == 0 and sparse):
            raise ValueError(f"{sum(prod(shapes[n]) for n in full)} weights are in dense layers")
        scale = left / sum(sum(shapes[name]) for name in sparse) if sparse else 0.0
        found = {n: 1.0 if n in full else scale * sum(s) / prod(s) for n, s in shapes.items()}
        densest = max(shapes, key=lambda name: found[name])
        if found[densest] <= 1:
            return found
        full.add(densest)
