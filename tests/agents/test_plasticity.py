"""PLASTIC-1 to PLASTIC-4, each against an independent computation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from morphir_agents.plasticity import (
    activated_ratios,
    churn,
    dormant_ratios,
    dormant_scores,
    effective_rank,
    gradient_norm,
    weight_norm,
)

sizes = st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(0, 1000))


def relu(rows: int, units: int, seed: int) -> torch.Tensor:
    """Activations, some of their units silent."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(rows, units, generator=generator).relu()
    found[:, torch.rand(units, generator=generator) < 0.3] = 0
    return found


@given(sizes)
def test_plastic_1_scores_are_those_of_a_literal_loop(size):
    """PLASTIC-1"""
    activations = relu(*size)
    rows = activations.tolist()
    means = [sum(abs(row[unit]) for row in rows) / len(rows) for unit in range(size[1])]
    whole = sum(means) / len(means)
    expected = [mean / whole if whole else 0.0 for mean in means]
    assert dormant_scores(activations).tolist() == pytest.approx(expected, rel=1e-5)


@given(st.lists(sizes, min_size=1, max_size=3), st.sampled_from([0.0, 0.1, 0.5]))
def test_plastic_1_the_ratio_counts_units_over_all_layers(layers, threshold):
    """PLASTIC-1"""
    activations = {str(index): relu(*size) for index, size in enumerate(layers)}
    found = dormant_ratios(activations, threshold)
    dormant = {
        name: [score <= threshold for score in dormant_scores(each).tolist()]
        for name, each in activations.items()
    }
    for name, each in dormant.items():
        assert found[name] == pytest.approx(sum(each) / len(each))
    every = [unit for each in dormant.values() for unit in each]
    assert found["all"] == pytest.approx(sum(every) / len(every))


def test_plastic_1_positions_count_as_rows():
    """PLASTIC-1: of a convolution, once its channels come last"""
    images = torch.randn(3, 5, 5, 7)
    assert torch.equal(dormant_scores(images), dormant_scores(images.reshape(75, 7)))


@given(st.lists(sizes, min_size=1, max_size=3))
def test_plastic_2_the_share_of_activations_above_zero(layers):
    """PLASTIC-2"""
    activations = {str(index): relu(*size) for index, size in enumerate(layers)}
    found = activated_ratios(activations)
    numbers = {name: each.flatten().tolist() for name, each in activations.items()}
    for name, each in numbers.items():
        assert found[name] == pytest.approx(sum(number > 0 for number in each) / len(each))
    every = [number for each in numbers.values() for number in each]
    assert found["all"] == pytest.approx(sum(number > 0 for number in every) / len(every))


@given(st.integers(1, 8), st.integers(0, 50), st.sampled_from([0.01, 0.1, 0.3]))
def test_plastic_3_the_rank_is_the_least_count_of_singular_values(rank, seed, delta):
    """PLASTIC-3"""
    draws = np.random.default_rng(seed)
    features = draws.normal(size=(40, rank)) @ draws.normal(size=(rank, 8))
    values = sorted(np.sqrt(np.abs(np.linalg.eigvalsh(features.T @ features))), reverse=True)
    count = next(k for k in range(1, 9) if sum(values[:k]) >= (1 - delta) * sum(values))
    assert effective_rank(torch.from_numpy(features), delta) == count <= rank


def test_plastic_3_of_nothing_it_is_0_and_of_one_direction_1():
    """PLASTIC-3"""
    assert effective_rank(torch.zeros(9, 4)) == 0
    assert effective_rank(torch.ones(3, 3, 4)) == 1
    assert effective_rank(torch.eye(4)) == 4


def test_norms_are_of_all_numbers_together():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert gradient_norm(net.parameters()) == 0
    net(torch.randn(5, 3)).square().sum().backward()
    net[1].bias.grad = None
    gradients = np.concatenate(
        [p.grad.numpy().ravel() for p in net.parameters() if p.grad is not None]
    )
    numbers = np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])
    assert gradient_norm(net.parameters()) == pytest.approx(np.linalg.norm(gradients), rel=1e-5)
    assert weight_norm(net.parameters()) == pytest.approx(np.linalg.norm(numbers), rel=1e-5)


def test_plastic_4_churn_is_the_mean_distance_over_the_mean_size():
    """PLASTIC-4"""
    before = torch.tensor([[3.0, 4.0], [0.0, 5.0]])
    after = before + torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert churn(before, after) == pytest.approx(0.1)
    assert churn(before, before) == 0
    assert churn(torch.zeros(2, 2), torch.zeros(2, 2)) == 0
    assert churn(torch.zeros(2, 2), torch.ones(2, 2)) == math.inf
