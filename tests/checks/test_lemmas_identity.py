"""CERT-1: new layers that are the identity to the bit, and what only looks like one."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks.lemmas import is_dirac
from tests.checks.pairs import Net, certify, dirac, identity, is_proved, pair


def inserted(layer: nn.Module, *, size: int = 8) -> tuple[Net, Net]:
    """A layer after another."""
    return pair(lambda s, x: s.fc(x), lambda s, x: s.new(s.fc(x)), fc=nn.Linear(8, size), new=layer)


def changed(layer: nn.Linear, index: tuple[int, ...], number: float) -> nn.Linear:
    with torch.no_grad():
        layer.weight[index] = number
    return layer


@pytest.mark.parametrize("bias", [True, False])
def test_cert_1_accepts_an_identity_layer(bias: bool):
    check = certify(*inserted(identity(8, bias=bias)))
    assert is_proved(check)
    assert check.figures["CERT-1"] == 1


def test_cert_1_accepts_an_identity_of_any_dtype():
    before, after = inserted(identity(8))
    assert is_proved(certify(before.double(), after.double(), torch.randn(3, 8).double()))


def test_cert_1_accepts_negative_zeros():
    assert is_proved(certify(*inserted(changed(identity(8), (0, 1), -0.0))))


@pytest.mark.parametrize(
    ("index", "number"),
    [
        ((0, 0), 1 + 2**-23),
        ((0, 0), 1 - 2**-24),
        ((3, 3), -1.0),
        ((0, 1), 1e-45),
        ((7, 0), 1.0),
        ((2, 2), float("nan")),
        ((2, 5), float("inf")),
    ],
)
def test_cert_1_rejects_a_weight_that_is_not_exactly_the_identity(index: Any, number: float):
    check = certify(*inserted(changed(identity(8), index, number)))
    assert not is_proved(check)
    assert "@new.weight" in check.where


@pytest.mark.parametrize("number", [1e-45, -1.0, float("nan"), float("inf")])
def test_cert_1_rejects_a_bias_that_is_not_zero(number: float):
    layer = identity(8)
    with torch.no_grad():
        layer.bias[5] = number
    assert not is_proved(certify(*inserted(layer)))


@pytest.mark.parametrize("change", ["roll", "flip", "swap"])
def test_cert_1_rejects_a_permuted_identity(change: str):
    layer = identity(8)
    weight = layer.weight.detach()
    moved = {
        "roll": weight.roll(1, 0),
        "flip": weight.flip(0),
        "swap": weight[[1, 0, *range(2, 8)]],
    }
    layer.weight = nn.Parameter(moved[change].clone())
    assert not is_proved(certify(*inserted(layer)))


def test_cert_1_looks_only_at_new_state():
    """An old layer that happens to be an identity may be trained away: it stands for itself."""
    before, after = pair(
        lambda s, x: s.fc(x), lambda s, x: s.eye(s.fc(x)), fc=nn.Linear(8, 8), eye=identity(8)
    )
    assert not is_proved(certify(before, after))


def test_cert_1_rejects_an_identity_weight_with_an_old_bias():
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: F.linear(s.fc(x), s.new, s.fc.bias),
        fc=nn.Linear(8, 8),
        new=nn.Parameter(torch.eye(8)),
    )
    assert not is_proved(certify(before, after))


def convolved(layer: nn.Module, dimensions: int = 2) -> tuple[Any, ...]:
    kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    first = kinds[dimensions](3, 4, 3, padding=1)
    models = pair(lambda s, x: s.c(x), lambda s, x: s.new(s.c(x)), c=first, new=layer)
    return (*models, torch.randn(2, 3, *[6] * dimensions))


@pytest.mark.parametrize(
    "layer",
    [
        (nn.Conv2d, 3, {"padding": 1}),
        (nn.Conv2d, 1, {}),
        (nn.Conv2d, (1, 3), {"padding": (0, 1)}),
        (nn.Conv2d, 5, {"padding": "same"}),
        (nn.Conv2d, 1, {"padding": "valid"}),
        (nn.Conv2d, 3, {"padding": 2, "dilation": 2}),
        (nn.Conv2d, 3, {"padding": 1, "groups": 2}),
        (nn.Conv2d, 3, {"padding": 1, "groups": 4}),
    ],
    ids=str,
)
def test_cert_1_accepts_convolutions_that_read_where_they_write(layer: Any):
    kind, kernel, options = layer
    check = certify(*convolved(dirac(kind, 4, kernel, **options)))
    assert is_proved(check)
    assert check.figures["CERT-1"] == 1


@pytest.mark.parametrize("dimensions", [1, 3])
def test_cert_1_accepts_convolutions_of_other_dimensions(dimensions: int):
    kind = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions]
    assert is_proved(certify(*convolved(dirac(kind, 4, 3, padding=1), dimensions)))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_cert_1_accepts_any_padding_before_a_convolution_that_reads_inside(mode: str):
    assert is_proved(certify(*convolved(dirac(nn.Conv2d, 4, 3, padding=1, padding_mode=mode))))


@pytest.mark.parametrize("kernel", [(2, 2), (4, 3), (1, 2)])
def test_cert_1_accepts_even_kernels_after_a_pad(kernel: tuple[int, int]):
    layer = dirac(nn.Conv2d, 4, kernel)
    pads = [n for k in kernel[::-1] for n in ((k - 1) // 2, k - 1 - (k - 1) // 2)]
    before, after = pair(
        lambda s, x: s.c(x),
        lambda s, x: s.new(F.pad(s.c(x), pads)),
        c=nn.Conv2d(3, 4, 3),
        new=layer,
    )
    assert is_proved(certify(before, after, torch.randn(2, 3, 6, 6)))


def test_cert_1_rejects_an_even_kernel_that_is_padded_on_the_other_side():
    layer = dirac(nn.Conv2d, 4, 2)
    before, after = pair(
        lambda s, x: s.c(x),
        lambda s, x: s.new(F.pad(s.c(x), (1, 0, 1, 0))),
        c=nn.Conv2d(3, 4, 3),
        new=layer,
    )
    assert not is_proved(certify(before, after, torch.randn(2, 3, 6, 6)))


def test_cert_1_rejects_a_crop_that_a_convolution_pads_again():
    layer = dirac(nn.Conv2d, 4, 3, padding=1)
    before, after = pair(
        lambda s, x: s.c(x),
        lambda s, x: F.pad(s.new(F.pad(s.c(x), (-1, -1, -1, -1))), (1, 1, 1, 1)),
        c=nn.Conv2d(3, 4, 3),
        new=layer,
    )
    assert not is_proved(certify(before, after, torch.randn(2, 3, 6, 6)))


@pytest.mark.parametrize(
    "layer",
    [
        (nn.Conv2d, 3, {"padding": 0}),
        (nn.Conv2d, 3, {"padding": 2}),
        (nn.Conv2d, 3, {"padding": 1, "stride": 2}),
        (nn.Conv2d, 3, {"padding": 1, "dilation": 2}),
        (nn.Conv2d, 2, {"padding": 1}),
        (nn.Conv2d, 2, {"padding": 0}),
    ],
    ids=str,
)
def test_cert_1_rejects_convolutions_of_another_geometry(layer: Any):
    kind, kernel, options = layer
    before, after, x = convolved(dirac(kind, 4, kernel, **options))
    pooled = pair(
        lambda s, x: s.c(x).amax((2, 3)),
        lambda s, x: s.new(s.c(x)).amax((2, 3)),
        c=after.c,
        new=after.new,
    )
    assert not is_proved(certify(before, after, x))
    assert not is_proved(certify(*pooled, x))


@pytest.mark.parametrize("change", ["other tap", "other channel", "other group", "two taps"])
def test_cert_1_rejects_a_tap_in_the_wrong_place(change: str):
    groups = 2 if change == "other group" else 1
    layer: Any = dirac(nn.Conv2d, 4, 3, padding=1, groups=groups)
    with torch.no_grad():
        if change == "two taps":
            layer.weight[0, 0, 0, 0] = 1
        elif change == "other tap":
            layer.weight.copy_(layer.weight.roll(1, -1))
        else:
            layer.weight.copy_(layer.weight.roll(1, 0))
    assert not is_proved(certify(*convolved(layer)))


def test_cert_1_knows_no_transposed_convolution():
    layer: Any = nn.ConvTranspose2d(4, 4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4)[:, :, None, None])
    assert not is_proved(certify(*convolved(layer)))


def test_cert_1_is_exact_about_matrices_and_kernels():
    assert is_dirac({}, torch.eye(3))
    assert is_dirac({}, torch.eye(0))
    for wrong in (
        torch.eye(3, 4),
        torch.eye(4, 3),
        torch.ones(3),
        torch.zeros(3, 0),
        -torch.eye(3),
    ):
        assert not is_dirac({}, wrong)
    weight = torch.zeros(2, 2, 2)
    weight[0, 0, 0] = weight[1, 1, 0] = 1
    assert is_dirac({"padding": "same"}, weight)
    assert not is_dirac({"padding": 0}, weight), "the result is one shorter"
    assert not is_dirac({"padding": "same", "groups": 2}, weight)
    assert not is_dirac({"padding": "same", "groups": "all"}, weight)
    assert not is_dirac({"padding": "same", "stride": (2,)}, weight)
    assert not is_dirac({"padding": "same", "dilation": (1, 1)}, weight)
    assert not is_dirac({"padding": "same"}, weight, (0, 1)), "padded twice"
    assert not is_dirac({"padding": 0}, weight, (0, 1, 0, 0))
    assert not is_dirac({"padding": (0,), "stride": (2,)}, weight)
    assert is_dirac({"padding": 0}, weight, (0, 1))
    assert not is_dirac({"padding": 0}, weight, (1, 0))
    assert not is_dirac({"padding": 0}, weight, (-1, 2))
    assert not is_dirac({"padding": 1}, weight, (0, 1))
    assert not is_dirac({"padding": 0}, weight, (0, 0, 0, 1)), "another axis"
    assert not is_dirac({"padding": 0}, weight.flip(2), (-1, 2)), "a crop"
    assert is_dirac({"padding": "valid"}, weight, (0, 1))
    assert is_dirac({}, weight[..., :1]), "there is no padding by default"
    assert not is_dirac({}, torch.cat([torch.zeros(2, 2, 1), weight], 2))
