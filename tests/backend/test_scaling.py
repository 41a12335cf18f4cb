"""Gradients of the widened model are the transported gradients of the old one."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from morphir.backend import scaling
from morphir.backend.scaling import scaled
from morphir.ir import AxisMap, Mapped, Multiplied, TensorChange
from tests.backend.widenings import (
    DOUBLED,
    EQUAL,
    UNEQUAL,
    WITH_FRESH,
    Attention,
    Recurrent,
    Residual,
    Shared,
    conv,
    mlp,
    norm,
    widen,
)


def gradients(net: nn.Module) -> dict[str, torch.Tensor]:
    x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = net(x)
    y.square().mul(torch.linspace(0.5, 2, y.numel()).reshape(y.shape)).sum().backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


def known(tensor: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """What is not fresh; nothing is said about the gradients of fresh units."""
    for axis, each in enumerate(change):
        places = torch.from_numpy(each.relation.source >= 0).nonzero().flatten()
        tensor = tensor.index_select(axis, places)
    return tensor


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3))


def duality_error(make, axis_map) -> float:
    old, new, edit = widen(make, axis_map)
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(new(x), old(x), rtol=0, atol=1e-12)
    before, after = gradients(old), gradients(new)
    errors = []
    for name, gradient in before.items():
        change = edit.tensors.get(name, tuple(map(Mapped, gradient.shape)))
        expected = scaled(gradient, change, "gradient")
        errors.append(relative_error(known(after[name], change), known(expected, change)))
    return max(errors)


@pytest.mark.parametrize(
    "axis_map", [UNEQUAL, EQUAL, WITH_FRESH], ids=["unequal", "equal", "fresh"]
)
@pytest.mark.parametrize("make", [mlp, conv, Residual, Shared, Attention, Recurrent])
def test_state_11_gradients_are_the_transported_ones(make, axis_map):
    """STATE-11: with unequal and negative shares, and BatchNorm in train mode"""
    assert duality_error(make, axis_map) < 1e-12


def test_state_14_statistics_need_equal_shares():
    """STATE-14: the function is kept, gradients only where every unit is copied equally"""
    assert duality_error(norm, EQUAL) < 1e-12
    assert duality_error(norm, DOUBLED) > 1e-2


def pulled_back(gradient: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The adjoint of the change: sums over copies, weighted by their shares where they split."""
    for axis, each in enumerate(change):
        weights = torch.from_numpy(each.shares("split"))
        source = torch.from_numpy(each.relation.source)
        shape = [*gradient.shape]
        shape[axis] = each.size
        weighted = gradient * weights.reshape(-1, *[1] * (gradient.dim() - 1 - axis))
        places = (source >= 0).nonzero().flatten()
        gradient = torch.zeros(shape, dtype=gradient.dtype).index_add(
            axis, source[places], weighted.index_select(axis, places)
        )
    return gradient


@pytest.mark.parametrize("axis_map", [UNEQUAL, EQUAL], ids=["unequal", "equal"])
@pytest.mark.parametrize("make", [mlp, conv, Residual, Shared, Attention, Recurrent, norm])
def test_state_15_the_old_gradient_is_the_pull_back(make, axis_map):
    """STATE-15: always, LayerNorm with unequal shares included"""
    if make is norm and axis_map is UNEQUAL:
        axis_map = DOUBLED
    old, new, edit = widen(make, axis_map)
    before, after = gradients(old), gradients(new)
    for name, gradient in before.items():
        change = edit.tensors.get(name, tuple(map(Mapped, gradient.shape)))
        assert relative_error(pulled_back(after[name], change), gradient) < 1e-12


