"""PRUNE-4: which units are constants, and what takes them over."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import Grade, PruneDormantPass, RefusalError, VerificationError
from morphir.axes import AxisGroups
from morphir.backend import resizing
from morphir.ir import Check, Fold
from morphir.passes.constants import Constants, together
from morphir.passes.units import Known, Units
from tests.checks.pairs import Net
from tests.checks.resized import coarse
from tests.passes.compactions import assert_same_state, zero
from tests.passes.test_wider import IMAGE, X


def constants_of(model: nn.Module, at: str, x: torch.Tensor = X) -> Constants:
    program = morphir.trace(model, example_inputs=(x,))
    groups = AxisGroups(program)
    return Constants(program, Units(groups, groups.of(at)[0].atom), Known(program))


def test_prune_4_the_constant_of_every_position():
    model = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 2))
    zero(model[0].weight, [1, 3])
    found = constants_of(model, "0")
    assert found.reasons == {1: "", 3: ""}
    (fold,) = found.folds([3])
    assert (fold.weight, fold.bias) == ("2.weight", "2.bias")
    expected = torch.sigmoid(model[0].bias[3].double()).item()
    assert fold.constants == (0, 0, 0, pytest.approx(expected, rel=1e-14), 0)


def test_prune_4_what_is_zero_is_no_constant():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    zero(model[0].weight, [1, 3])
    with torch.no_grad():
        model[0].bias[[1, 3]] = torch.tensor([-1.0, 2.0])
    assert constants_of(model, "0").reasons == {3: ""}


def test_prune_4_a_pixel_each_behind_flatten():
    """Zero padding before the activation makes other constants at the border."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(3 * 64, 2))
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = 0.25
    found = constants_of(model, "0", IMAGE)
    assert found.reasons == {1: ""}
    (fold,) = found.folds([1])
    image = torch.tensor(fold.constants).reshape(3, 8, 8)
    assert torch.equal(image[1], F.pad(torch.full((6, 6), 0.25), (1, 1, 1, 1)))
    assert (image[[0, 2]] == 0).all()


def test_prune_4_not_behind_a_convolution_whose_operand_was_padded():
    """There the sum is another one at the border."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.Conv2d(3, 2, 3))
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = 0.25
    assert constants_of(model, "0", IMAGE).reasons == {}


class Calls(nn.Module):
    """One layer that reads the same units twice."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.a, self.b, self.factor = nn.Linear(4, 5), nn.Linear(5, 2), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x).sigmoid()
        return self.b(h) + self.b(h * self.factor).sigmoid()


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(1.0, ""), (2.0, "the unit is another constant at each call of 'b.weight'")],
)
def test_prune_4_every_call_of_a_shared_layer_has_to_read_the_same(factor: float, reason: str):
    model = Calls(factor)
    zero(model.a.weight, 2)
    assert constants_of(model, "a").reasons == {2: reason}


