"""Whether any unit is dormant: a look that costs less than a pass which finds nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from morphir_agents.measures import hidden_activations
from morphir_agents.plasticity import dormant_scores

if TYPE_CHECKING:
    from morphir_agents.td3_networks import TD3Agent

__all__ = ["has_dormant"]


def has_dormant(agent: TD3Agent, seen: tuple[torch.Tensor, torch.Tensor], threshold: float) -> bool:
    """Whether a hidden unit of actor or critics has a score of at most the threshold.

    Args:
        agent: Its online networks are looked at.
        seen: Observations and actions.
        threshold: As for `dormant_ratios`.
    """
    inputs = torch.cat(seen, dim=-1)
    return any(
        bool((dormant_scores(each) <= threshold).any())
        for network, given in ((agent.actor, seen[0]), *((c, inputs) for c in agent.critics))
        for each in hidden_activations(network, given).values()
    )
