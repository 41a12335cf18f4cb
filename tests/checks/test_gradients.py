"""GRAD-1 to GRAD-3: a change that keeps the function keeps its gradients, unit by unit."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

import morphir
from morphir import (
    CompactPass,
    DeeperPass,
    ExtendInputPass,
    Grade,
    PruneDormantPass,
    WiderPass,
)
from morphir.checks.calling import double_copy
from morphir.checks.differential import TOLERANCE
from morphir.checks.extended import Extended
from morphir.checks.gradients import check_gradients
from morphir.ir import Check

X = (torch.randn(5, 4),)


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)
    )


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 3, 2, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0])


def checked(before: nn.Module, result: morphir.TransformResult, x: tuple = X) -> Check:
    claims = result.certificate
    extended = Extended(claims.inputs, claims.outputs)
    both = double_copy(before), double_copy(result.module)
    inputs = {"forward": (x, {})}
    return check_gradients(*both, inputs, claims.tensors, extended, inverse=claims.is_inverse)


def test_grad_2_of_what_nobody_says_how_it_changed_nothing_is_compared():
    """GRAD-2"""
    before = mlp()
    result = morphir.transform(before, WiderPass(at="3", width=13))
    both = double_copy(before), double_copy(result.module)
    found = check_gradients(*both, {"forward": (X, {})}, {})
    assert (found.name, found.grade) == ("gradients", Grade.TESTED)
    changed = sum(a.shape != b.shape for a, b in zip(*(m.parameters() for m in both), strict=True))
    assert found.summary.startswith(f"{len([*before.parameters()]) - changed} parameters")
    found = check_gradients(*both[::-1], {"forward": (X, {})}, result.certificate.tensors)
    assert (found.name, found.grade) == ("gradients", Grade.UNKNOWN)


@pytest.mark.parametrize(
    ("make", "pass_", "x"),
    [
        (mlp, WiderPass(at="3", width=13), X),
        (mlp, WiderPass(at="0", width=16), X),
        (mlp, WiderPass(at="3", width=13, init="fresh"), X),
        (mlp, DeeperPass(at="4"), X),
        (mlp, ExtendInputPass(at="input", width=6), X),
        (Recurrent, WiderPass(at="cell", width=7), (torch.randn(2, 5, 4),)),
    ],
)
def test_grad_1_and_2_what_keeps_the_function_keeps_the_gradients(make, pass_, x):
    """GRAD-1, GRAD-2"""
    before = make()
    result = morphir.transform(before, pass_, example_inputs=x)
    found = checked(before, result, x)
    assert found.grade is Grade.TESTED, found
    assert found.figures["runs"] == 3
    assert found.figures["worst"] < TOLERANCE
    same = len(before.state_dict())
    assert found.summary == f"{same} parameters and the inputs have the same gradients in 3 runs"


def test_grad_2_a_merger_is_a_widening_read_backwards():
    """GRAD-2"""
    wide = morphir.apply(mlp(), WiderPass(at="3", width=13))
    result = morphir.transform(wide, CompactPass(merge_copies=True))
    assert result.certificate.is_inverse
    assert checked(wide, result).grade is Grade.TESTED


class Silent(nn.Module):
    """All units of `hidden` are 0, and so are those of `behind`, which reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.behind, self.head = (
            nn.Linear(a, b, bias=False) for a, b in ((4, 3), (3, 6), (6, 2))
        )
        with torch.no_grad():
            self.hidden.weight.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.behind(self.hidden(x)))


def test_grad_3_a_way_through_a_unit_that_is_left_out_ends_with_it():
    """GRAD-3: the unit of `hidden` that stays was read by six units, and is read by one"""
    torch.manual_seed(0)
    model = Silent()
    result = morphir.transform(model, PruneDormantPass(), example_inputs=X)
    assert [*result.module.behind.weight.shape] == [1, 1]
    assert result.report.grade is Grade.PROVED
    for net in (model, result.module):
        net(X[0]).sum().backward()
    new = result.module.hidden.weight.grad[0]
    assert all(not torch.allclose(old, new) for old in model.hidden.weight.grad)
    assert checked(model, result).grade is Grade.TESTED


def test_grad_3_biases_that_take_constants_over_are_those_of_the_new_model():
    """GRAD-3, PRUNE-4: behind the bias is a tanh, whose slope depends on it"""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)
    ).double()
    with torch.no_grad():
        model[0].weight[2] = 0
        model[0].bias[2] = 0.5
        model[2].weight[:, 2] = torch.tensor([0.5, -0.25, 1.0, 0.125, -2.0])
        model[2].bias.copy_(torch.tensor([0.25, 0.5, -0.75, 1.0, 0.0]))
    x = (X[0].double(),)
    result = morphir.transform(model, PruneDormantPass(fold=True), example_inputs=x)
    assert result.module[0].out_features == 5
    assert checked(model, result, x).grade is Grade.TESTED


