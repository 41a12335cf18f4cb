import torch

from morphir_agents.methods.dormant import has_dormant
from morphir_agents.td3_trainer import TD3Trainer


def test_a_unit_is_found_in_any_layer_of_any_online_network(tiny_td3_config, tmp_path):
    """PLASTIC-1: a unit with a bias of -1000 is silent."""
    agent = TD3Trainer.start(tiny_td3_config("tiny/Aim-v0"), tmp_path).agent
    sizes = [each.inputs.stop - each.action.stop for each in agent.parts]
    seen = torch.randn(64, sizes[0]), torch.randn(64, agent.parts[0].action.stop)
    for network in (agent.actor, *agent.critics):  # a unit of many may be silent from the start
        for name in ("0", "2"):
            layer = network.get_submodule(name)
            layer.weight.data.clamp_(-0.01, 0.01)
            layer.bias.data.fill_(10.0)
    assert not has_dormant(agent, seen, 0.0)
    for network in (agent.actor, *agent.critics):
        for name in ("0", "2"):
            bias = network.get_submodule(name).bias.data
            bias[3] = -1000.0
            assert has_dormant(agent, seen, 0.0)
            bias[3] = 10.0
    agent.target_critic1.get_submodule("0").bias.data[3] = -1000.0
    assert not has_dormant(agent, seen, 0.0)


def test_the_threshold_is_that_of_the_score(tiny_td3_config, tmp_path):
    agent = TD3Trainer.start(tiny_td3_config("tiny/Aim-v0"), tmp_path).agent
    seen = torch.zeros(4, agent.actor[0].in_features), torch.zeros(4, agent.parts[0].action.stop)
    for network in (agent.actor, *agent.critics):
        for name in ("0", "2"):
            layer = network.get_submodule(name)
            layer.weight.data.zero_()
            layer.bias.data.fill_(1.0)
    agent.actor.get_submodule("2").bias.data[0] = 0.05
    mean = (0.05 + agent.actor[2].out_features - 1) / agent.actor[2].out_features
    assert not has_dormant(agent, seen, 0.04 / mean)
    assert has_dormant(agent, seen, 0.06 / mean)
