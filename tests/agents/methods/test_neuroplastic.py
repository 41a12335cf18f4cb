"""NE-2, NE-4 and NE-5 as they happen in a run."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import morphir
from morphir_agents.amounts import Amount
from morphir_agents.methods import MethodConfig
from morphir_agents.methods.neuroplastic import unused
from morphir_agents.replay import Replay
from morphir_agents.td3 import interact, learn, train
from morphir_agents.td3_learner import TD3Learner, noise_for
from morphir_agents.td3_networks import TD3NetworkConfig
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import Notes, run_of

NAMES = ("actor.2.weight", "critic1.2.weight", "critic2.2.weight")


def started(tiny_td3_config, folder, kind="ne-no-pruning", seed=0, rate=0.2, **options):
    """A run in the middle of learning, and its learner."""
    config = replace(
        tiny_td3_config("tiny/Aim-v0", random_steps=60, seed=seed),
        network=TD3NetworkConfig((12, 10)),
        method=MethodConfig(kind, every=100, amount=Amount(rate=rate), **options),
    )
    trainer = TD3Trainer.start(config, folder)
    trainer.method.begin(trainer)
    learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
    for _ in range(120):
        interact(trainer)
        if trainer.step > config.td3.random_steps:
            learn(trainer, learner)
    return trainer, learner


def dense_gradients(trainer):
    """Autograd's, of both losses on the batch that the next event draws."""
    td3, agent = trainer.config.td3, copy.deepcopy(trainer.agent)
    generator = copy.deepcopy(trainer.generator)
    batch = trainer.replay.sample(generator.random(td3.batch))
    clip = td3.target_noise_clip
    noise = np.clip(td3.target_noise * noise_for(batch, generator), -clip, clip)
    with torch.no_grad():
        value = agent.get_target_value(batch.next_observations, torch.from_numpy(noise))
        target = batch.rewards + td3.discount * batch.continues * value
    critics = sum((critic(batch.inputs) - target).square().mean() for critic in agent.critics)
    actions = agent.actor(batch.observations)
    actor = -agent.critic1(torch.cat([batch.observations, actions], 1)).mean()
    parameters = {name: agent.get_parameter(name) for name in NAMES}
    names = [*NAMES[1:]]
    each = torch.autograd.grad(critics, [parameters[name] for name in names])
    found = dict(zip(names, each, strict=True))
    return {NAMES[0]: torch.autograd.grad(actor, parameters[NAMES[0]])[0], **found}


def test_ne_4_the_unused_weights_with_the_largest_dense_gradients_begin_to_be_used(
    tiny_td3_config, tmp_path
):
    """NE-4, NE-3"""
    for seed in range(5):
        trainer, learner = started(tiny_td3_config, tmp_path / str(seed), seed=seed)
        gradients = dense_gradients(trainer)
        old = {n: mask.clone() for n, mask in morphir.Masks(trainer.agent).masks.items()}
        numbers = {n: p.detach().clone() for n, p in trainer.agent.named_parameters()}
        trainer.method.act(trainer, learner)
        new = morphir.Masks(trainer.agent).masks
        total = trainer.config.td3.total_steps
        share = 0.1 * (1 + np.cos(np.pi * trainer.step / total))
        for name in NAMES:
            began = (new[name] - old[name]).flatten()
            assert not began.min()
            count = int((old[name] == 0).sum() * share)
            assert began.sum() == count > 0
            candidates = [
                (-abs(float(g)), place)
                for place, (g, used) in enumerate(
                    zip(gradients[name].flatten(), old[name].flatten(), strict=True)
                )
                if not used
            ]
            chosen = {place for _, place in sorted(candidates)[:count]}
            assert {*began.nonzero().flatten().tolist()} == chosen
        for name, number in numbers.items():
            assert torch.equal(trainer.agent.get_parameter(name), number)


def test_ne_3_nothing_grows_at_the_end(tiny_td3_config, tmp_path):
    """NE-3"""
    trainer, learner = started(tiny_td3_config, tmp_path)
    before = unused(trainer.agent)
    trainer.step = trainer.config.td3.total_steps
    assert trainer.method.act(trainer, learner) == []
    assert unused(trainer.agent) == before


def test_ne_2_a_batch_is_of_the_old_part_only_if_the_method_says_so(tiny_td3_config, tmp_path):
    """NE-2"""
    trainer, learner = started(tiny_td3_config, tmp_path, "ne", review_threshold=0.5)
    shares = {trainer.method.share(trainer.generator) for _ in range(50)}
    assert shares == {1.0}  # until two ratios are known
    trainer.method.act(trainer, learner)
    trainer.method.act(trainer, learner)  # nothing was learned in between: the slope is near 0
    shares = [trainer.method.share(trainer.generator) for _ in range(200)]
    assert shares.count(0.25) > 150
    trainer.method.load({"review": np.array([0.5, 1.0])})
    assert {trainer.method.share(trainer.generator) for _ in range(50)} == {1.0}


@pytest.mark.parametrize("threshold", [0.02, 0.5])
def test_ne_2_the_log_says_how_likely_a_batch_was_a_review(
    tiny_td3_config, tmp_path, monkeypatch, threshold
):
    """NE-2: of the updates of each row as many are reviews, but for luck"""
    shares, sample = [], Replay.sample

    def spy(self, draws, share=1.0):
        shares.append(share)
        return sample(self, draws, share)

    monkeypatch.setattr(Replay, "sample", spy)
    notes, every = Notes(), 10
    config = run_of(tiny_td3_config, "ne", log_every=every)
    train(
        replace(config, method=replace(config.method, review_threshold=threshold)), tmp_path, notes
    )
    logged = np.array([n["critic/review"] for _, n in notes.numbers if "critic/review" in n])
    assert logged.min() == 0.0  # before two ratios are known
    assert logged.max() > 0.5
    spread = np.sqrt(every * (logged * (1 - logged)).sum())
    assert abs(shares.count(0.25) - every * logged.sum()) <= 4 * spread


@pytest.mark.parametrize("kind", ["ne", "ne-no-pruning", "ne-no-review", "random-growth", "none"])
def test_ne_2_only_methods_that_review_have_the_column(tiny_td3_config, tmp_path, kind):
    """NE-2"""
    notes = Notes()
    train(run_of(tiny_td3_config, kind), tmp_path, notes)
    reviews = kind in ("ne", "ne-no-pruning")
    learned = [numbers for _, numbers in notes.numbers if numbers]
    assert learned
    assert all(("critic/review" in numbers) == reviews for numbers in learned)


def test_the_targets_are_sparse_from_the_start(tiny_td3_config, tmp_path):
    config = replace(tiny_td3_config("tiny/Aim-v0"), method=MethodConfig("static-sparse"))
    trainer = TD3Trainer.start(config, tmp_path)
    trainer.method.begin(trainer)
    agent = trainer.agent
    for name in ("actor", "critic1", "critic2"):
        target = agent.get_submodule(f"target_{name}")
        for key, parameter in agent.get_submodule(name).named_parameters():
            assert torch.equal(parameter, target.get_parameter(key))


def test_ne_5_a_layer_loses_at_most_a_share_of_what_it_grows_by(tiny_td3_config, tmp_path):
    """NE-5"""
    notes = Notes()
    train(run_of(tiny_td3_config, "ne"), tmp_path, notes)
    grown = {event.update: event.began for event in notes.events if event.kind == "grow"}
    pruned = {event.update: event.ceased for event in notes.events if event.kind == "prune"}
    assert pruned
    assert all(0 < count <= 0.4 * grown[update] for update, count in pruned.items())