def test_grad_2_gradients_of_copies_that_cancel_are_compared_as_their_sum():
    """GRAD-2: what rounding moves is then the sum, which is next to nothing"""
    one = nn.Sequential(nn.Linear(4, 1), nn.LayerNorm(1), nn.Linear(1, 3))
    before = morphir.apply(one, WiderPass(at="0", width=2), example_inputs=X)
    result = morphir.transform(before, CompactPass(merge_copies=True), example_inputs=X)
    assert result.module[0].out_features == 1
    assert checked(before, result).grade is Grade.TESTED


def test_grad_1_a_gradient_that_is_cut_is_refuted_where_it_is_missing():
    """GRAD-1: the outputs are the same"""
    before = mlp()
    result = morphir.transform(before, WiderPass(at="3", width=13))
    result.module[1].register_forward_hook(lambda _, __, output: output.detach())
    found = checked(before, result)
    assert found.grade is Grade.REFUTED
    assert "input 0" in found.where or "0.weight" in found.where
    assert found.figures["worst"] > TOLERANCE


def test_grad_2_copies_whose_claim_is_another_are_refuted():
    """GRAD-2: shares that are claimed the wrong way round"""
    before = mlp()
    result = morphir.transform(before, WiderPass(at="3", width=13))
    with torch.no_grad():
        result.module[5].weight[:, 8:] *= 2
    assert checked(before, result).grade is Grade.REFUTED


def test_grad_2_inputs_of_whole_numbers_have_no_gradient():
    """GRAD-2"""
    before = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    tokens = (torch.randint(0, 9, (5, 3)),)
    result = morphir.transform(before, WiderPass(at="1", width=11), example_inputs=tokens)
    assert checked(before, result, tokens).grade is Grade.TESTED


def test_grad_2_parameters_that_one_model_lacks_are_left_out():
    """GRAD-2"""
    first, last = nn.Linear(4, 3), nn.Linear(3, 2)
    before, after = (
        nn.Sequential(OrderedDict([(name, copy.deepcopy(first)), ("last", copy.deepcopy(last))]))
        for name in ("old", "new")
    )
    found = check_gradients(double_copy(before), double_copy(after), {"forward": (X, {})}, {})
    assert found.grade is Grade.TESTED
    assert found.summary.startswith("2 parameters and the inputs")


def test_grad_1_a_difference_is_relative_to_the_gradient():
    """GRAD-1"""

    class Faint(nn.Linear):
        factor = 1e-14

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * self.factor

    before = Faint(4, 2)
    after = copy.deepcopy(before)
    after.factor = 1.5e-14
    found = check_gradients(double_copy(before), double_copy(after), {"forward": (X, {})}, {})
    assert found.grade is Grade.REFUTED
    assert found.figures["worst"] == pytest.approx(0.5)


def test_nothing_is_said_where_no_gradient_is_finite():
    class Steep(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (super().forward(x) * 0).sqrt()

    before = Steep(4, 2)
    both = double_copy(before), double_copy(copy.deepcopy(before))
    found = check_gradients(*both, {"forward": (X, {})}, {})
    assert found.grade is Grade.UNKNOWN
    assert found.summary == "nothing could be compared: no run had finite gradients"


def test_nothing_is_said_where_nothing_flows_back():
    class Rounded(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach()

    before = Rounded(4, 2)
    both = double_copy(before), double_copy(copy.deepcopy(before))
    assert check_gradients(*both, {"forward": (X, {})}, {}).grade is Grade.UNKNOWN
    assert check_gradients(*both, {}, {}).grade is Grade.UNKNOWN


def test_grad_2_a_claim_of_other_sizes_is_no_claim_about_these_models():
    """GRAD-2"""
    before = mlp()
    result = morphir.transform(before, WiderPass(at="3", width=13), example_inputs=X)
    claims = result.certificate
    inputs = {"forward": (X, {})}
    found = check_gradients(*(double_copy(before) for _ in range(2)), inputs, claims.tensors)
    assert found.grade is Grade.UNKNOWN
    assert found.where in claims.tensors


@pytest.mark.parametrize("seed", range(3))
def test_grad_2_as_far_as_rounding_moves_a_gradient_it_may_differ(seed: int):
    """GRAD-2: a norm of two channels returns 1 and -1 almost wherever its input is"""
    torch.manual_seed(seed)
    before = nn.Sequential(
        nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4), nn.GroupNorm(2, 4, eps=1e-10), nn.Linear(4, 2)
    )
    result = morphir.transform(before, WiderPass(at="0", width=13), example_inputs=X)
    assert result.report.grade is Grade.PROVED
    found = checked(before, result)
    assert found.grade is Grade.TESTED, found


def test_grad_2_parameters_without_a_number_or_a_fraction_are_no_obstacle():
    """GRAD-2"""
    before = mlp()
    before.register_parameter("empty", nn.Parameter(torch.empty(0, 3)))
    count = nn.Parameter(torch.tensor([3]), requires_grad=False)
    before.register_parameter("count", count)
    result = morphir.transform(before, WiderPass(at="3", width=13), example_inputs=X)
    assert checked(before, result).grade is Grade.TESTED
