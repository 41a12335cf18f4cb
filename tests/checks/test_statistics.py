"""RUN-8: what a forward in train mode leaves in buffers."""

import copy

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade, WiderPass
from morphir.checks.calling import double_copy
from morphir.checks.statistics import check_statistics
from morphir.ir import Check

X = (torch.randn(6, 4),)


def net(dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 2)
    )


def checked(before: nn.Module, after: nn.Module, tensors=(), **options) -> Check:
    both = double_copy(before), double_copy(after)
    found = check_statistics(*both, {"forward": (X, {})}, dict(tensors), **options)
    assert found.name == "statistics"
    return found


def test_run_8_the_copies_of_a_unit_have_its_statistics():
    """RUN-8"""
    before = net()
    result = morphir.transform(before, WiderPass(at="0", width=11), example_inputs=X)
    found = checked(before, result.module, result.certificate.tensors)
    assert found.grade is Grade.TESTED
    assert found.figures["buffers"] == 2
    assert found.summary == "2 buffers are the same after a forward in train mode"
    assert found.where == ""
    back = checked(result.module, before, result.certificate.tensors, inverse=True)
    assert back.grade is Grade.TESTED


@pytest.mark.parametrize("units", [slice(0, 1), slice(7, 8), slice(None)])
def test_run_8_other_statistics_of_a_unit_are_refuted_whatever_its_place(units: slice):
    """RUN-8"""
    before = net()
    result = morphir.transform(before, WiderPass(at="0", width=11), example_inputs=X)
    result.module[1].running_mean[units] += 0.5
    found = checked(before, result.module, result.certificate.tensors)
    assert (found.name, found.grade) == ("statistics", Grade.REFUTED)
    assert found.where == "1.running_mean"


@pytest.mark.parametrize("spoil", [{"momentum": 0.2}, {"running_mean": 0.5}])
def test_run_8_other_statistics_are_refuted_and_named(spoil):
    """RUN-8"""
    before = net()
    after = copy.deepcopy(before)
    for name, value in spoil.items():
        if name == "momentum":
            after[1].momentum = value
        else:
            after[1].running_mean += value
    found = checked(before, after)
    assert found.grade is Grade.REFUTED
    assert found.where.startswith("1.running_")


def test_run_8_random_draws_and_models_without_buffers_are_unknown():
    """RUN-8"""
    assert "random" in checked(net(0.5), net(0.5)).summary
    plain = nn.Linear(4, 2)
    assert checked(plain, copy.deepcopy(plain)).grade is Grade.UNKNOWN


def test_run_8_what_does_not_run_in_train_mode_is_unknown():
    """RUN-8: one number for each feature has no variance"""
    both = double_copy(net()), double_copy(net())
    found = check_statistics(*both, {"forward": ((X[0][:1],), {})}, {})
    assert (found.name, found.grade, found.where) == ("statistics", Grade.UNKNOWN, "forward")
    assert found.summary.startswith("not run in train mode: Expected more than 1 value")


def test_the_random_state_and_the_models_are_left_alone():
    before = net()
    bits = copy.deepcopy(before.state_dict())
    state = torch.get_rng_state()
    checked(before, copy.deepcopy(before))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, bits[key]) for key, value in before.state_dict().items())


def test_run_8_buffers_of_another_shape_are_left_out_where_no_change_is_told():
    """RUN-8: two models that somebody edited, of which one is wider"""
    before = net()
    result = morphir.transform(before, WiderPass(at="0", width=11), example_inputs=X)
    found = checked(before, result.module)
    assert found.grade is Grade.UNKNOWN
    assert "no floating-point buffer of one shape is in both models" in found.summary


def test_run_8_buffers_behind_one_of_another_shape_are_compared():
    """RUN-8"""
    before = net()
    after = copy.deepcopy(before)
    before[0].register_buffer("seen", torch.zeros(2))
    after[0].register_buffer("seen", torch.zeros(3))
    assert checked(before, after).figures["buffers"] == 2
    after[1].running_var += 0.5
    found = checked(before, after)
    assert (found.grade, found.where) == (Grade.REFUTED, "1.running_var")


def test_run_8_a_claim_of_other_sizes_is_no_claim_about_these_models():
    """RUN-8"""
    before = net()
    result = morphir.transform(before, WiderPass(at="0", width=11), example_inputs=X)
    found = checked(before, before, result.certificate.tensors)
    assert found.grade is Grade.UNKNOWN
    assert found.where in result.certificate.tensors


def test_run_8_masks_are_no_statistics():
    """RUN-8, MASK-3: but a buffer of that name that fits no parameter is one"""
    before, after = (net() for _ in range(2))
    after.load_state_dict(before.state_dict())
    for model, numbers in ((before, torch.zeros(2, 8)), (after, torch.ones(2, 8))):
        model[4].register_buffer("weight_mask", numbers)
    found = checked(before, after)
    assert (found.grade, found.figures["buffers"]) == (Grade.TESTED, 2)
    before[4].weight_mask, after[4].weight_mask = torch.zeros(3), torch.ones(3)
    found = checked(before, after)
    assert (found.grade, found.where) == (Grade.REFUTED, "4.weight_mask")


def normalised_twice() -> nn.Sequential:
    """The second norm sees means that are 0 but for rounding, and keeps a tenth of them."""
    norms = [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), *norms)


@pytest.mark.parametrize("seed", range(5))
def test_run_8_a_difference_that_rounding_makes_is_none(seed: int):
    """RUN-8"""
    torch.manual_seed(seed)
    before = normalised_twice()
    result = morphir.transform(before, WiderPass(at="0", width=9), example_inputs=X)
    tensors = result.certificate.tensors
    found = checked(before, result.module, tensors)
    assert (found.grade, found.figures["buffers"]) == (Grade.TESTED, 3)
    assert checked(result.module, before, tensors, inverse=True).grade is Grade.TESTED
    for wrong in ("3.running_mean", "3.running_var", "4.running_var"):
        spoilt = copy.deepcopy(result.module)
        spoilt.get_buffer(wrong).add_(1e-6)
        found = checked(before, spoilt, tensors)
        assert (found.grade, found.where) == (Grade.REFUTED, wrong)


def test_run_8_what_is_0_is_compared_as_it_is():
    """RUN-8: it has no size, and by nothing at all it moves infinitely far"""
    layers = nn.Linear(4, 2, bias=False), nn.Linear(2, 1, bias=False)
    before = nn.Sequential(*layers, nn.BatchNorm1d(1))
    with torch.no_grad():
        before[0].weight.copy_(torch.ones(2, 4))
        before[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
    after = copy.deepcopy(before)
    assert checked(before, after).figures["buffers"] == 2
    after[2].running_mean.add_(1e-6)
    found = checked(before, after)
    assert (found.grade, found.where) == (Grade.REFUTED, "2.running_mean")


def test_run_8_a_forward_that_refuses_other_parameters_says_nothing_about_rounding():
    """RUN-8"""

    class Particular(nn.BatchNorm1d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.weight.ne(1).any():
                raise ValueError("what the weight is")
            return super().forward(x)

    before = nn.Sequential(nn.Linear(4, 8), Particular(8))
    after = copy.deepcopy(before)
    assert checked(before, after).grade is Grade.TESTED
    after[1].running_mean.add_(1e-6)
    found = checked(before, after)
    assert (found.grade, found.where) == (Grade.REFUTED, "1.running_mean")
