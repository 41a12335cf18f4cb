"""What is done to the networks of TD3 while they learn, beside learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morphir_agents.methods.base import Method, MethodEvent
from morphir_agents.methods.config import MethodConfig
from morphir_agents.methods.injecting import Injecting
from morphir_agents.methods.neuroplastic import Neuroplastic
from morphir_agents.methods.recycling import Recycling
from morphir_agents.methods.released import Released
from morphir_agents.methods.resetting import Resetting
from morphir_agents.methods.rigged import Rigged

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig

__all__ = ["Method", "MethodConfig", "MethodEvent", "method_of"]

_KINDS: dict[str, type[Method]] = {
    "ne": Neuroplastic,
    "ne-no-pruning": Neuroplastic,
    "ne-no-review": Neuroplastic,
    "random-growth": Neuroplastic,
    "static-sparse": Neuroplastic,
    "rigl": Rigged,
    "redo": Recycling,
    "reset": Resetting,
    "injection": Injecting,
}


def method_of(config: TD3RunConfig) -> Method:
    """The method of a run; those that only build other networks do nothing while these learn."""
    if config.method.as_released:
        return Released(config)
    return _KINDS.get(config.method.kind, Method)(config)
