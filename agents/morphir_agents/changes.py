"""What an event does to an agent: deepen or widen every trunk, as morphir's passes.

They say where to end, not what to add, so they can be planned before the agent exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from torch import nn

import morphir

if TYPE_CHECKING:
    from morphir_agents.networks import Agent

__all__ = ["BlockKind", "Deepen", "UnitKind", "Widen"]

BlockKind = Literal["identity", "residual", "parametric"]
UnitKind = Literal["copy", "fresh"]


@final
@dataclass(frozen=True)
class Deepen:
    """Deepen every trunk of the agent to `depth` hidden layers, by blocks at its end."""

    depth: int
    block: BlockKind = "identity"

    def passes(self, agent: Agent) -> list[Any]:
        """One `DeeperPass` per missing layer and trunk."""
        missing = self.depth - agent.hidden_layers
        last = {trunk: list(agent.get_submodule(trunk)._modules)[-1] for trunk in agent.trunks}
        return [
            morphir.DeeperPass(at=f"{trunk}.{name}", block=self.block)
            for trunk, name in last.items()
            for _ in range(missing)
        ]


@final
@dataclass(frozen=True)
class Widen:
    """Widen every hidden layer of every trunk of the agent to `width` units."""

    width: int
    init: UnitKind = "copy"
    seed: int = 0

    def passes(self, agent: Agent) -> list[Any]:
        """One `WiderPass` over all layers that are narrower, or none."""
        narrower = [
            f"{trunk}.{name}"
            for trunk in agent.trunks
            for name, module in agent.get_submodule(trunk).named_modules()
            if isinstance(module, nn.Linear) and module.out_features < self.width
        ]
        if not narrower:
            return []
        return [morphir.WiderPass(at=narrower, width=self.width, init=self.init, seed=self.seed)]
