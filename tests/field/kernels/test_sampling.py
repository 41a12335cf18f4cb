"""FIELD-6: what a model draws at random is the same in every model that makes as many draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import distributions
from torch.nn import functional as F

from morphir.field.kernels import sampling
from tests.field.lifted import call, new_run

X, SCALE = torch.randn(200, 5), torch.rand(200, 5) + 1

DRAWS: list[tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = [
    ("normal", lambda x: torch.normal(x, 2.0)),
    ("normal", lambda x: torch.normal(x, x * x)),
    ("normal", lambda x: torch.normal(1.0, x)),
    ("normal_", lambda x: x.clone().normal_(1, 2)),
    ("normal_", lambda x: torch.empty(200, 5).normal_() + x),
    ("uniform", lambda x: x.clone().uniform_(-1, 2)),
    ("exponential", lambda x: x.clone().exponential_()),
    ("_standard_gamma", torch._standard_gamma),
    ("_sample_dirichlet", torch._sample_dirichlet),
    ("poisson", torch.poisson),
    ("multinomial", lambda x: x.multinomial(2)),
    ("multinomial", lambda x: x.multinomial(7, replacement=True)),
]
IDS = [name for name, _ in DRAWS]


@pytest.mark.parametrize(("name", "draw"), DRAWS, ids=IDS)
def test_field_6_draws_are_the_same_in_every_run_and_another_each_time(name: str, draw: Any):
    used: set[str] = set()
    found = [call(lambda x: (draw(x), draw(x)), X, run=new_run(used=used)) for _ in range(2)]
    assert name in used
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert not torch.equal(*found[0])


def test_field_1_the_mean_and_the_scale_of_a_draw_are_exact():
    def laws(x: torch.Tensor, scale: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        started = [torch.normal(x, scale), x + scale * torch.randn_like(x)]
        return [(started[0] - x) / scale, (started[1] - x) / scale]

    one, other = call(laws, X, SCALE)
    draws = call(lambda x: (torch.randn_like(x), torch.randn_like(x)), X)
    assert torch.equal(one, draws[0])
    assert torch.equal(other, draws[1])


@pytest.mark.parametrize(
    ("drawn", "from_unit"),
    [
        (lambda x: x.clone().normal_(3, 0.5), lambda draw: 3 + draw / 2),
        (lambda x: x.clone().normal_(), lambda draw: draw),
        (lambda x: torch.normal(x - x), lambda draw: draw),
        (lambda x: x.clone().uniform_(), lambda draw: draw),
        (lambda x: x.clone().exponential_(), lambda draw: draw),
        (lambda x: x.clone().uniform_(-1, 2), lambda draw: -1 + 3 * draw),
        (lambda x: x.clone().exponential_(4), lambda draw: draw / 4),
    ],
)
def test_field_1_the_settings_of_a_draw_are_exact(drawn: Any, from_unit: Any):
    assert torch.equal(call(drawn, X), call(lambda x: from_unit(torch.randn_like(x)), X))


@pytest.mark.parametrize(("name", "draw"), DRAWS[7:], ids=IDS[7:])
def test_field_6_a_draw_by_parameters_changes_with_them(name: str, draw: Any):
    one, other = call(draw, X), call(lambda x: draw(x + (x == x[:1])), X)
    assert (one[0] != other[0]).any()
    assert torch.equal(one[1:], other[1:])


@pytest.mark.parametrize("column", range(5))
def test_field_6_a_choice_depends_on_every_weight_even_if_their_sum_stays(column: int):
    moved = torch.zeros(5)
    moved[column], moved[(column + 1) % 5] = 0.25, -0.25
    one, other = (call(lambda x: x.multinomial(1), weights) for weights in (X, X + moved))
    assert 0.05 < (one == other).double().mean() < 0.4


def test_field_6_chosen_places_are_places_and_no_two_the_same_without_replacement():
    found = call(lambda x: x.multinomial(5), X)
    assert torch.equal(found.sort(1).values, torch.arange(5).expand(200, 5))
    again = call(lambda x: x.multinomial(500, replacement=True), X)
    assert again.unique().tolist() == [*range(5)]
    assert call(lambda x: x.multinomial(2), X[0]).shape == (2,)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: distributions.Normal(x, 2.0).rsample(),
        lambda x: distributions.Categorical(logits=x).sample(),
        lambda x: distributions.Categorical(probs=x).log_prob(torch.zeros(200, dtype=torch.int64)),
        lambda x: distributions.Bernoulli(logits=x).sample(),
        lambda x: distributions.Beta(x, x + 1).rsample(),
        lambda x: distributions.Gamma(x, x + 1).rsample(),
        lambda x: distributions.Independent(distributions.Normal(x, 1.0), 1).entropy(),
        lambda x: F.gumbel_softmax(x, hard=True),
    ],
)
def test_field_6_distributions_draw(draw: Any):
    was = distributions.Distribution._validate_args
    distributions.Distribution.set_default_validate_args(False)
    try:
        one, other = (call(draw, X) for _ in range(2))
    finally:
        distributions.Distribution.set_default_validate_args(was)
    assert torch.equal(one, other)


def test_field_6_draws_of_whole_numbers_are_torchs_own():
    def drawn(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return torch.randint(0, 9, (4,)) + x[0, 0] * 0

    found = call(drawn, X)
    torch.manual_seed(3)
    assert torch.equal(found, torch.randint(0, 9, (4,)))


def test_the_cases_cover_the_table():
    assert {*IDS} == sampling.COMPUTED.keys()
