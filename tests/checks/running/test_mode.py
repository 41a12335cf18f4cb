"""RUN-9: bounds follow memory, whatever writes to it, and say where they end."""

import pytest
import torch
from hypothesis import example, given
from torch import nn

from morphir.checks.calling import call_entry_point, double_copy, doubled, private_copy
from morphir.checks.comparison import numbers_in
from morphir.checks.power import LiftToDouble
from morphir.checks.running import RunningError
from morphir.testing import Recipe, Step, build, example_inputs, recipes
from tests.checks.running.sound import Function, assert_bounded, bounded


def by_halves(x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(x)
    half = out[:, :2]
    half.copy_(x[:, :2] * 0.3)
    out[:, 2:] = x[:, 2:].exp()
    return out


def in_place(x: torch.Tensor) -> torch.Tensor:
    y = x * 0.3
    view = y.t()
    view.mul_(0.7).add_(1)
    y.relu_()
    y[0].zero_()
    return y


def by_index(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, torch.tensor([0, 2])] = x[:, :2] * 0.1
    y.masked_fill_(torch.ones(4, 4).triu(1).bool(), 2.0)
    return y


@pytest.mark.parametrize("function", [by_halves, in_place, by_index])
def test_run_9_writes_in_place_reach_every_view(function: Function):
    """RUN-9"""
    assert_bounded(function, torch.randn(4, 4))


def test_run_9_what_was_written_over_is_forgotten():
    """RUN-9"""
    x = torch.randn(4, 4)
    _, bound, _ = bounded(lambda x: (x * 0.3).fill_(1.0), x)
    assert not bound.any()
    _, bound, _ = bounded(lambda x: (x * 0.3).zero_(), x)
    assert not bound.any()
    _, bound, _ = bounded(lambda x: (x * 0.3).normal_(), x)
    assert not bound.any()


@pytest.mark.parametrize(
    "leak",
    [
        lambda x: float(x.sum()),
        lambda x: x.tolist()[0],
        lambda x: x.numpy()[0],
        lambda x: 1.0 if x.sum() > 0 else 2.0,
        lambda x: 1.0 if torch.equal(x, x + 1) else 2.0,
    ],
)
def test_run_9_numbers_that_left_torch_end_all_bounds(leak):
    """RUN-9"""
    *_, run = bounded(lambda x: x * leak(x * 0.3), torch.randn(4))
    assert run.lost


def test_run_9_exact_numbers_may_leave():
    """RUN-9"""
    *_, run = bounded(lambda x: x * 0.3 * float(x[0]), torch.randn(4))
    assert not run.lost


def test_run_9_an_op_without_a_rule_bounds_nothing_and_is_named():
    """RUN-9"""
    _, bound, run = bounded(lambda x: torch.linalg.inv(x * 0.3), torch.eye(3))
    assert bool(bound.isinf().all())
    assert run.without_rule


def test_run_9_what_follows_from_nothing_known_is_not_for_want_of_a_rule():
    """RUN-9"""

    def choice(x: torch.Tensor) -> torch.Tensor:
        y = torch.linalg.inv(x * 0.3)
        return torch.where((y > 0).all(), y, 0.0)

    _, bound, run = bounded(choice, torch.eye(3))
    assert bool(bound.isinf().all())
    assert run.without_rule == {"linalg_inv_ex"}


def test_run_9_complex_numbers_bound_nothing():
    """RUN-9"""
    _, bound, _ = bounded(lambda x: torch.fft.fft(x * 0.3).real.clone(), torch.randn(4))
    assert bool(bound.isinf().all())


def test_run_9_out_and_shapes_changed_in_place_end_all_bounds():
    """RUN-9"""
    *_, run = bounded(lambda x: torch.mul(x, 0.3, out=torch.empty(4)), torch.randn(4))
    assert run.lost
    *_, run = bounded(lambda x: (x * 0.3).resize_(2), torch.randn(4))
    assert run.lost


def test_run_9_the_results_are_those_of_the_model():
    """RUN-9"""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4)).eval()
    x = torch.randn(5, 8)
    result, bound, _ = bounded(model, x)
    assert torch.allclose(result, model(x), atol=1e-6)
    assert bool(bound.isfinite().all())


def test_run_9_torchs_switches_are_put_back():
    """RUN-9: also when the model raises."""
    mha = torch.backends.mha.get_fastpath_enabled()
    mkldnn = torch.backends.mkldnn.enabled
    with pytest.raises(RuntimeError), RunningError():
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert torch.backends.mha.get_fastpath_enabled() == mha
    assert torch.backends.mkldnn.enabled == mkldnn
    assert torch.ones(2).add(1).sum() == 4


def test_run_9_memory_that_nobody_holds_is_forgotten():
    """RUN-9"""
    with torch.no_grad(), RunningError() as run:
        x = torch.randn(4) * 0.3
        for _ in range(500):
            x = x * 0.9 + 0.1
    assert len(run._shadows) < 70


@example(Recipe((Step("attention"),) * 3, inputs="sequence", weights="integers", dtype="float32"))
@given(recipes(dtypes=("float32",)))
def test_run_9_random_models_are_no_further_off_than_their_bounds(recipe: Recipe):
    """RUN-9"""
    model = build(recipe)
    short, long = private_copy(model), double_copy(model)
    for name, arguments in example_inputs(recipe).items():
        with RunningError() as run:
            found = numbers_in(call_entry_point(short, name, (arguments, {})))
        with LiftToDouble():
            exact = numbers_in(call_entry_point(long, name, doubled((arguments, {}))))
        assert not run.lost
        assert not run.without_rule
        for path, tensor in found.items():
            bound = run.bound(tensor)
            error = (tensor.double() - exact[path].double()).abs()
            assert bool((error <= (0 if bound is None else bound)).all()), path


def test_run_9_a_tensor_that_is_seen_in_another_way_keeps_its_bounds():
    """RUN-9"""
    x = torch.randn(3, 1)
    assert_bounded(lambda x: (x * 0.3).squeeze_(1).unsqueeze_(0), x)
    assert_bounded(lambda x: (x * 0.3).expand(3, 4).add(x), x)
    _, bound, _ = bounded(lambda x: torch.linalg.inv(x.expand(3, 3) + torch.eye(3)), x)
    assert bool(bound.isinf().all())
