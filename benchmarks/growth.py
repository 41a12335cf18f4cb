"""Time of one growth event on a 64-64 policy, from trace to verdict, and where it goes.

    python benchmarks/growth.py [--repeat 40]

Every event records the agent twice per entry point and mode, before and after; rewrites; copies
model and optimizer; checks the certificate in eval and train mode; runs the float64 and learning
checks. Writes `results/growth.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from results import write_results
from torch import nn
from torch.distributions import Categorical

import morphir


class Agent(nn.Module):
    """Separate 64-64 policy and value networks, as in Stable-Baselines3 and CleanRL."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(*_layers(8))
        self.critic = nn.Sequential(*_layers(1))

    def get_value(self, obs: torch.Tensor) -> torch.Tensor:
        """The value, shape `(batch, 1)`."""
        return self.critic(obs)

    def get_action_and_value(self, obs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A sampled action, its log-probability and the value."""
        policy = Categorical(logits=self.actor(obs))
        action = policy.sample()
        return action, policy.log_prob(action), self.critic(obs)


def _layers(outputs: int) -> list[nn.Module]:
    return [nn.Linear(27, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs)]


def measure(at: str, entry_points: tuple[str, ...], repeat: int) -> dict[str, object]:
    """Milliseconds of `repeat` events after a first one that is not counted."""
    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters())
    total: list[float] = []
    phases: dict[str, list[float]] = {}
    for index in range(repeat + 1):
        start = time.perf_counter()
        result = morphir.transform(
            agent,
            morphir.DeeperPass(at=at),
            optimizer=optimizer,
            example_inputs=(torch.zeros(2, 27),),
            entry_points=entry_points,
        )
        elapsed = time.perf_counter() - start
        assert result.report.grade is morphir.Grade.PROVED
        if index:
            total.append(1e3 * elapsed)
            for name, seconds in result.report.seconds.items():
                phases.setdefault(name, []).append(1e3 * seconds)
    return {
        "entry_points": entry_points,
        "median_ms": statistics.median(total),
        "min_ms": min(total),
        "max_ms": max(total),
        "phases_ms": {name: statistics.median(values) for name, values in phases.items()},
    }


def main() -> None:
    """Measures one and two entry points and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=40, help="counted events per row")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        measure("critic.3", ("get_value",), arguments.repeat),
        measure("actor.3", ("get_value", "get_action_and_value"), arguments.repeat),
    ]
    for row in rows:
        print(f"{', '.join(row['entry_points'])}: median {row['median_ms']:.1f} ms")  # type: ignore[arg-type]
        for name, value in row["phases_ms"].items():  # type: ignore[attr-defined]
            print(f"    {name:<14} {value:6.2f} ms")
    print("written to", write_results("growth", rows))


if __name__ == "__main__":
    main()
