"""The whole configuration of a run: frozen, and equal to itself after a trip through JSON."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from typing_extensions import override

from morphir_agents.cycle import CycleConfig
from morphir_agents.envs import EnvConfig, GymConfig, RoomConfig, VectorEnv
from morphir_agents.errors import ConfigError
from morphir_agents.growth import GrowthConfig
from morphir_agents.methods.config import MethodConfig
from morphir_agents.methods.networks import refuse_one_layer
from morphir_agents.methods.timing import refuse_idle
from morphir_agents.networks import NetworkConfig
from morphir_agents.ppo import PPOConfig
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_networks import TD3NetworkConfig

__all__ = ["BaseRunConfig", "RunConfig", "TD3RunConfig", "from_json", "to_json"]

_ENVIRONMENTS = {cls.kind: cls for cls in (RoomConfig, GymConfig)}


@dataclass(frozen=True)
class BaseRunConfig(ABC):
    """What every training run has, whatever it learns with."""

    algorithm: ClassVar[str]
    """Its name in a configuration file."""
    forms: ClassVar[tuple[bool, ...]]
    """Which forms of the policy are evaluated: True the deterministic, False the sampling one."""

    name: str = "custom"
    """Name of the recipe; part of the run folder's name."""
    seed: int = 0
    """Fixes everything: weights, levels, actions, minibatches."""
    env: EnvConfig = field(default_factory=RoomConfig)
    """The task."""
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
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}; expected 0 or more, less than 2**63.")

    @property
    @abstractmethod
    def last_step(self) -> int:
        """Where the run ends."""

    @property
    @abstractmethod
    def evaluation_environments(self) -> int:
        """How many environments an evaluation steps together, if it has as many episodes."""

    @property
    def last_env(self) -> EnvConfig:
        """The task at the end of the run."""
        return self.env

    @property
    def of_last_task(self) -> str:
        """What to add to a result of the end to say whose it is, if there are several tasks."""
        return "" if self.last_env.title == self.title else f" of {self.last_env.title}"

    @property
    def title(self) -> str:
        """A short human name of what is learned."""
        return self.env.title

    @property
    def growth_name(self) -> str:
        """What an event of growth is."""
        return "growth event"

    def judge(self, env: EnvConfig, episodes: int) -> VectorEnv:
        """The environments for evaluations of so many episodes of a task."""
        return VectorEnv(env.make, min(episodes, self.evaluation_environments))


@final
@dataclass(frozen=True)
class RunConfig(BaseRunConfig):
    """One run of PPO: a task, a network, how it learns and how it grows."""

    algorithm: ClassVar[str] = "ppo"
    forms: ClassVar[tuple[bool, ...]] = (True, False)

    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The network it starts with."""
    growth: GrowthConfig = field(default_factory=GrowthConfig)
    """How the network grows."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """How it learns."""

    def __post_init__(self) -> None:
        super().__post_init__()
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

    @property
    @override
    def last_step(self) -> int:
        return self.ppo.last_step

    @property
    @override
    def evaluation_environments(self) -> int:
        return self.ppo.environments


@final
@dataclass(frozen=True)
class TD3RunConfig(BaseRunConfig):
    """One run of TD3: tasks with continuous actions, networks, and how they learn."""

    algorithm: ClassVar[str] = "td3"
    forms: ClassVar[tuple[bool, ...]] = (True,)

    env: GymConfig = field(default_factory=lambda: GymConfig("HalfCheetah-v5"))
    """The task; of a cycle, the first."""
    cycle: CycleConfig = field(default_factory=CycleConfig)
    """Several tasks, one after the other."""
    network: TD3NetworkConfig = field(default_factory=TD3NetworkConfig)
    """The networks it starts with."""
    td3: TD3Config = field(default_factory=TD3Config)
    """How it learns."""
    method: MethodConfig = field(default_factory=MethodConfig)
    """What keeps the networks plastic."""
    checkpoint_every: int = 50_000
    """Steps between checkpoints, which hold the replay buffer; the environment starts afresh at
    each: runs can be repeated."""
    eval_every: int = 5_000
    """Steps between evaluations."""
    eval_episodes: int = 10
    """Episodes per evaluation."""
    final_episodes: int = 100
    """The same for the evaluation at the end."""
    device: str = "cpu"
    """Where networks and replay buffer live, such as cuda; small networks gain nothing there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.env.normalise_observations:
            raise ConfigError(
                "env.normalise_observations is on; TD3 replays observations as they were seen. "
                "Leave it off."
            )
        if self.cycle.tasks:
            object.__setattr__(self, "env", replace(self.env, id=self.cycle.tasks[0]))
            if len(self.network.widths) < 2:
                raise ConfigError(
                    f"network.widths is {self.network.widths}; the tasks of a cycle share the "
                    "layers between hidden ones. Give two widths or more, such as 256 128."
                )
        self.cycle.visit_steps(self.td3.total_steps)  # refuses what can't work
        self.method.amount.ending(self.last_step)
        refuse_one_layer(self)
        refuse_idle(self)
        try:
            torch.empty(0, device=self.device)
            if torch.device(self.device).type == "meta":
                raise RuntimeError("it holds no numbers")
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ConfigError(
                f"device is {self.device!r}, which torch can't use here: {reason}. Leave it out to "
                "use the CPU."
            ) from error

    @property
    def tasks(self) -> tuple[GymConfig, ...]:
        """What is learned, in the order of a round."""
        return tuple(replace(self.env, id=name) for name in self.cycle.tasks) or (self.env,)

    @property
    def visit_steps(self) -> int:
        """How long it learns a task until it goes on to the next one."""
        return self.cycle.visit_steps(self.td3.total_steps)

    def visit_at(self, step: int) -> int:
        """The number of the visit that goes on from a step (CYCLE-1); at the end the last one."""
        return min(step, self.last_step - 1) // self.visit_steps

    def updates_by(self, step: int) -> int:
        """How many updates have been made when a run has come to a step; none of random steps."""
        visits, age = divmod(step, self.visit_steps)
        random = self.td3.random_steps
        learned = visits * max(0, self.visit_steps - random) + max(0, age - random)
        return learned * self.td3.updates_per_step

    @property
    @override
    def last_env(self) -> GymConfig:
        return self.tasks[-1]

    @property
    @override
    def title(self) -> str:
        rounds = f", {self.cycle.rounds} times" if self.cycle.tasks else ""
        return " → ".join(task.title for task in self.tasks) + rounds

    @property
    @override
    def growth_name(self) -> str:
        return "new head" if self.cycle.tasks else super().growth_name

    @property
    @override
    def last_step(self) -> int:
        return self.td3.total_steps

    @property
    @override
    def evaluation_environments(self) -> int:
        return self.eval_episodes


_RUNS: dict[str, type[BaseRunConfig]] = {cls.algorithm: cls for cls in (RunConfig, TD3RunConfig)}


def to_json(config: BaseRunConfig) -> str:
    """The configuration as JSON, one readable line per field."""
    tree = {"algorithm": config.algorithm, **dataclasses.asdict(config)}
    tree["env"] = {"kind": config.env.kind, **tree["env"]}
    return json.dumps(tree, indent=2) + "\n"


def from_json(text: str) -> BaseRunConfig:
    """The configuration that `to_json` wrote; what it doesn't know is an error, not a shrug."""
    try:
        tree = json.loads(text)
        run = _RUNS[tree.pop("algorithm", "ppo")]  # PPO was the only one once
        kind = tree["env"].pop("kind")
        tree["env"] = _build(_ENVIRONMENTS[kind], tree["env"])
        return typing.cast(BaseRunConfig, _build(run, tree))
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
