"""Refuses a method that would never act, since the run or its growth ends before it could."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from morphir_agents.errors import ConfigError

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig

__all__ = ["refuse_idle"]

_OFTEN: Final[Mapping[str, int]] = {"every": 10, "reset_every": 2, "inject_at": 2}
"""Which settings say when a method acts first, and how often it could with the proposed value."""


def refuse_idle(config: TD3RunConfig) -> None:
    """Refuse a run in which a method would do nothing, since it is too short.

    Raises:
        ConfigError: No event could happen, or none before growth ends.
    """
    method, last_step = config.method, config.last_step
    name = next(filter(method.uses, _OFTEN), None)
    if name is None:
        return
    value, idle = getattr(method, name), f"--method {method.kind} would never act."
    by_amount = method.uses("amount")
    end = min(method.amount.ending(last_step).end, last_step) if by_amount else last_step
    is_before = by_amount or name == "reset_every"  # a network that was reset has to learn
    updates = config.updates_by(last_step)
    most = config.updates_by(end - 1) if is_before else updates
    if value <= most:
        return
    if not config.updates_by(last_step - is_before):
        raise ConfigError(
            f"the run makes no updates{' before its last step' if updates else ''}: {idle} Give "
            f"--td3.total-steps more than td3.random_steps, {config.td3.random_steps:,}"
            f"{', for each visit' if config.cycle.tasks else ''}."
        )
    if not most:
        raise ConfigError(
            f"method.amount.end is {end:,}, and no update is made before that: {idle} Give a "
            f"larger one, such as --method.amount.end {last_step}."
        )
    where = "the method ends (method.amount.end)" if by_amount else "the run ends"
    until = f" before step {end:,}, where {where}"
    raise ConfigError(
        f"method.{name} is {value:,}, and the run makes "
        f"{f'{updates:,} updates' if value > updates else f'{most:,} updates{until}'}: {idle} Give "
        f"a smaller one, such as --method.{name.replace('_', '-')} {max(1, most // _OFTEN[name])}."
    )
