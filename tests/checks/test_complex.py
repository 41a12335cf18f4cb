"""Complex numbers: real and imaginary parts count, and float64 means two float64 each."""

import pytest
import torch
from torch import nn

import morphir
from morphir import CompactPass, DeeperPass, Grade, PruneDormantPass, RefusalError, WiderPass
from morphir.checks.calling import double_copy
from morphir.checks.carried import Carried, check_carried
from morphir.checks.comparison import distance
from morphir.checks.differential import shaken
from morphir.checks.power import LiftToDouble
from morphir.checks.weights import unrelated
from morphir.ir import AxisMap, Mapped, Relation

X = torch.randn(3, 4)


class Spectral(nn.Module):
    """Real layers, then complex ones that are left by their absolute values."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 5)
        self.c, self.d = (nn.Linear(*n, dtype=torch.complex64) for n in ((5, 3), (3, 2)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.c(self.b(self.a(x).relu()).to(self.c.weight.dtype))
        return self.d(z * z).abs()


class Returning(Spectral):
    """What it returns is complex."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x).relu()).to(torch.complex64))


@pytest.mark.parametrize("make", [Spectral, Returning])
@pytest.mark.parametrize(
    "pass_", [WiderPass(at="a", width=9), WiderPass(at="b", width=9, init="fresh")]
)
def test_run_1_complex_numbers_are_compared_in_float64(make, pass_):
    """RUN-1: to 1e-12, which complex64 does not come near"""
    torch.manual_seed(0)
    model = make()
    model(X).abs().sum().backward()
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.step()
    result = morphir.transform(model, pass_, optimizer=optimizer, example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    checks = {check.name: check for check in result.report.checks}
    assert checks["float64"].grade is Grade.TESTED
    assert checks["native"].grade is Grade.TESTED
    result.module(X).abs().sum().backward()
    result.optimizer.step()


def test_run_1_the_distance_of_complex_numbers_counts_both_parts():
    """RUN-1"""
    real, imaginary = torch.randn(2, 3, 2, dtype=torch.float64)
    old = torch.complex(real, imaginary)
    assert distance(old, old.clone()) == 0
    assert distance(old, torch.complex(real, imaginary * (1 + 1e-9))) > 1e-10
    assert distance(old, old * (1 + 1e-15)) < 1e-14


def test_cert_10_imaginary_parts_count():
    """CERT-10: a unit is left out whose numbers are imaginary, and copies differ in them only"""
    old = torch.tensor([1 + 1j, 2j])
    first = Relation.split(AxisMap.copies(2, (0,)))
    assert not unrelated(torch.tensor([1 + 1j, 0j]), old[:1], [first])
    assert unrelated(old, old[:1], [first])
    twice = Relation.copied(AxisMap.copies(2, (0, 1, 1)))
    assert not unrelated(old, torch.tensor([1 + 1j, 2j, 2j]), [twice])
    assert unrelated(old, torch.tensor([1 + 1j, 2j, complex(0, 2.0000002)]), [twice])
    halves = Relation.split(AxisMap.copies(2, (0, 1, 1)))
    assert not unrelated(old, torch.tensor([1 + 1j, 1j, 1j]), [halves])
    assert unrelated(old, torch.tensor([1 + 1j, 1j, 3j]), [halves])


def test_kept_7_imaginary_parts_of_gradients_count():
    """KEPT-7"""
    change = (Mapped(2, AxisMap.copies(2, (0, 1, 1)), "split"),)
    old = torch.tensor([1 + 1j, 2j])
    for last, grade in ((2j, Grade.TESTED), (3j, Grade.REFUTED)):
        new = torch.tensor([1 + 1j, 2j, last])
        found = check_carried([Carried("w", "gradient", change, old, new)])
        assert found.grade is grade


def test_prune_1_a_complex_unit_is_dead_if_both_parts_are_zero():
    """PRUNE-1"""
    torch.manual_seed(0)
    model = Spectral()
    with torch.no_grad():
        model.d.weight[:, 1] = 0
        model.d.weight[:, 2] = 2j
    result = morphir.transform(model, PruneDormantPass(), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert result.module.c.weight.shape == (2, 5)


def test_fact_4_of_complex_weights_it_is_known_which_are_zero():
    """FACT-4"""

    class Gains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
            self.gains = nn.Parameter(torch.randn(6, dtype=torch.complex64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x) * self.gains.abs().relu())

    model = Gains()
    with torch.no_grad():
        model.gains[1] = 0
        model.gains[2] = 2j
    result = morphir.transform(model, PruneDormantPass(), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert result.module.gains.shape == (5,)


def test_compact_2_units_that_differ_in_imaginary_parts_are_no_copies():
    """COMPACT-2"""

    class Absolute(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c, self.d = nn.Linear(4, 6, dtype=torch.complex64), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.d(self.c(x.to(self.c.weight.dtype)).abs())

    model = Absolute()
    with torch.no_grad():
        model.c.weight[1:3], model.c.bias[1:3] = model.c.weight[0], model.c.bias[0]
        model.c.weight[1] += 1j
    result = morphir.transform(model, CompactPass(merge_copies=True), example_inputs=(X,))
    assert result.module.c.weight.shape == (5, 4)


def test_run_1_complex_parameters_are_shaken_and_casts_are_lifted():
    """RUN-1"""
    model = double_copy(Spectral())
    moved = (shaken(model).c.weight - model.c.weight).abs()
    assert 0 < moved.max() < 1e-13
    with LiftToDouble():
        assert X.double().cfloat().dtype is X.double().to(torch.complex64).dtype
        assert X.double().cfloat().dtype is torch.complex128


def test_deeper_1_beside_complex_layers():
    """DEEPER-1"""
    result = morphir.transform(Spectral(), DeeperPass(at="a"), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED


@pytest.mark.parametrize(
    ("pass_", "message"),
    [
        (
            WiderPass(at="c", width=5),
            r"'d\.weight' holds .*complex64, whose numbers are not split(.|\n)*fresh units, if",
        ),
        (
            WiderPass(at="c", width=5, init="fresh"),
            r"'c\.weight' holds .*complex64, and what a new(.|\n)*copies .* if no complex layer",
        ),
    ],
)
def test_back_8_complex_layers_do_not_grow(pass_, message):
    """BACK-8: nor does the one suggestion lead back to the other"""
    model = Spectral()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RefusalError, match=message):
        morphir.transform(model, pass_, example_inputs=(X,))
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