S = 5 / 4
PAIRS = AxisMap(3, (0, 1, 2, 0), tuple(map(Fraction, ["5/4", "1", "1", "-1/4"])))
EXPECTED = {
    "gradient": [1 * S, 2 * S, -1 / 4, -2 / 4],
    "squared": [1 * S**2, 2 * S**2, 1 / 16, 2 / 16],
    "magnitude": [1 * S, 2 * S, 1 / 4, 2 / 4],
    "update": [1, 2, -1, -2],
    "update_size": [1, 2, 1, 2],
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_state_11_kinds(kind):
    """STATE-11: a copied axis has shares, a split one has none"""
    axis_map = AxisMap(
        2, (0, 1, 0, 1, -1), tuple(map(Fraction, ["5/4", "5/4", "-1/4", "-1/4", "0"]))
    )
    old = torch.tensor([1.0, 2.0])
    assert scaled(old, (Mapped(2, axis_map),), kind).tolist() == [*EXPECTED[kind], 0]
    assert scaled(old, (Mapped(2, axis_map, "split"),), kind).tolist() == [1, 2, 1, 2, 0]
    assert scaled(old, (Mapped(2, axis_map),), kind, start=3.0)[-1] == 3
    assert old.tolist() == [1, 2]


def test_state_11_squares_are_counted_from_their_start():
    """STATE-11: over several axes; where the share is 1 nothing is rounded"""
    gradient, start = torch.randn(6, 6), 0.1
    change = (Mapped(6, UNEQUAL), Multiplied((Mapped(2), Mapped(3, PAIRS))))
    new = scaled(start + gradient.square(), change, "squared", start)
    expected = start + scaled(gradient, change, "gradient").square()
    torch.testing.assert_close(new, expected, rtol=1e-6, atol=0)
    kept = torch.from_numpy(change[0].shares("copy") == 1).nonzero().flatten()
    rows = scaled(start + gradient.square(), (change[0], Mapped(6)), "squared", start)[kept]
    assert torch.equal(rows, start + gradient.square()[UNEQUAL.source, :][kept])
    split = tuple(Mapped(6, UNEQUAL, "split") for _ in range(2))
    both = scaled(start + gradient.square(), split, "squared", start)
    assert torch.equal(both, (start + gradient.square())[UNEQUAL.source, :][:, UNEQUAL.source])


@pytest.mark.parametrize("kind", EXPECTED)
def test_complex_numbers_are_carried_part_by_part(kind):
    """STATE-11, STATE-18: as torch's optimizers step them"""
    real, imaginary = torch.rand(2, 6, 2) + 0.5
    change = (Mapped(6, UNEQUAL), Mapped(2))
    start = 0.25 if kind == "squared" else 0.0
    new = scaled(torch.complex(real, imaginary), change, kind, start)
    back = scaling.pulled_back(new, change, kind, start)
    for part, old in (("real", real), ("imag", imaginary)):
        assert torch.equal(getattr(new, part), scaled(old, change, kind, start))
        torch.testing.assert_close(getattr(back, part), old, rtol=1e-5, atol=0)


def test_kinds_multiply_over_axes_and_factors():
    axis_map = AxisMap(1, (0, 0), (Fraction(5, 4), Fraction(-1, 4)))
    copy = Mapped(1, axis_map)
    change = (Multiplied((copy, copy)), copy)
    found = scaled(torch.ones(1, 1), change, "gradient")
    pair = torch.tensor([1.25, -0.25])
    expected = torch.outer(torch.outer(pair, pair).flatten(), pair)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_and_layout_are_kept(dtype):
    old = torch.randn(6, 6, 2, 2).to(dtype).to(memory_format=torch.channels_last)
    change = (Mapped(6, UNEQUAL), Mapped(6, UNEQUAL, "split"), Mapped(2), Mapped(2))
    new = scaled(old, change, "squared")
    assert new.dtype == dtype
    assert new.is_contiguous(memory_format=torch.channels_last)


def test_an_axis_that_had_no_units():
    change = (Mapped(0, AxisMap(0, (-1, -1), (Fraction(0), Fraction(0)))),)
    assert scaled(torch.zeros(0), change, "gradient").tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["gradient", "squared", "magnitude", "update", "update_size"])
@pytest.mark.parametrize("axis_map", [UNEQUAL, DOUBLED, EQUAL, WITH_FRESH])
@pytest.mark.parametrize("polarity", ["copy", "split"])
def test_state_18_what_was_transported_to_copies_comes_back(kind, axis_map, polarity):
    """STATE-18: the shares of the inverse are only good for their signs"""
    start = 7.0 if kind in ("squared", "update_size") else 0.0
    old = start + torch.rand(6, 3, dtype=torch.float64) + 0.5
    change = (Mapped(6, axis_map, polarity), Mapped(3))
    back = scaling.pulled_back(scaled(old, change, kind, start), change, kind, start)
    torch.testing.assert_close(back, old, rtol=1e-14, atol=0)


def test_state_18_the_gradient_of_copies_is_the_sum_of_theirs():
    """STATE-18: the pull-back, which holds whatever the copies have learned"""
    change = (Mapped(2, AxisMap.copies(2, (0, 1, 0)), "copy"), Mapped(2))
    gradient = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert scaling.pulled_back(gradient, change, "gradient").tolist() == [[6.0, 8.0], [3.0, 4.0]]