@pytest.mark.parametrize("at_the_other_call", ["zero", "unknown"])
def test_prune_4_at_a_call_where_the_unit_is_zero_it_is_another_constant(at_the_other_call: str):
    """Only the unit that differs stays; what varies at a call is no constant."""
    second = F.leaky_relu if at_the_other_call == "zero" else torch.cumsum
    options = {} if at_the_other_call == "zero" else {"dim": 0}
    model = Net(
        lambda s, x: s.b(s.a(x).relu()) + s.b(second(s.a(x), **options)).sigmoid(),
        a=nn.Linear(4, 5), b=nn.Linear(5, 2),
    )  # fmt: skip
    zero(model.a.weight, [1, 2])
    with torch.no_grad():
        model.a.bias[[1, 2]] = torch.tensor([0.5, -0.5])
    reason = "the unit is another constant at each call of 'b.weight'"
    expected = {1: "", 2: reason} if at_the_other_call == "zero" else {}
    assert constants_of(model, "a").reasons == expected


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("lagging", [1.0, -1.0])
def test_prune_4_a_constant_that_is_another_one_in_train_mode_stays(mode: bool, lagging: float):
    """An empty filter whose statistics lag is relu(0.3 - mean) in eval mode, relu(0.3) in train."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 3)
    )
    zero(model[0].weight, [2, 4])
    with torch.no_grad():
        model[1].bias.fill_(0.3)
        model[1].running_mean[2] = lagging
    result = fold(model.train(mode), IMAGE)
    assert result.module[0].out_channels == 5
    assert "1 of 6 units of 0.weight removed: 4 (PRUNE-4)" in str(result.report)
    reason = r"unit 2 is a constant that can't be folded: the unit is another constant at each call"
    with pytest.raises(RefusalError, match=reason):
        morphir.apply(model, PruneDormantPass("0", [2], fold=True), example_inputs=(IMAGE,))


def test_prune_4_a_bias_that_takes_nothing_over_is_left_alone():
    """`c` reads what is constant as zero, and its bias is no sum."""
    model = Net(
        lambda s, x: s.b(s.a(x)) + s.c(s.a(x).relu()),
        a=nn.Linear(4, 5), b=nn.Linear(5, 2), c=nn.Linear(5, 2),
    )  # fmt: skip
    zero(model.a.weight, 2)
    with torch.no_grad():
        model.a.bias[2] = -0.5
    found = constants_of(model, "a")
    assert found.reasons == {2: ""}
    assert [each.bias for each in found.folds([2])] == ["b.bias"]


def test_prune_4_calls_that_do_not_read_the_unit_have_no_say():
    """The columns of `b` are zero; `c` takes over what it reads."""
    model = Net(
        lambda s, x: s.b(s.a(x).relu()) + s.b(2 * s.a(x)).sigmoid() + s.c(s.a(x)),
        a=nn.Linear(4, 5), b=nn.Linear(5, 2), c=nn.Linear(5, 2),
    )  # fmt: skip
    zero(model.a.weight, 2)
    with torch.no_grad():
        model.a.bias[2] = 0.5
        model.b.weight[:, 2] = 0
    found = constants_of(model, "a")
    assert found.reasons == {2: ""}
    assert [(each.bias, each.constants[2]) for each in found.folds([2])] == [("c.bias", 0.5)]


def test_prune_4_what_two_axes_leave_out_is_taken_over_once():
    one = Fold("w", "b", (0.5, 0.25, 0.0, 0.0))
    other = Fold("w", "b", (0.5, 0.0, 1.0, 0.0))
    alone = Fold("v", "b", (2.0,))
    assert together([one, alone, other]) == [Fold("w", "b", (0.5, 0.25, 1.0, 0.0)), alone]


@pytest.mark.parametrize("seed", range(12))
def test_prune_4_channels_and_the_members_of_their_groups(seed: int):
    """PRUNE-4: units of a depthwise convolution are constant along either axis, or along both"""
    torch.manual_seed(seed)
    groups, members = [(4, 2), (3, 3), (2, 4)][seed % 3]
    tail = [nn.Flatten(), nn.Linear(groups * members * 9, 2)]
    model = nn.Sequential(
        nn.Conv2d(2, groups, 3), nn.ReLU(),
        nn.Conv2d(groups, groups * members, 2, groups=groups), [nn.ReLU(), nn.Sigmoid()][seed % 2],
        *(tail if seed % 4 > 1 else [nn.Conv2d(groups * members, 2, 2)]),
    )  # fmt: skip
    layer = model[2]
    is_constant = torch.rand(groups, members) < 0.1
    is_constant[int(torch.randint(groups, ()))] = True
    is_constant[:, int(torch.randint(members, ()))] = True
    rows = is_constant.flatten()
    with torch.no_grad():
        layer.weight[rows] = 0
        layer.bias[rows] = torch.tensor([-1.0, 0.0, 0.5, 1.3])[torch.randint(4, (int(rows.sum()),))]
    result = fold(model, IMAGE)
    assert result.module[0].out_channels < groups
    left = result.module[2].out_channels // result.module[0].out_channels
    assert left < members
    with torch.no_grad():
        old = copy.deepcopy(model).double()(IMAGE.double())
        new = copy.deepcopy(result.module).double()(IMAGE.double())
    assert (old - new).abs().max() <= 1e-6 * old.abs().max()  # the biases are float32


def test_prune_4_what_is_infinite_is_no_constant():
    model = nn.Sequential(nn.Linear(4, 5), nn.Softshrink(), nn.Linear(5, 2))
    assert constants_of(model, "0").reasons == {}


@pytest.mark.parametrize(
    "layer", [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish()]
)
def test_prune_4_behind_a_function_that_falls_and_rises(layer: nn.Module):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), layer, nn.Linear(6, 2)).double()
    zero(model[0].weight, [1, 4])
    with torch.no_grad():
        model[0].bias[[1, 4]] = torch.tensor([-1.0, 0.3], dtype=torch.float64)
    x = torch.randn(9, 4, dtype=torch.float64)
    result = fold(model, x)
    assert result.module[0].out_features == 4
    assert (model(x) - result.module(x)).abs().max() < 1e-15


# -- how sure one can be ---------------------------------------------------------------------------


def dyadic(activation: nn.Module, *biases: float) -> nn.Sequential:
    """Weights of few bits; the first units read nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), activation, nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    coarse(model)
    zero(model[0].weight, slice(len(biases)))
    with torch.no_grad():
        model[0].bias[: len(biases)] = torch.tensor(biases)
    return model


