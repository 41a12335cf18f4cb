"""Builds what a run begins with, to refuse what can't be built before anything is written."""

from __future__ import annotations

from morphir_agents.config import BaseRunConfig, RunConfig, TD3RunConfig
from morphir_agents.methods.rounding import refuse_rounded_away
from morphir_agents.methods.unused import refuse_unused
from morphir_agents.networks import build_agent
from morphir_agents.td3_trainer import agents_of

__all__ = ["rehearse"]


def rehearse(config: BaseRunConfig) -> None:
    """Make the tasks and the networks of a run once, and throw them away.

    Raises:
        AgentsError: There is no such task, or no such networks for it, or its method, or
            an option of that, would do nothing.
    """
    if isinstance(config, TD3RunConfig):
        refuse_unused(config.method)
        refuse_rounded_away(config)
        agents_of(config)()
        return
    assert isinstance(config, RunConfig)
    env = config.env.make()
    env.close()
    build_agent(config.network, config.env.encoding(), env.action_space, config.seed)
