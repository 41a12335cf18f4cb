"""What the trainers of all algorithms have in common."""

import numpy as np
import pytest

from morphir_agents.observer import Observer
from morphir_agents.ppo_trainer import PPOTrainer
from morphir_agents.td3_trainer import TD3Trainer


class Notes(Observer):
    def __init__(self, stops):
        self.told, self._stops = [], stops

    @property
    def stops(self):
        return self._stops

    def evaluated(self, step, outcome):
        self.told.append((f"evaluated {outcome.policy}", step))

    def settles(self, step):
        self.told.append(("settles", step))

    def saved(self, step):
        self.told.append(("saved", step))


@pytest.fixture(params=["ppo", "td3"])
def start(request, tiny_config, tiny_td3_config, tmp_path):
    """Begins, or resumes, a run of 600 steps with grids of 200 and 300."""

    def ppo():
        config = tiny_config("tiny/Aim-v0", total_steps=600, environments=2, rollout_steps=50)
        object.__setattr__(config, "checkpoint_every", 200)
        object.__setattr__(config, "eval_every", 300)
        return PPOTrainer.start(config, tmp_path)

    def td3():
        return TD3Trainer.start(tiny_td3_config("tiny/Aim-v0"), tmp_path)

    return {"ppo": ppo, "td3": td3}[request.param]


@pytest.mark.parametrize("stops", [False, True])
def test_what_is_due_is_done_where_a_grid_was_crossed_and_at_the_end(start, stops):
    trainer, asked = start(), []
    assert sorted(trainer.config.forms) in ([True], [False, True])
    names = ["deterministic" if form else "sampling" for form in trainer.config.forms]
    evaluated = [f"evaluated {name}" for name in names]
    for before, step, due in (
        (0, 199, []),
        (199, 200, ["settles", "saved"]),
        (250, 320, evaluated),
        (320, 400, ["settles", "saved"]),
        (599, 600, [*evaluated, "settles", "saved"]),
    ):
        notes, trainer.step = Notes(stops), step
        asked.append(trainer.evaluate_and_save(before, notes))
        assert notes.told == [(what, step) for what in due]
    assert asked == [False, stops, False, stops, stops]
    assert trainer.close().finished


def test_a_run_is_resumed_where_it_was_saved(start):
    trainer = start()
    assert not trainer.resumed
    trainer.step, trainer.updates, trainer.grown = 200, 7, 1
    trainer.save()
    drawn, shown = trainer.generator.random(5), trainer.vector.observations.copy()

    again = start()

    assert again.resumed
    assert (again.step, again.updates, again.grown) == (200, 7, 1)
    assert np.array_equal(again.generator.random(5), drawn)
    assert np.array_equal(again.vector.observations, shown)
    assert not again.close().finished