def fold(model: nn.Module, x: torch.Tensor = X, **options: Any) -> morphir.TransformResult:
    return morphir.transform(model, PruneDormantPass(fold=True), example_inputs=(x,), **options)


def check_named(result: Any, name: str) -> Check:
    (found,) = (check for check in result.report.checks if check.name == name)
    return found


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        lambda: dyadic(nn.ReLU(), 0.5, 1.0),
        lambda: dyadic(nn.LeakyReLU(), 0.25, -0.0),
        lambda: dyadic(nn.Sigmoid(), 0.0),
        lambda: dyadic(nn.Hardtanh(), 3.0, -8.0),
    ],
)
def test_prune_4_an_exact_fold_is_proved(model: Any, inplace: bool):
    """PRUNE-4, CERT-16: also in place, where the old numbers are gone"""
    model = model()
    before = copy.deepcopy(model)
    result = fold(model, inplace=inplace, min_grade=Grade.PROVED)
    assert result.report.grade is Grade.PROVED
    assert "rounding" not in {check.name for check in result.report.checks}
    assert "constants that biases took over" in check_named(result, "certificate").summary
    x = X.double()
    both = before.double()(x), result.module.double()(x)
    torch.testing.assert_close(*both, rtol=0, atol=1e-14)


@pytest.mark.parametrize("inplace", [False, True])
def test_prune_4_one_that_had_to_be_rounded_is_tested(inplace: bool):
    """PRUNE-4: and both say by how much, the certificate and the run"""
    model = dyadic(nn.ReLU(), 0.5, 0.3)
    before = copy.deepcopy(model)
    with pytest.raises(VerificationError, match="the change is TESTED, expected PROVED"):
        fold(model, inplace=inplace, min_grade=Grade.PROVED)
    assert_same_state(before, model)
    result = fold(model, inplace=inplace)
    assert result.report.grade is Grade.TESTED
    said = check_named(result, "certificate").summary
    assert said.startswith("CERT-16: '2.bias' takes units over that are left out, and is off by")
    stated = float(said.rpartition("off by ")[2].split(",")[0])
    assert stated == pytest.approx(check_named(result, "rounding").figures["rounding"], rel=0.05)


@pytest.mark.parametrize("inplace", [False, True])
def test_prune_4_a_fold_within_bounds_is_proved_on_the_box(inplace: bool):
    """PRUNE-4, CERT-16: a unit that is 1 for all inputs in the box, and not for all"""
    model = dyadic(nn.Hardtanh(), 9.0)
    with torch.no_grad():
        model[0].weight[0] = torch.tensor([1.0, -1.0, 0.5, 0.0])
    pass_ = PruneDormantPass(fold=True, box=(-3.0, 3.0))
    result = morphir.transform(model, pass_, example_inputs=(X,), inplace=inplace)
    assert result.module[0].out_features == 5
    assert result.report.grade is Grade.PROVED_ON_BOX


@pytest.mark.parametrize("inplace", [False, True])
def test_prune_4_an_exact_fold_that_is_one_ulp_off_is_caught(inplace: bool, monkeypatch: Any):
    """PRUNE-4, CERT-16"""
    rounded = resizing._Resized._rounded

    def wrong(self: Any, old: torch.Tensor) -> torch.Tensor:
        new = rounded(self, old)
        return new.nextafter(torch.tensor(9.0)) if new.dim() == 1 else new

    monkeypatch.setattr(resizing._Resized, "_rounded", wrong)
    model = dyadic(nn.ReLU(), 0.5)
    before = copy.deepcopy(model)
    with pytest.raises(VerificationError) as raised:
        fold(model, inplace=inplace)
    assert check_named(raised.value, "certificate").summary.startswith("CERT-16")
    assert check_named(raised.value, "float64").grade is Grade.REFUTED
    assert_same_state(before, model)


def test_prune_4_a_number_that_follows_the_batch_is_no_constant():
    """PRUNE-4: at a batch of one it is 0, at one of five it is 4"""

    class Batch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(torch.relu(self.a(x) + (x.shape[0] - 1)))

    model = Batch()
    zero(model.a.weight, 2)
    assert constants_of(model, "a").reasons == {}
    assert fold(model).module.a.out_features == 5
