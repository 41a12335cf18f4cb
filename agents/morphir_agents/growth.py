"""When a network grows and by which passes.

GROW-1   an event at step s happens exactly once: right after the first update that ends at a
         step >= s (before the first update if s is 0)
GROW-2   evenly spaced over n depths: event k of n - 1 is at k * total_steps / n
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, final

import torch

import morphir
from morphir_agents.errors import ConfigError

if TYPE_CHECKING:
    from morphir_agents.networks import Agent

__all__ = [
    "BlockKind",
    "Deepen",
    "GrowthConfig",
    "GrowthEvent",
    "GrowthRecord",
    "as_schedule",
    "grow",
]

BlockKind = Literal["identity", "residual", "parametric"]


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
class GrowthConfig:
    """How the network deepens during the run."""

    depths: tuple[int, ...] = ()
    """Depths to grow to, in order, such as 2 4 8; none: the network keeps its size."""
    steps: tuple[int, ...] = ()
    """Environment steps at which to grow, one per depth; none: evenly spaced, as in GrowNN."""
    block: BlockKind = "identity"
    """What a new layer is: identity (after relu only), residual or parametric (after anything)."""

    def __post_init__(self) -> None:
        if self.steps and len(self.steps) != len(self.depths):
            raise ConfigError(
                f"growth.steps has {len(self.steps)} entries and growth.depths "
                f"{len(self.depths)}; give one step per depth, or no steps at all for even spacing."
            )
        for name, numbers in (("steps", self.steps), ("depths", self.depths)):
            if any(a >= b for a, b in itertools.pairwise(numbers)) or min(numbers, default=1) < 1:
                raise ConfigError(
                    f"growth.{name} is {numbers}; expected increasing positive numbers."
                )

    def schedule(self, start: int, total_steps: int) -> tuple[GrowthEvent, ...]:
        """The events of a run that starts with `start` hidden layers."""
        if self.depths and self.depths[0] <= start:
            raise ConfigError(
                f"growth.depths begins with {self.depths[0]}, but the network starts with {start} "
                "hidden layer(s); each depth must be larger than the one before."
            )
        if self.steps and self.steps[-1] >= total_steps:
            raise ConfigError(
                f"growth.steps ends at {self.steps[-1]:,}, but the run has {total_steps:,} steps. "
                "Give earlier steps, or `--growth.steps` without numbers for even spacing."
            )
        phases = len(self.depths) + 1
        steps = self.steps or [k * total_steps // phases for k in range(1, phases)]
        return tuple(
            GrowthEvent(step, (Deepen(depth, self.block),))
            for step, depth in zip(steps, self.depths, strict=True)
        )


@final
@dataclass(frozen=True)
class GrowthEvent:
    """At a step, some passes: morphir's, or `Deepen`, which names them when it sees the agent."""

    step: int
    changes: tuple[Any, ...]

    def passes(self, agent: Agent) -> list[Any]:
        """The morphir passes of this event."""
        found: list[Any] = []
        for change in self.changes:
            found += change.passes(agent) if isinstance(change, Deepen) else [change]
        return found


@final
@dataclass(frozen=True)
class GrowthRecord:
    """What a growth event did, with its verdict and its cost."""

    step: int
    layers_before: int
    layers_after: int
    parameters_before: int
    parameters_after: int
    grade: str
    milliseconds: float
    passes: tuple[str, ...]
    report: str


def as_schedule(pairs: Sequence[tuple[int, Any]]) -> tuple[GrowthEvent, ...]:
    """A schedule from (step, pass) or (step, list of passes) pairs."""
    events = [
        GrowthEvent(int(step), tuple(change) if isinstance(change, (list, tuple)) else (change,))
        for step, change in pairs
    ]
    if any(a.step > b.step for a, b in itertools.pairwise(events)):
        raise ConfigError(
            f"The growth steps are {[e.step for e in events]}; expected them in order."
        )
    return tuple(events)


def grow(
    agent: Agent,
    optimizer: torch.optim.Optimizer,
    event: GrowthEvent,
    observation: torch.Tensor,
    step: int,
) -> tuple[Agent, torch.optim.Optimizer, GrowthRecord] | None:
    """Apply an event in place, keeping the function; None if there was nothing left to do.

    Args:
        agent: What grows.
        optimizer: Its optimizer; the state of existing parameters stays.
        event: The passes.
        observation: A batch of encoded observations, to record the agent with.
        step: The step to note in the record.
    """
    passes = event.passes(agent)
    if not passes:
        return None
    with torch.no_grad():
        action = agent.act(observation)
    layers, parameters = agent.hidden_layers, _count(agent)

    start = time.perf_counter()
    result = morphir.transform(
        agent,
        passes,
        optimizer=optimizer,
        example_inputs={
            "get_value": (observation,),
            "get_action_and_value": (observation, action),
        },
        entry_points=("get_value", "get_action_and_value"),
        inplace=True,
    )
    milliseconds = 1000 * (time.perf_counter() - start)

    grown = cast("Agent", result.module)
    record = GrowthRecord(
        step=step,
        layers_before=layers,
        layers_after=grown.hidden_layers,
        parameters_before=parameters,
        parameters_after=_count(grown),
        grade=result.report.grade.name,
        milliseconds=round(milliseconds, 3),
        passes=tuple(repr(p) for p in passes),
        report=str(result.report),
    )
    return grown, result.optimizer, record


def _count(agent: Agent) -> int:
    return sum(parameter.numel() for parameter in agent.parameters())
