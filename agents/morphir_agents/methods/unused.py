"""Refuses options that the method of a run does not use."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from morphir_agents.errors import ConfigError
from morphir_agents.methods.config import USED_BY, MethodConfig

__all__ = ["refuse_unused"]


def refuse_unused(method: MethodConfig) -> None:
    """Refuse an option that was given and would do nothing.

    Only a run that is to begin is asked: one that was begun can go on, whatever its options were.

    Raises:
        ConfigError: An option has another value than it has by default, for nothing.
    """
    for option, methods in USED_BY.items():
        if method.uses(option):
            continue
        for name, value in _given(option, method, MethodConfig()):
            how = " with --method.as-released" if method.as_released else ""
            instead = (
                "Leave one of them out."
                if method.as_released
                else f"Leave it out, or give another method: {', '.join(methods)}."
            )
            raise ConfigError(
                f"method.{name} is {value}, and --method {method.kind}{how} doesn't use it. "
                f"{instead}"
            )
    amount = method.amount
    if amount.warm and amount.shape != "warm_decay":
        raise ConfigError(
            f"method.amount.warm is {amount.warm:,}, and method.amount.shape {amount.shape!r} "
            "doesn't use it. Leave it out, or add --method.amount.shape warm_decay."
        )


def _given(name: str, own: Any, usual: Any) -> Iterator[tuple[str, Any]]:
    """The options of this name that differ, or those in it."""
    value, other = (getattr(each, name.rpartition(".")[2]) for each in (own, usual))
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _given(f"{name}.{field.name}", value, other)
    elif value != other:
        yield name, value
