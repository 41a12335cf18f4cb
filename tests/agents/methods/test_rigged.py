"""RIGL-1, against a literal sort of all weights."""

from dataclasses import replace

import numpy as np
import torch

import morphir
from morphir_agents.amounts import Amount
from morphir_agents.methods import MethodConfig
from morphir_agents.td3 import interact, learn
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_networks import TD3NetworkConfig
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.test_neuroplastic import NAMES, dense_gradients


def started(tiny_td3_config, folder, seed):
    config = replace(
        tiny_td3_config("tiny/Aim-v0", random_steps=60, seed=seed),
        network=TD3NetworkConfig((12, 10)),
        method=MethodConfig("rigl", amount=Amount(rate=0.4)),
    )
    trainer = TD3Trainer.start(config, folder)
    trainer.method.begin(trainer)
    learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
    for _ in range(120):
        interact(trainer)
        if trainer.step > config.td3.random_steps:
            learn(trainer, learner)
    return trainer, learner


def test_rigl_1_the_smallest_go_and_the_largest_gradients_come(tiny_td3_config, tmp_path):
    """RIGL-1"""
    for seed in range(5):
        trainer, learner = started(tiny_td3_config, tmp_path / str(seed), seed)
        gradients = dense_gradients(trainer)
        old = {n: mask.clone() for n, mask in morphir.Masks(trainer.agent).masks.items()}
        numbers = {name: trainer.agent.get_parameter(name).detach().clone() for name in NAMES}
        trainer.method.act(trainer, learner)
        new = morphir.Masks(trainer.agent).masks
        share = 0.2 * (1 + np.cos(np.pi * trainer.step / trainer.config.td3.total_steps))
        for name in NAMES:
            used = [*old[name].flatten().nonzero().flatten().tolist()]
            moved = int(len(used) * share)
            assert moved > 0
            sizes, slopes = numbers[name].flatten().abs(), gradients[name].flatten().abs()
            kept = {*sorted(used, key=lambda i: float(sizes[i]))[moved:]}
            others = {*range(sizes.numel())} - kept
            come = {*sorted(others, key=lambda i: -float(slopes[i]))[:moved]}
            assert {*new[name].flatten().nonzero().flatten().tolist()} == kept | come
            parameter = trainer.agent.get_parameter(name).detach().flatten()
            for place in kept:
                assert parameter[place] == numbers[name].flatten()[place]
            began = come - {*used}
            assert all(parameter[place] == 0 for place in began)
            assert float(new[name].sum()) == len(used)


def test_nothing_moves_at_the_end(tiny_td3_config, tmp_path):
    trainer, learner = started(tiny_td3_config, tmp_path, 0)
    before = {n: mask.clone() for n, mask in morphir.Masks(trainer.agent).masks.items()}
    trainer.step = trainer.config.td3.total_steps
    assert trainer.method.act(trainer, learner) == []
    after = morphir.Masks(trainer.agent).masks
    assert all(torch.equal(before[name], mask) for name, mask in after.items())
