"""The whole configuration of a run: frozen, and equal to itself after a trip through JSON."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, final

from morphir_agents.envs import EnvConfig, GymConfig, RoomConfig
from morphir_agents.errors import ConfigError
from morphir_agents.growth import GrowthConfig
from morphir_agents.networks import NetworkConfig
from morphir_agents.ppo import PPOConfig

__all__ = ["RunConfig", "from_json", "to_json"]

_ENVIRONMENTS = {cls.kind: cls for cls in (RoomConfig, GymConfig)}


@final
@dataclass(frozen=True)
class RunConfig:
    """One training run: a task, a network, how it learns and how it grows."""

    name: str = "custom"
    """Name of the recipe; part of the run folder's name."""
    seed: int = 0
    """Fixes everything: weights, levels, actions, minibatches."""
    env: EnvConfig = field(default_factory=RoomConfig)
    """The task."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The network it starts with."""
    growth: GrowthConfig = field(default_factory=GrowthConfig)
    """How the network grows."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """How it learns."""
    checkpoint_every: int = 16_384
    """Steps between checkpoints; environments start afresh at each: runs can be repeated."""
    eval_every: int = 24_576
    """Steps between evaluations."""
    eval_episodes: int = 20
    """Episodes per evaluation, for the deterministic and for the sampling policy each."""
    final_episodes: int = 100
    """The same for the evaluation at the end."""
    threads: int = 1
    """torch threads. More than one only helps on an idle machine."""

    def __post_init__(self) -> None:
        for name in (
            "checkpoint_every",
            "eval_every",
            "eval_episodes",
            "final_episodes",
            "threads",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more.")
        self.growth.schedule(self.network, self.ppo.total_steps)  # refuses what can't work
        if (
            self.growth.deepens
            and self.growth.block == "identity"
            and self.network.architecture == "mlp"
            and self.network.activation != "relu"
        ):
            raise ConfigError(
                f"growth.block is 'identity' and network.activation {self.network.activation!r}: "
                "an identity layer is exact after relu only. Use --growth.block residual or "
                "parametric, or --network.activation relu."
            )


def to_json(config: RunConfig) -> str:
    """The configuration as JSON, one readable line per field."""
    tree = dataclasses.asdict(config)
    tree["env"] = {"kind": config.env.kind, **tree["env"]}
    return json.dumps(tree, indent=2) + "\n"


def from_json(text: str) -> RunConfig:
    """The configuration that `to_json` wrote; what it doesn't know is an error, not a shrug."""
    try:
        tree = json.loads(text)
        kind = tree["env"].pop("kind")
        tree["env"] = _build(_ENVIRONMENTS[kind], tree["env"])
        return typing.cast(RunConfig, _build(RunConfig, tree))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ConfigError(f"This is not a run configuration: {error!r}.") from error


def _build(cls: type, tree: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(tree) - {f.name for f in dataclasses.fields(cls)})
    if unknown:
        raise TypeError(f"{cls.__name__} has no field {', '.join(unknown)}")
    return cls(**{name: _value(hints[name], value) for name, value in tree.items()})


def _value(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value)
    if typing.get_origin(hint) is tuple and not isinstance(hint, types.UnionType):
        return tuple(value)
    return value
