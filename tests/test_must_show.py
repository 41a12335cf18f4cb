"""What the first version has to show: five kinds of model, each grown as its users would.

Every case keeps the type, the methods, the keys and the hooks of everything untouched, is PROVED,
and returns the same bits.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, Grade
from morphir.tensors import tensors_in


def hook(module: nn.Module, args: Any, result: Any) -> None:
    """Stands for whatever a user has registered."""


def grow(model: nn.Module, deeper: DeeperPass, **inputs: Any) -> nn.Module:
    """Grows a model by `apply`, and checks what is kept and what is promised."""
    for module in model.modules():
        module.register_forward_hook(hook)
    before = copy.deepcopy(model.state_dict())
    result = morphir.transform(model, deeper, **inputs)
    assert result.report.grade is Grade.PROVED, result.report
    assert result.report.check("native").summary.startswith("the same bits") or not inputs
    grown = morphir.apply(model, deeper, **inputs)
    assert type(grown) is type(model)
    state = grown.state_dict()
    assert [key for key in state if "deeper" not in key] == [*before]
    assert any("deeper" in key for key in state)
    assert all(torch.equal(state[key], value) for key, value in before.items())
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    modules = dict(grown.named_modules())
    for name, module in model.named_modules():
        assert isinstance(modules[name], type(module))
        assert [*modules[name]._forward_hooks.values()] == [hook]
        assert modules[name].training == module.training
    return grown


def same(old: Callable[..., Any], new: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Both return the same bits, given the same random draws."""
    results = []
    for function in (old, new):
        torch.manual_seed(3)
        with torch.no_grad():
            results.append([tensor for _, tensor in tensors_in(function(*args, **kwargs))])
    assert results[0]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


class Mlp(nn.Module):
    """An extractor and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.extractor(x))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward(x).argmax(1)


def test_an_mlp_without_inputs():
    mlp = Mlp()
    grown = grow(mlp, DeeperPass(at="extractor.2"))
    assert [name for name, _ in grown.extractor.named_children()] == [
        *("0", "1", "2", "3", "3_deeper1")
    ]
    x = torch.randn(5, 8)
    same(mlp, grown, x)
    same(mlp.act, grown.act, x)


class Block(nn.Module):
    """A residual block with functional ReLUs."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """A small one, as on CIFAR."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = self.blocks(x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("at", ["stem", "blocks.0.conv1", "blocks.1.conv1", "blocks.2"])
def test_a_cnn_with_residuals_and_functional_relus(at: str):
    cnn, x = ResNet(), torch.randn(2, 3, 16, 16)
    grown = grow(cnn, DeeperPass(at=at), example_inputs=(x,))
    same(cnn, grown, x)
    same(cnn.eval(), grown.eval(), torch.randn(4, 3, 16, 16))


class Agent(nn.Module):
    """As CleanRL writes it: two methods and no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.actor, self.critic = nn.Linear(32, 3), nn.Linear(32, 1)

    def get_value(self, x: torch.Tensor) -> torch.Tensor:
        return self.critic(self.network(x))

    def get_action_and_value(
        self, x: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        hidden = self.network(x)
        probabilities = torch.distributions.Categorical(logits=self.actor(hidden))
        if action is None:
            action = probabilities.sample()
        return (
            action,
            probabilities.log_prob(action),
            probabilities.entropy(),
            self.critic(hidden),
        )


def test_an_agent_with_two_methods_and_no_forward():
    agent, x = Agent(), torch.randn(7, 6)
    grown = grow(
        agent,
        DeeperPass(at="network.2"),
        example_inputs=(x,),
        entry_points=("get_value", "get_action_and_value"),
    )
    same(agent.get_value, grown.get_value, x)
    same(agent.get_action_and_value, grown.get_action_and_value, x)
    same(agent.get_action_and_value, grown.get_action_and_value, x, torch.zeros(7).long())


def sb3_policy(activation: type[nn.Module] | None, action_space: spaces.Space) -> Any:
    from stable_baselines3.common.policies import ActorCriticPolicy

    options = {} if activation is None else {"activation_fn": activation}
    observations = spaces.Box(-1.0, 1.0, (5,))
    return ActorCriticPolicy(observations, action_space, lambda _: 3e-4, **options)


ACTIONS = [spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,))]


@pytest.mark.parametrize("actions", ACTIONS, ids=str)
@pytest.mark.parametrize(
    ("activation", "options"),
    [(nn.ReLU, {}), (None, {"block": "residual"}), (nn.ReLU, {"block": "parametric"})],
    ids=["relu", "tanh residual", "relu parametric"],
)
def test_a_whole_stable_baselines3_policy(
    activation: type[nn.Module] | None, options: dict[str, Any], actions: spaces.Space
):
    policy = sb3_policy(activation, actions)
    grown = grow(policy, DeeperPass(at="mlp_extractor.policy_net.1", **options))
    x = torch.randn(4, 5)
    same(policy, grown, x, deterministic=True)
    same(policy, grown, x)
    same(policy.predict_values, grown.predict_values, x)
    taken = policy(x, deterministic=True)[0]
    same(policy.evaluate_actions, grown.evaluate_actions, x, taken)
    assert policy.predict(x.numpy(), deterministic=True)[0].tolist() == (
        grown.predict(x.numpy(), deterministic=True)[0].tolist()
    )
    held = {id(p) for group in grown.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in grown.parameters()}, "its own optimizer has the new layer"


def test_gpt2_with_a_residual_block_after_one_of_its_mlps():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=101, n_positions=24)
    gpt2 = GPT2LMHeadModel(config).eval()
    ids = torch.randint(101, (2, 9))
    grown = grow(
        gpt2, DeeperPass(at="transformer.h.0.mlp", block="residual"), example_inputs=(ids,)
    )
    same(gpt2, grown, ids)
    generated = (
        m.generate(ids, max_new_tokens=4, do_sample=False, pad_token_id=0) for m in (gpt2, grown)
    )
    assert torch.equal(*generated)
    with torch.no_grad():
        grown.transformer.h[0].mlp.mlp_deeper1.last.weight += 0.1
    assert not torch.equal(gpt2(ids).logits, grown(ids).logits), "the block is really there"
