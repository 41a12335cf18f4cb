import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import morphir
from morphir_agents.heads import heads_of, used
from morphir_agents.new_head import add_head
from morphir_agents.replay import Replay
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent

BATCH, OBSERVATION, ACTION = 12, 4, 2

configs = st.builds(
    TD3Config,
    batch=st.just(BATCH),
    discount=st.floats(0.0, 1.0),
    tau=st.floats(0.0, 1.0),
    target_noise=st.floats(0.0, 2.0),
    target_noise_clip=st.floats(0.0, 1.0),
    policy_delay=st.integers(1, 3),
    learning_rate=st.floats(1e-4, 1e-2),
)


def start(config, seed=0, widths=(9, 7)):
    """An agent whose targets differ from it, its learner and optimizers, and a full buffer."""
    space = gym.spaces.Box(-1.0, 1.0, (ACTION,))
    agent = build_td3_agent(TD3NetworkConfig(widths), OBSERVATION, space, 0.1, seed)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in agent.named_parameters():
            if name.startswith("target"):
                noise = generator.standard_normal(parameter.shape, dtype=np.float32)
                parameter.add_(torch.from_numpy(0.3 * noise))
    replay = Replay(100, OBSERVATION, ACTION, config.batch)
    for _ in range(50):
        seen, after = generator.normal(size=(2, OBSERVATION))
        action = generator.uniform(-1, 1, ACTION)
        replay.add(seen, action, generator.normal(), generator.random() < 0.3, after)
        replay.cut()
    critics = [p for critic in agent.critics for p in critic.parameters()]
    optimizers = [
        torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
        for parameters in (list(agent.actor.parameters()), critics)
    ]
    return agent, TD3Learner(agent, optimizers, config), optimizers, replay, generator


def draw(replay, generator):
    batch = replay.sample(generator.random(BATCH))
    kept = {name: getattr(batch, name).clone() for name in vars(batch)}
    return batch, kept, generator.standard_normal((BATCH, ACTION), dtype=np.float32)


def targets_of(agent, kept, noise, config):
    """The right side of the equation, written out a second time."""
    clip = config.target_noise_clip
    smoothing = np.clip(config.target_noise * noise, -clip, clip)
    with torch.no_grad():
        action = agent.target_actor(kept["next_observations"]) + torch.from_numpy(smoothing)
        inputs = torch.cat([kept["next_observations"], action.clip(-1, 1)], 1)
        values = torch.cat([critic(inputs) for critic in agent.target_critics], 1)
    smaller = values.min(1, keepdim=True).values
    return kept["rewards"] + config.discount * kept["continues"] * smaller


def same(found, expected, name=""):
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5, msg=lambda m: f"{name}: {m}")


@settings(deadline=None, max_examples=40)
@given(configs, st.integers(0, 1000))
def test_td3_1_and_2_the_critics_descend_the_squared_error_to_the_smoothed_smaller_target(
    config, seed
):
    """TD3-1 and TD3-2."""
    agent, learner, _, replay, generator = start(config, seed)
    batch, kept, noise = draw(replay, generator)
    before = copy.deepcopy(agent)
    y = targets_of(before, kept, noise, config)
    loss = sum(
        (critic(torch.cat([kept["observations"], kept["actions"]], 1)) - y).square().mean()
        for critic in before.critics
    )
    loss.backward()
    learner.update(batch, noise, 1)
    for critic, expected in zip(agent.critics, before.critics, strict=True):
        for (name, found), wanted in zip(
            critic.named_parameters(), expected.parameters(), strict=True
        ):
            same(found.grad, wanted.grad, name)
            # Adam's first step is the learning rate in the direction of the sign.
            sure = wanted.grad.abs() > 1e-4
            step = -config.learning_rate * wanted.grad.sign()
            same((found - wanted)[sure], step[sure], name)
    assert learner.losses(batch)["critic_loss"] == pytest.approx(loss.item(), rel=1e-4)


