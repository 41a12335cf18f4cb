"""The networks that a method starts with."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from morphir_agents.errors import ConfigError

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.td3_networks import TD3NetworkConfig

__all__ = ["narrowed", "network_of", "refuse_one_layer"]


def refuse_one_layer(config: TD3RunConfig) -> None:
    """Refuse networks without a layer that the method is about.

    Raises:
        ConfigError: They have one hidden layer only.
    """
    widths, method = config.network.widths, config.method
    if len(widths) == 1 and method.uses("density"):
        raise ConfigError(
            f"network.widths is {widths}, and --method {method.kind} is about the layers between "
            "two hidden ones: the first and the last layer stay dense. Give two widths or more, "
            f"such as --network.widths {widths[0]} {widths[0]}."
        )


def network_of(config: TD3RunConfig, observation: int, action: int) -> TD3NetworkConfig:
    """The networks of a run, as its method wants them.

    Args:
        config: The run.
        observation: Numbers per observation.
        action: Numbers per action.
    """
    network, method = config.network, config.method
    if method.kind == "layer-norm":
        return replace(network, layer_norm=True)
    if method.kind == "small-dense":
        widths = narrowed(network.widths, observation + action, method.density)
        return replace(network, widths=widths)
    return network


def narrowed(widths: tuple[int, ...], inputs: int, density: float) -> tuple[int, ...]:
    """The widest layers in these proportions whose critic has no more weights than a sparse one.

    Args:
        widths: Units of the hidden layers.
        inputs: Inputs of a critic.
        density: Of the sparse layers: all but the first and the last one.
    """
    first, *between, last = _weights(widths, inputs)
    limit = first + density * sum(between) + last
    for width in range(max(widths), 1, -1):
        found = tuple(max(1, each * width // max(widths)) for each in widths)
        if sum(_weights(found, inputs)) <= limit:
            return found
    return tuple(1 for _ in widths)


def _weights(widths: tuple[int, ...], inputs: int) -> list[int]:
    """How many each layer of a critic has."""
    return [before * after for before, after in pairwise([inputs, *widths, 1])]
