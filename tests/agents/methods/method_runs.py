"""Small runs with a method, and what they tell."""

from dataclasses import replace

from morphir_agents.amounts import Amount
from morphir_agents.methods import MethodConfig
from morphir_agents.observer import Observer
from morphir_agents.td3_networks import TD3NetworkConfig

SPARSE = ("ne", "ne-no-pruning", "ne-no-review", "random-growth", "static-sparse", "rigl")
CHANGING = (*SPARSE, "redo", "reset", "injection")


class Notes(Observer):
    """Keeps what it is told, and stops after some checkpoints."""

    def __init__(self, stop_after=None):
        self.events, self.saves, self.numbers = [], [], []
        self._stop_after = stop_after

    @property
    def stops(self):
        return self._stop_after is not None and len(self.saves) >= self._stop_after

    def acted(self, events):
        self.events += [replace(event, milliseconds=0.0, report="") for event in events]

    def updated(self, step, update, episodes, losses, agent):
        self.numbers.append((step, dict(losses)))

    def saved(self, step):
        self.saves.append(step)


def run_of(tiny_td3_config, kind, **options):
    """A run of 600 steps, with events at updates 40, 80, ... and checkpoints at 200, 400, 600."""
    settings = {"every": 40, "reset_every": 120, "threshold": 0.3, "amount": Amount(rate=0.2)}
    settings["inject_at"] = 150
    return replace(
        tiny_td3_config("tiny/Aim-v0", **options),
        network=TD3NetworkConfig((12, 10)),
        method=MethodConfig(kind, **settings),
    )
