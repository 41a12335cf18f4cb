import numpy as np
import torch

from morphir_agents.encoding import Vector
from morphir_agents.envs import GymConfig, VectorEnv
from morphir_agents.evaluate import evaluate
from morphir_agents.networks import NetworkConfig, build_agent
from tests.agents import tiny


def _setup(count=4):
    tiny.register()
    vector = VectorEnv(GymConfig("tiny/Echo-v0").make, count)
    encoding = Vector(4, False)
    return build_agent(NetworkConfig(width=8), encoding, vector.action_space, 0), vector, encoding


def _perfect(agent):
    with torch.no_grad():
        agent.trunk[0].weight.zero_()
        agent.trunk[0].weight[:4] = torch.eye(4)
        agent.policy_head.weight.zero_()
        agent.policy_head.weight[:, :4] = 50 * torch.eye(4)
    return agent


def test_a_perfect_policy_is_found_perfect_in_both_forms():
    agent, vector, encoding = _setup()
    for deterministic in (True, False):
        outcome = evaluate(_perfect(agent), vector, encoding, 10, (0, 3), deterministic)
        assert (outcome.mean_return, outcome.success_rate, outcome.mean_length) == (4.0, 1.0, 4.0)
        assert outcome.policy == ("deterministic" if deterministic else "sampling")
        assert outcome.episodes == 10


def test_the_outcome_depends_on_levels_and_policy_only():
    agent, vector, encoding = _setup()
    first = evaluate(agent, vector, encoding, 30, (0, 3), True)
    vector.restart((5,))
    assert evaluate(agent, vector, encoding, 30, (0, 3), True) == first
    assert evaluate(agent, _setup(7)[1], encoding, 30, (0, 3), True) == first
    sampled = [evaluate(agent, vector, encoding, 30, (0, 3), False) for _ in range(2)]
    assert sampled[0] == sampled[1]


def test_the_sampling_policy_draws_with_the_policy_s_probabilities():
    agent, vector, encoding = _setup()
    with torch.no_grad():
        agent.policy_head.weight.zero_()  # uniform over four actions
    outcome = evaluate(agent, vector, encoding, 2000, (1, 3), False)
    assert abs(outcome.mean_return - 1.0) < 4 * np.sqrt(4 * 0.25 * 0.75 / 2000)
