"""Where a layer can go, and what of the model it leaves alone."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

import morphir
from morphir import DeeperPass, Grade, RefusalError
from tests.specimens import Attributes, Net, fingerprint

AT = DeeperPass(at="extractor.1")


class Indexed(Net):
    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.extractor[:2](x)


def test_back_2_a_sequential_that_a_method_slices_keeps_its_children():
    """BACK-2"""
    net, x = Indexed(), torch.randn(3, 4)
    features, y = net.features(x), net(x)
    grown = morphir.apply(net, AT)
    assert [*grown.extractor._modules] == ["0", "1", "2", "3"]
    assert torch.equal(grown(x), y)
    assert torch.equal(grown.features(x), features)
    with pytest.raises(RefusalError, match=r"used by index(.|\n)*at='extractor\.3'"):
        morphir.apply(net, DeeperPass(at="extractor"))


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Children()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Children(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            x = child(x)
        return x


def test_a_container_that_would_run_the_new_layer_itself_is_refused():
    net = Loop()
    before = fingerprint(net)
    with pytest.raises(RefusalError, match="would run 2 times where 1 are needed"):
        morphir.apply(net, DeeperPass(at="body"), inplace=True)
    assert fingerprint(net) == before
    grown = morphir.apply(net, DeeperPass(at="body.second"))
    x = torch.randn(3, 4)
    assert torch.equal(grown(x), net(x))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.net = nn.Sequential(nn.Linear(4, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize(("at", "block"), [("net.1", "identity"), ("net.3", "residual")])
def test_back_3_a_module_that_stands_in_two_places_is_a_host_in_both(at, block):
    """BACK-3: under its first name; the layer runs wherever it stands"""
    net, x = Shared(), torch.randn(3, 4)
    before = fingerprint(net)
    result = morphir.transform(net, DeeperPass(at=at, block=block))
    grown = result.module
    assert torch.equal(grown(x), net(x))
    assert fingerprint(net) == before
    assert grown.net[1] is grown.net[3]
    assert result.certificate.insertions[0].module == "net.1.1_deeper1"
    again = morphir.replay(result.lineage, Shared())
    assert [*again.state_dict()] == [*grown.state_dict()]
    with torch.no_grad():
        grown.net[1].get_submodule("1_deeper1").get_parameter(
            "layer.bias" if block == "identity" else "last.bias"
        ).add_(1)
    hidden = torch.relu(grown.net[0](x)) + 1
    assert torch.equal(grown(x), grown.net[4](torch.relu(grown.net[2](hidden)) + 1))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("at", ["features_extractor.cnn.1", "pi_features_extractor.cnn.1"])
def test_an_extractor_that_a_policy_holds_under_three_names(at, inplace, tmp_path):
    """BACK-1, KEPT-2, STATE-2, STATE-8: Stable-Baselines3 shares it between actor and critic"""

    def make() -> ActorCriticCnnPolicy:
        image = gym.spaces.Box(0, 255, (3, 36, 36), np.uint8)
        return ActorCriticCnnPolicy(image, gym.spaces.Discrete(3), lambda _: 1e-3)

    policy = make().eval()
    x = torch.randint(0, 256, (2, 3, 36, 36), dtype=torch.uint8)
    values = policy.predict_values(x)
    entry_points = ("predict_values", "get_distribution")
    result = morphir.transform(
        policy, DeeperPass(at=at), example_inputs=(x,), entry_points=entry_points, inplace=inplace
    )
    grown = result.module
    assert result.report.grade is Grade.PROVED
    assert torch.equal(grown.predict_values(x), values)
    assert grown.vf_features_extractor is grown.features_extractor
    assert "vf_features_extractor.cnn.1_deeper1.layer.weight" in grown.state_dict()
    held = [p for group in grown.optimizer.param_groups for p in group["params"]]
    assert {*map(id, held)} == {*map(id, grown.parameters())}
    assert len(held) == len([*grown.parameters()])
    morphir.save(grown, tmp_path / "policy", optimizer=grown.optimizer)
    loaded, _ = morphir.load(tmp_path / "policy", make, optimizer=lambda p: p.optimizer)
    assert torch.equal(loaded.eval().predict_values(x), values)


def test_hooks_that_only_look_are_kept():
    net, seen = Attributes(), []
    net.act.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    result = morphir.transform(net, DeeperPass(at="act"))
    seen.clear()
    result.module(torch.randn(7, 4))
    assert seen == [(7, 8)]


def test_a_hook_that_computes_with_the_output_of_a_host_is_refused():
    net = Attributes()
    net.act.register_forward_hook(lambda module, args, out: out * 2)
    before = fingerprint(net)
    with pytest.raises(RefusalError, match=r"a forward hook of 'act' computes with its output"):
        morphir.transform(net, DeeperPass(at="act"), inplace=True)
    assert fingerprint(net) == before


def test_a_parametrized_host():
    net, x = Attributes(), torch.randn(3, 4)
    parametrizations.weight_norm(net.fc1)
    y = net(x)
    result = morphir.transform(net, DeeperPass(at="fc1", block="residual"), example_inputs=(x,))
    assert torch.equal(result.module(x), y)
    assert parametrize.is_parametrized(result.module.fc1, "weight")
    assert result.report.grade is Grade.PROVED


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype):
    net, x = Net().to(dtype), torch.randn(3, 4, dtype=dtype)
    result = morphir.transform(net, AT, example_inputs=(x,))
    assert torch.equal(result.module(x), net(x))
    assert {p.dtype for p in result.module.parameters()} == {dtype}


def test_functional_activations_and_the_functions_users_know():
    """The issue's first must-show line"""

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extractor = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.log_softmax(self.head(self.extractor(x)), -1)

    mlp, x = Mlp(), torch.randn(3, 4)
    grown = morphir.apply(mlp, DeeperPass(at="extractor.2"))
    assert isinstance(grown, Mlp)
    assert torch.equal(grown(x), mlp(x))


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("block", ["identity", "residual"])
def test_a_graph_module_grows_inside_its_leaves(block: str, inplace: bool):
    x = torch.randn(3, 4)
    for at in ("extractor.1", "extractor.2"):
        model = torch.fx.symbolic_trace(Net())
        expected = model(x)
        result = morphir.transform(
            model, DeeperPass(at=at, block=block), example_inputs=(x,), inplace=inplace
        )
        assert result.report.grade is Grade.PROVED
        assert torch.equal(result.module(x), expected)
        result.module.recompile()
        assert torch.equal(result.module(x), expected), "torch.fx writes its code anew"
