import torch
from torch import nn

import morphir
from morphir_agents.learning_part import learning_part, own_modules


def test_a_network_learns_itself_until_plasticity_is_injected():
    """INJECT-2"""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    assert learning_part(network) is network
    inputs, inject = (torch.randn(2, 3),), morphir.InjectPlasticityPass(at="")
    new = morphir.apply(network, inject, example_inputs=inputs)
    assert [*own_modules(new)] == ["", "0", "1", "2"] == [*own_modules(network)]
    part = learning_part(new)
    assert part is new.injected1.fresh
    again = morphir.apply(new, inject, example_inputs=inputs)
    assert learning_part(again) is again.injected2.fresh
    assert {*learning_part(again).parameters()} == {
        p for p in again.parameters() if p.requires_grad
    }