@settings(deadline=None, max_examples=40)
@given(configs, st.integers(0, 1000))
def test_td3_3_actor_and_targets_move_at_every_policy_delay_th_update_only(config, seed):
    """TD3-3."""
    agent, learner, _, replay, generator = start(config, seed)
    for number in range(1, 2 * config.policy_delay + 1):
        before = copy.deepcopy(agent)
        batch, kept, noise = draw(replay, generator)
        learner.update(batch, noise, number)
        changed = {
            name
            for name, network in agent.named_children()
            for a, b in zip(
                network.parameters(), before.get_submodule(name).parameters(), strict=True
            )
            if not torch.equal(a, b)
        }
        if number % config.policy_delay:
            assert changed == {"critic1", "critic2"}
            continue
        assert changed >= {"actor", "critic1", "critic2"}

        with torch.no_grad():  # the actor follows the critic that has just been updated
            for a, b in zip(before.critic1.parameters(), agent.critic1.parameters(), strict=True):
                a.copy_(b)
        action = before.actor(kept["observations"])
        (-before.critic1(torch.cat([kept["observations"], action], 1)).mean()).backward()
        for found, wanted in zip(agent.actor.parameters(), before.actor.parameters(), strict=True):
            same(found.grad, wanted.grad, "actor")
        for name in ("actor", "critic1", "critic2"):
            target, network = agent.get_submodule(f"target_{name}"), agent.get_submodule(name)
            old = before.get_submodule(f"target_{name}")
            for found, a, b in zip(
                target.parameters(), old.parameters(), network.parameters(), strict=True
            ):
                same(found, (1 - config.tau) * a + config.tau * b, f"target of {name}")


def test_the_actor_s_step_leaves_the_critics_gradients_and_the_second_critic_alone():
    config = TD3Config(batch=BATCH, policy_delay=1)
    agent, learner, optimizers, replay, generator = start(config)
    seen = []

    def note(optimizer, *_):
        which = "actor" if optimizer is optimizers[0] else "critics"
        seen.append((which, [p.grad.clone() for c in agent.critics for p in c.parameters()]))

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(note)
    batch, _, noise = draw(replay, generator)
    learner.update(batch, noise, 1)
    assert [which for which, _ in seen] == ["critics", "actor"]
    for before, after in zip(seen[0][1], seen[1][1], strict=True):
        assert torch.equal(before, after)


def test_two_learners_from_the_same_seed_do_the_same_to_the_bit():
    agents = []
    for _ in range(2):
        agent, learner, _, replay, generator = start(TD3Config(batch=BATCH))
        for number in range(1, 20):
            batch, _, noise = draw(replay, generator)
            learner.update(batch, noise, number)
        agents.append(agent)
    for a, b in zip(*(agent.parameters() for agent in agents), strict=True):
        assert torch.equal(a, b)


ENTRY_POINTS = ("act", "get_values", "get_target_value")
NETWORKS = ("actor", "critic1", "critic2")


def recorded_on():
    seen, action = torch.randn(3, OBSERVATION), torch.randn(3, ACTION)
    return {"act": (seen,), "get_values": (seen, action), "get_target_value": (seen, action)}


def sparsified(agent, optimizers, density):
    """The agent with the same masks on what learns as its targets are to have."""
    passes = [morphir.SparsifyPass(density, at=name) for name in NETWORKS]
    morphir.transform(
        agent, passes, optimizer=optimizers, example_inputs=recorded_on(),
        entry_points=ENTRY_POINTS, inplace=True, checks=("certificate", "runs"),
    )  # fmt: skip


