"""When a network grows, and to which size.

GROW-1   an event at step s happens exactly once: right after the first update that ends at a
         step >= s (before the first update if s is 0)
GROW-2   evenly spaced over n sizes: event k of n - 1 is at k * total_steps / n
GROW-3   event k brings the network to the k-th width, then to the k-th depth; where no widths are
         given, to w + floor(k w / m) units at event k of m, with w units at the start
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, final, get_args

import torch
import tyro

import morphir
from morphir_agents.changes import BlockKind, Deepen, UnitKind, Widen
from morphir_agents.errors import ConfigError

if TYPE_CHECKING:
    from morphir_agents.networks import Agent, NetworkConfig

__all__ = [
    "GrowthConfig",
    "GrowthEvent",
    "GrowthKind",
    "GrowthRecord",
    "as_schedule",
    "grow",
    "sizes_changed",
]

GrowthKind = Literal["deeper", "wider", "both"]


@final
@dataclass(frozen=True)
class GrowthConfig:
    """How the network grows during the run."""

    kind: Annotated[GrowthKind, tyro.conf.arg(name="")] = "deeper"
    """What an event changes: deeper (to the next of the depths), wider (to the next of the widths)
    or both. The function stays the same, and Adam's moments are carried."""
    depths: tuple[int, ...] = ()
    """Depths to grow to, in order, such as 2 4 8; none: the network keeps its depth."""
    widths: tuple[int, ...] = ()
    """Units per hidden layer to grow to, in order, such as 192 256; none: evenly to twice the
    network's width, with as many events as there are depths (or steps, if only wider)."""
    steps: tuple[int, ...] = ()
    """Environment steps at which to grow, one per event; none: evenly spaced, as in GrowNN."""
    block: BlockKind = "identity"
    """What a new layer is: identity (after relu only), residual or parametric (after anything)."""
    init: UnitKind = "copy"
    """What a new unit is: copy (of another unit, which shares its outgoing weights with it) or
    fresh (random incoming and zero outgoing weights)."""

    def __post_init__(self) -> None:
        for name, choices in (("kind", GrowthKind), ("block", BlockKind), ("init", UnitKind)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"growth.{name} is {getattr(self, name)!r}; expected one of "
                    f"{', '.join(get_args(choices))}."
                )
        for name in ("steps", "depths", "widths"):
            numbers = getattr(self, name)
            if any(a >= b for a, b in itertools.pairwise(numbers)) or min(numbers, default=1) < 1:
                raise ConfigError(
                    f"growth.{name} is {numbers}; expected increasing positive numbers."
                )
        if self.widths and self.kind == "deeper":
            raise ConfigError(
                f"growth.widths is {self.widths}, but the network only deepens. Add --growth wider "
                "or --growth both."
            )
        if self.kind != "deeper" and not self.events:
            missing, example = ("depths", "2 4") if self.kind == "both" else ("widths", "192 256")
            raise ConfigError(
                f"growth is {self.kind!r}, but growth.{missing} is empty. Give the sizes to grow "
                f"to, such as --growth.{missing} {example}."
            )
        for name in ("steps", "widths"):
            found, other = len(getattr(self, name)), "widths" if self.kind == "wider" else "depths"
            if found not in (0, self.events):
                raise ConfigError(
                    f"growth.{name} has {found} entries and growth.{other} {self.events}; give one "
                    f"per event, or no {name} at all for even spacing."
                )

    @property
    def deepens(self) -> bool:
        """Whether the depth changes at all."""
        return self.kind != "wider" and bool(self.depths)

    @property
    def events(self) -> int:
        """How often the network grows."""
        if self.kind == "wider":
            return len(self.widths or self.steps or self.depths)
        return len(self.depths)

    def schedule(
        self, network: NetworkConfig, total_steps: int, seed: int = 0
    ) -> tuple[GrowthEvent, ...]:
        """The events of a run that starts with this network; new units are drawn from the seed."""
        depths = self.depths if self.deepens else ()
        for name, sizes, start in (
            ("depth", depths, network.depth),
            ("width", self.widths, network.width),
        ):
            if sizes and sizes[0] <= start:
                raise ConfigError(
                    f"growth.{name}s begins with {sizes[0]}, but network.{name} is {start}; each "
                    f"{name} must be larger than the one before."
                )
        if self.steps and self.steps[-1] >= total_steps:
            raise ConfigError(
                f"growth.steps ends at {self.steps[-1]:,}, but the run has {total_steps:,} steps. "
                "Give earlier steps, or `--growth.steps` without numbers for even spacing."
            )
        count = range(1, self.events + 1)
        steps = self.steps or [k * total_steps // (self.events + 1) for k in count]
        widths: Sequence[int] = self.widths
        if self.kind != "deeper" and not widths:
            widths = [network.width + k * network.width // self.events for k in count]
        wider = [Widen(width, self.init, seed) for width in widths]
        deeper = [Deepen(depth, self.block) for depth in depths]
        changes = zip(*filter(None, (wider, deeper)), strict=True)
        return tuple(map(GrowthEvent, steps, changes))


@final
@dataclass(frozen=True)
class GrowthEvent:
    """At a step, some changes: morphir's passes, or `Widen` and `Deepen`, which name them later."""

    step: int
    changes: tuple[Any, ...]

    def passes(self, agent: Agent) -> list[Any]:
        """The morphir passes of this event; new layers come last, so they have the new width."""
        found: list[Any] = []
        for change in self.changes:
            found += change.passes(agent) if isinstance(change, (Deepen, Widen)) else [change]
        return found


@final
@dataclass(frozen=True)
class GrowthRecord:
    """What a growth event did, with its verdict and its cost."""

    step: int
    layers_before: int
    layers_after: int
    width_before: int
    width_after: int
    parameters_before: int
    parameters_after: int
    grade: str
    milliseconds: float
    passes: tuple[str, ...]
    report: str


def sizes_changed(row: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """(name, before, after) for `layers` and `width`, where a growth event changed them.

    Args:
        row: A record as the logbook has it. Runs that could only deepen noted no width.
    """
    return [
        (name, row[f"{name}_before"], row[f"{name}_after"])
        for name in ("layers", "width")
        if row.get(f"{name}_before") != row.get(f"{name}_after")
    ]


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
    layers, width, parameters = agent.hidden_layers, agent.hidden_width, _count(agent)

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
        width_before=width,
        width_after=grown.hidden_width,
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
