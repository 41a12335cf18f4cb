"""Refuses a method of whose amounts (NE-3) nothing is left at any event."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from morphir.passes.densities import densities
from morphir_agents.errors import ConfigError

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig

__all__ = ["refuse_rounded_away"]


def refuse_rounded_away(config: TD3RunConfig) -> None:
    """Refuse a run in which a method would never grow or move a weight, since it is less than one.

    Only a run that is to begin is asked, as of options that are not used.

    Raises:
        ConfigError: At every event each layer would have less than one.
    """
    method, moves = config.method, config.method.kind == "rigl"
    if not method.uses("amount"):
        return
    amount, count = method.amount.ending(config.last_step), _largest(config, moves)
    step = max(_largest_at(config), key=amount.share)
    if amount.count(count, step):
        return
    whole = replace(amount, rate=1.0)
    remedy = (
        f"larger --method.amount.rate, such as {min(1.0, 2 / (count * whole.share(step))):.2g}"
        if whole.count(count, step)
        else "smaller --method.every, wider networks, or another --method.density"
    )
    raise ConfigError(
        f"At its events --method {method.kind} would {'move' if moves else 'grow'} at most "
        f"{amount.share(step):.2g} of a layer's {count:,} weights that are "
        f"{'' if moves else 'not '}in use, which is less than one: nothing would ever happen. Give "
        f"a longer run, or a {remedy}."
    )


def _largest(config: TD3RunConfig, moves: bool) -> int:
    """How many weights are in use at first of the layer that has most, or are not."""
    shapes = [*pairwise(config.network.widths)]
    found = []
    for networks in (1, 2):  # the actor, and both critics together
        own = {f"{n} {i}": each for n in range(networks) for i, each in enumerate(shapes)}
        for name, share in densities(own, config.method.density).items():
            before, after = own[name]
            unused = int((1 - share) * before * after)
            found.append(before * after - unused if moves else unused)
    return max(found)


def _largest_at(config: TD3RunConfig) -> list[int]:
    """The steps of the events among which is the largest share: it rises, if it does, to `warm`."""
    method, steps = config.method, range(config.last_step + 1)
    warm = method.amount.warm if method.amount.shape == "warm_decay" else 0
    after = config.updates_by(max(warm - 1, 0)) // method.every * method.every + method.every
    last = config.updates_by(config.last_step)
    updates = [each for each in (after - method.every, after) if method.every <= each <= last]
    return [bisect_left(steps, update, key=config.updates_by) for update in updates]