def test_td3_4_masked_weights_stay_zero_in_networks_targets_and_moments():
    """TD3-4"""
    config = TD3Config(batch=BATCH, learning_rate=1e-2, tau=0.3)
    agent, _, optimizers, replay, generator = start(config)
    sparsified(agent, optimizers, 0.4)
    masks = {name: morphir.Masks(agent.get_submodule(name)).masks for name in NETWORKS}
    for grows in range(3):
        learner = TD3Learner(agent, optimizers, config)
        for number in range(1, 7):
            batch, _, noise = draw(replay, generator)
            learner.update(batch, noise, number)
            for name, weight in ((n, w) for n in NETWORKS for w in masks[n]):
                for kind in ("", "target_"):
                    tensor = agent.get_submodule(kind + name).get_parameter(weight)
                    assert not tensor[masks[name][weight] == 0].any(), (number, kind, name, weight)
        for name in NETWORKS:
            for weight, mask in masks[name].items():
                own = agent.get_submodule(name).get_parameter(weight)
                for tensor in (own, agent.get_submodule(f"target_{name}").get_parameter(weight)):
                    assert tensor[mask == 1].count_nonzero() > 0.5 * mask.sum()
                state = next(o.state[own] for o in optimizers if own in o.state)
                assert not state["exp_avg"][mask == 0].any()
        used = sum(float(mask.sum()) for each in masks.values() for mask in each.values())
        morphir.apply(
            agent, morphir.MaskGrowPass(count=5, score="random", seed=grows), optimizer=optimizers,
            example_inputs=recorded_on(), entry_points=ENTRY_POINTS, inplace=True,
        )  # fmt: skip
        assert sum(float(m.sum()) for each in masks.values() for m in each.values()) == used + 5


def test_td3_4_masks_of_ones_change_nothing():
    """TD3-4"""
    config = TD3Config(batch=BATCH)
    found = []
    for is_masked in (False, True):
        agent, _, optimizers, replay, generator = start(config)
        if is_masked:
            sparsified(agent, optimizers, 1.0)
        learner = TD3Learner(agent, optimizers, config)
        for number in range(1, 5):
            batch, _, noise = draw(replay, generator)
            learner.update(batch, noise, number)
        found.append(dict(agent.named_parameters()))
    assert all(torch.equal(parameter, found[1][name]) for name, parameter in found[0].items())


def beside(agent, plain):
    """What an agent's current task uses, with the same of an ordinary agent."""
    for name, layer in plain.named_modules():
        if isinstance(layer, torch.nn.Linear):
            own = agent.get_submodule(name)
            yield from zip(used(own, own.weight, own.bias), layer.parameters(), strict=True)


def heads_of_task(agent, task):
    agent.select(task)
    trained = (agent.get_submodule(name) for name in NETWORKS)
    layers = [layer for network in trained for _, layer in heads_of(network)]
    return [
        layer.part_of(layer.get_parameter(own)).clone() for layer in layers for own in layer.own
    ]


def test_cycle_2_a_head_is_learned_as_an_ordinary_network_is():
    """CYCLE-2"""
    config = TD3Config(batch=BATCH, learning_rate=1e-3)
    plain, alone, _, replay, generator = start(config)
    sizes = [
        (seen, gym.spaces.Box(-1.0, 1.0, (act,)))
        for seen, act in ((3, 3), (OBSERVATION, ACTION), (2, 1))
    ]
    agent = build_td3_agent(TD3NetworkConfig((9, 7)), *sizes[0], 0.1, 1, sizes[1:])
    critics = [p for critic in agent.critics for p in critic.parameters()]
    optimizers = [
        torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
        for parameters in ([*agent.actor.parameters()], critics)
    ]
    for task in (1, 2):
        add_head(agent, optimizers, task, seed=0, step=0)
    others = [heads_of_task(agent, task) for task in (0, 2)]
    agent.select(1)
    with torch.no_grad():
        for part, wanted in beside(agent, plain):
            part.copy_(wanted)
    learner = TD3Learner(agent, optimizers, config)
    for number in range(1, 11):
        batch, kept, noise = draw(replay, generator)
        alone.update(batch, noise, number)
        for name, tensor in kept.items():
            getattr(batch, name).copy_(tensor)
        learner.update(batch, noise, number)
    for part, wanted in beside(agent, plain):
        same(part, wanted)
    for task, before in zip((0, 2), others, strict=True):
        assert all(map(torch.equal, heads_of_task(agent, task), before))
