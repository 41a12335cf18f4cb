"""Calling a model leaves no trace on it."""

import torch
from torch import nn

from morphir.checks.calling import (
    call_entry_point,
    double_copy,
    doubled,
    entry_point_of,
    observe,
    private_copy,
)
from morphir.randomness import kept_random_state


class Counter(nn.Module):
    """Counts its calls, remembers its last result, and holds an optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.optimizer = torch.optim.Adam(self.layer.parameters())
        self.last = self.layer(torch.ones(1, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.last = self.layer(x)
        return self.last

    def sample(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + torch.rand(2)

    def fails(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no kernel")


X = (torch.randn(3, 4),), {}


def test_a_private_copy_may_be_called_and_the_model_stays():
    model = Counter().train()
    twin = private_copy(model)
    twin(torch.randn(3, 4))
    assert int(twin.calls) == 1
    assert int(model.calls) == 0
    assert model.training
    assert not twin.training
    assert twin.optimizer is model.optimizer
    assert all(a is not b for a, b in zip(twin.parameters(), model.parameters(), strict=True))


def test_a_double_copy_has_the_same_numbers():
    model = Counter()
    twin = double_copy(model)
    assert {p.dtype for p in twin.parameters()} == {torch.float64}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(twin.layer.weight.float(), model.layer.weight)
    assert twin.calls.dtype == torch.int64


def test_arguments_are_copied_and_keep_their_integers():
    (x, index), _ = doubled(((torch.ones(2), torch.ones(2, dtype=torch.int64)), {}))
    assert (x.dtype, index.dtype) == (torch.float64, torch.int64)

    class Spoils(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.zero_()

    call_entry_point(Spoils(), "forward", X)
    assert bool(X[0][0].any())


def test_a_call_draws_the_same_numbers_each_time():
    model = Counter()
    with kept_random_state():
        one, other = (call_entry_point(model, "sample", X) for _ in range(2))
    assert torch.equal(one, other)
    assert not one.requires_grad


def test_entry_points_have_owners():
    model = nn.ModuleDict({"a": Counter()})
    assert entry_point_of(model, "a.sample") == model["a"].sample
    assert entry_point_of(model, "a.forward") is model["a"]


def test_an_observation_has_results_and_failures():
    model = Counter()
    state = torch.get_rng_state()
    seen = observe(private_copy(model), {"forward": X, "sample": X, "fails": X})
    assert torch.equal(state, torch.get_rng_state())
    assert [*seen.results] == ["forward", "sample"]
    assert seen.failures == {"fails": "RuntimeError: no kernel"}
    lifted = observe(double_copy(model), {"forward": X}, in_double=True)
    assert lifted.results["forward"].dtype == torch.float64
