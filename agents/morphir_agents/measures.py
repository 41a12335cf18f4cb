"""The columns of a run's log that say how plastic its networks still are.

    PLASTIC-5   measuring changes nothing: a run ends with the same bits, however often it is logged

A network's hidden layers are its ReLU modules, wherever they lie: their outputs are its units, and
those of the last one that runs are its features. They are named as `named_modules()` names them,
so a layer keeps its columns when others are inserted, widened or normalised. Of a network in which
plasticity was injected the copy that learns is measured.

Of actor and critic (both critics together) the columns are:

    actor/dormant        share of dormant units (PLASTIC-1); actor/dormant/1 is that of layer 1
    actor/activated      share of activations above 0 (PLASTIC-2); actor/activated/1 likewise
    actor/density        share of the weights in use of layers that have masks
    actor/rank           effective rank of the features (PLASTIC-3), of the critics their mean
    actor/gradient_norm  norm of the gradients that the parameters hold
    actor/weight_norm    norm of the parameters
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import morphir
from morphir_agents.learning_part import learning_part
from morphir_agents.plasticity import (
    Activations,
    activated_ratios,
    dormant_ratios,
    effective_rank,
    gradient_norm,
    weight_norm,
)

if TYPE_CHECKING:
    from morphir_agents.replay import Batch
    from morphir_agents.td3_networks import TD3Agent

__all__ = ["density", "hidden_activations", "measures"]


def measures(agent: TD3Agent, batch: Batch) -> dict[str, float]:
    """The measures of actor and critics on a batch, by column."""
    return {
        **_columns("actor", [agent.actor], batch.observations),
        **_columns("critic", agent.critics, batch.inputs),
    }


def density(networks: Sequence[nn.Module]) -> float | None:
    """The share of the weights in use of the layers that have masks; None if there are none."""
    masks = [mask for each in networks for mask in morphir.Masks(each).masks.values()]
    if not masks:
        return None
    return sum(int(mask.count_nonzero()) for mask in masks) / sum(mask.numel() for mask in masks)


def hidden_activations(network: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """What a network's ReLU modules give for these inputs, in the order in which they run."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, given, output: found.update({name: output})

    with ExitStack() as hooks, torch.no_grad():
        for name, module in learning_part(network).named_modules():
            if isinstance(module, nn.ReLU):
                hooks.callback(module.register_forward_hook(keep(name)).remove)
        network(inputs)
    return found


def _columns(name: str, networks: Sequence[nn.Module], inputs: Tensor) -> dict[str, float]:
    layers = [hidden_activations(network, inputs) for network in networks]
    parts = [learning_part(network) for network in networks]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    used = density(parts)
    return {
        **({} if used is None else {f"{name}/density": used}),
        **_ratios(f"{name}/dormant", dormant_ratios, layers),
        **_ratios(f"{name}/activated", activated_ratios, layers),
        f"{name}/rank": fmean(_rank([*each.values()][-1]) for each in layers),
        f"{name}/gradient_norm": gradient_norm(parameters),
        f"{name}/weight_norm": weight_norm(parameters),
    }


def _ratios(
    column: str, ratios: Callable[[Activations], dict[str, float]], networks: Sequence[Activations]
) -> dict[str, float]:
    """A ratio over all networks together, and over their layers of the same name."""
    every = {
        f"{i} {name}": found for i, each in enumerate(networks) for name, found in each.items()
    }
    columns = {column: ratios(every)["all"]}
    for name in dict.fromkeys(name for each in networks for name in each):
        alike = {str(i): each[name] for i, each in enumerate(networks) if name in each}
        columns[f"{column}/{name}"] = ratios(alike)["all"]
    return columns


def _rank(features: Tensor) -> float:
    """Not a number if the features are not: a run that has diverged is logged to its end."""
    return float(effective_rank(features)) if features.isfinite().all() else math.nan
