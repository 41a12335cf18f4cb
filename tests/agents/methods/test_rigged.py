"""RIGL-1, against a literal sort of all weights."""

import numpy as np
import torch

import morphir
from tests.agents.methods.test_neuroplastic import NAMES, dense_gradients, started


def test_rigl_1_the_smallest_go_and_the_largest_gradients_come(tiny_td3_config, tmp_path):
    """RIGL-1"""
    for seed in range(5):
        trainer, learner = started(tiny_td3_config, tmp_path / str(seed), "rigl", seed, 0.4)
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
    trainer, learner = started(tiny_td3_config, tmp_path, "rigl")
    before = {n: mask.clone() for n, mask in morphir.Masks(trainer.agent).masks.items()}
    trainer.step = trainer.config.td3.total_steps
    assert trainer.method.act(trainer, learner) == []
    after = morphir.Masks(trainer.agent).masks
    assert all(torch.equal(before[name], mask) for name, mask in after.items())
