"""What every method that changes networks goes through."""

from dataclasses import replace

import pytest
import torch

import morphir
from morphir_agents.methods.base import Changing, densities, sampled
from morphir_agents.methods.neuroplastic import begin_sparse
from morphir_agents.td3 import interact
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import run_of


@pytest.fixture
def trainer(tiny_td3_config, tmp_path):
    found = TD3Trainer.start(run_of(tiny_td3_config, "static-sparse"), tmp_path)
    for _ in range(60):
        interact(found)
    yield found
    found.close()


def test_an_event_says_what_began_and_ceased_and_how_far_outputs_moved(trainer):
    method = Changing(trainer.config)
    (event,) = begin_sparse(method, trainer)
    masks = morphir.Masks(trainer.agent).masks.values()
    assert (event.kind, event.grade, event.began) == ("sparsify", "NOT_PRESERVING", 0)
    assert event.ceased == sum(int((mask == 0).sum()) for mask in masks) > 0
    assert event.actor_churn > 0 < event.critic_churn
    assert "NOT_PRESERVING" in event.report
    assert event.milliseconds > 0
    found = densities(trainer.agent)
    assert found == {n: pytest.approx(0.25, abs=0.01) for n in morphir.Masks(trainer.agent).masks}


def test_its_draws_depend_on_seed_and_update_only(trainer):
    method = Changing(trainer.config)
    other = Changing(replace(trainer.config, seed=trainer.config.seed + 1))
    first = method.seed(trainer)
    assert first == method.seed(trainer) != other.seed(trainer)
    trainer.updates += 1
    assert method.seed(trainer) != first


def test_what_was_sampled_is_not_written_over_by_the_next_batch(trainer):
    batch, (observations, actions) = sampled(trainer)
    assert torch.equal(batch.observations, observations)
    assert torch.equal(batch.actions, actions)
    batch.actions.fill_(7.0)
    assert not (actions == 7.0).any()
