"""CERT-16: a bias takes over units that are constants, exactly or not at all."""

import copy
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from morphir.checks import check_certificate
from morphir.checks.folds import _integers
from morphir.frontend import record
from morphir.ir import AxisMap, Certificate, Check, Grade, Mapped, ResizeClaim, TensorChange
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net
from tests.checks.resized import check, coarse, kept, resize

Claims = dict[str, TensorChange]
X = torch.randn(3, 4)
IMAGE = torch.randn(2, 2, 6, 6)


def without(size: int, *units: int) -> Mapped:
    return Mapped(size, AxisMap.copies(size, [u for u in range(size) if u not in units]), "copy")


def constant(model: nn.Module, *, layer: str = "0", **numbers: float) -> nn.Module:
    """Makes units of a layer read nothing and be a number, `u3=0.5`."""
    with torch.no_grad():
        for unit, number in numbers.items():
            model.get_submodule(layer).weight[int(unit[1:])] = 0
            model.get_submodule(layer).bias[int(unit[1:])] = number
    return model


def added(model: nn.Module, numbers: dict[int, float], layer: str = "2") -> nn.Module:
    """What units of a layer's input are goes into its bias, rounded once."""
    reader = model.get_submodule(layer)
    with torch.no_grad():
        taps = reader.weight.double().unsqueeze(-1).flatten(2).sum(-1)
        total = reader.bias.double()
        for unit, number in numbers.items():
            total = total + taps[:, unit] * number
        reader.bias.copy_(total)
    return model


def dense(first: float = 0.5, second: float = 1.0) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2))
    return constant(coarse(net), u1=first, u3=second)


GONE = without(5, 1, 3)
DENSE: Claims = {
    "0.weight": (GONE, Mapped(4)), "0.bias": (GONE,),
    "2.weight": (Mapped(3), GONE), "2.bias": kept(3),
}  # fmt: skip


def folded(net: nn.Module, numbers: dict[int, float], claims: Claims = DENSE) -> nn.Module:
    return resize(added(copy.deepcopy(net), numbers), claims)


def rejected(found: Check, law: str = "CERT-16") -> bool:
    assert found.grade is Grade.UNKNOWN, found
    assert found.where
    return found.summary.startswith(law)


# -- what is exact ---------------------------------------------------------------------------------

DYADIC = st.integers(1, 4096).map(lambda n: n / 256)


@given(DYADIC, DYADIC)
def test_cert_16_dyadic_constants_are_proved(first: float, second: float):
    net = dense(first, second)
    found = check(net, folded(net, {1: first, 3: second}), DENSE, X)
    assert found.grade is Grade.PROVED, found
    assert "units left out are constants that biases took over" in found.summary


def test_cert_16_a_bias_of_zeros_is_off_by_all_of_it():
    net = dense()
    new = folded(net, {1: 0.5, 3: 1.0})
    with torch.no_grad():
        new[2].bias.zero_()
    found = check(net, new, DENSE, X)
    assert rejected(found)
    what = r"CERT-16: '2.bias' takes units over that are left out, and is off by [0-9.]+"
    assert re.fullmatch(what, found.summary)


def test_cert_16_holds_without_a_batch_too():
    net = dense()
    found = check(net, folded(net, {1: 0.5, 3: 1.0}), DENSE, torch.randn(4))
    assert found.grade is Grade.PROVED, found


@given(st.floats(2**-10, 2**10, width=32), st.floats(2**-10, 2**10, width=32))
def test_cert_16_of_any_constants_the_residual_is_stated(first: float, second: float):
    """CERT-16: it is proved if, and only if, no bias was rounded; else it is known to the digit."""
    net = dense(first, second)
    new = folded(net, {1: first, 3: second})
    gap = max(
        abs(Fraction(b) + Fraction(w[1]) * Fraction(first) + Fraction(w[3]) * Fraction(second) - c)
        for b, w, c in zip(
            net[2].bias.tolist(), net[2].weight.tolist(), map(Fraction, new[2].bias.tolist()),
            strict=True,
        )
    )  # fmt: skip
    found = check(net, new, DENSE, X)
    if gap == 0:
        assert found.grade is Grade.PROVED, found
        return
    assert rejected(found)
    stated, relative = found.summary.rpartition("off by ")[2].split(", ")
    assert float(stated) == float(f"{float(gap):.2g}")
    largest = new[2].bias.abs().max().item()
    assert float(relative.split()[0]) == pytest.approx(float(gap) / largest, rel=0.06)


CONVOLUTIONS = {
    "one dimension": (nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 3, 3), torch.randn(2, 2, 8)),
    "strides": (nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, (3, 2), stride=2, dilation=2), IMAGE),
    "valid": (nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 3, padding="valid"), IMAGE),
    "mirrored": (nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), IMAGE),
    "three dimensions": (nn.Conv3d(2, 4, 1), nn.Conv3d(4, 3, 2), torch.randn(1, 2, 4, 4, 4)),
    "one image": (nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 3), torch.randn(2, 6, 6)),
}


def read_by(first: nn.Module, second: nn.Module) -> tuple[nn.Module, Claims]:
    """Unit 2 of four is 0.75 and goes."""
    net = constant(coarse(nn.Sequential(copy.deepcopy(first), nn.ReLU(), copy.deepcopy(second))))
    constant(net, u2=0.75)
    gone, (size, *taps) = without(4, 2), net[0].weight.shape[1:]
    rows, _, *others = net[2].weight.shape
    return net, {
        "0.weight": (gone, *kept(size, *taps)), "0.bias": (gone,),
        "2.weight": (Mapped(rows), gone, *kept(*others)), "2.bias": kept(rows),
    }  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_cert_16_every_tap_of_a_convolution_reads_the_constant(name: str, mode: Any):
    torch.manual_seed(0)
    first, second, x = CONVOLUTIONS[name]
    net, claims = read_by(first, second)
    new = folded(net, {2: 0.75}, claims)
    torch.testing.assert_close(new(x), net(x), rtol=0, atol=1e-5)
    assert check(net, new, claims, x, mode=mode).grade is Grade.PROVED
    off_by_one_ulp(new[2].bias)
    assert rejected(check(net, new, claims, x, mode=mode))


def off_by_one_ulp(bias: torch.Tensor, row: int = 0) -> None:
    with torch.no_grad():
        bias[row] = torch.nextafter(bias[row], torch.tensor(9.0))


def test_cert_16_in_groups_each_reads_its_own():
    """CERT-16: unit 1 of both groups goes; the constants differ"""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, groups=2))
    with torch.no_grad():
        coarse(net)[1].weight[[1, 4]] = 0
        net[1].bias[[1, 4]] = torch.tensor([0.25, -2.0])
    gone = without(6, 1, 4)
    claims: Claims = {
        "0.weight": (gone, *kept(2, 1, 1)),
        **{f"{name}": (gone,) for name in ("0.bias", "1.weight", "1.bias")},
        "1.running_mean": (gone,), "1.running_var": (gone,),
        "2.weight": (Mapped(4), without(3, 1), *kept(3, 3)), "2.bias": kept(4),
    }  # fmt: skip
    new = resize(net, claims, **{"2__groups": 2})
    with torch.no_grad():
        taps = net[2].weight[:, 1].flatten(1).sum(1)
        new[2].bias += taps * torch.tensor([0.25, 0.25, -2.0, -2.0])
    for mode in ("eval", "train"):
        assert check(net, new, claims, IMAGE, mode=mode).grade is Grade.PROVED
    with torch.no_grad():
        new[2].bias.copy_(net[2].bias + taps * torch.tensor([-2.0, -2.0, 0.25, 0.25]))
    assert rejected(check(net, new, claims, IMAGE))


def test_cert_16_rows_that_go_need_no_sum():
    """CERT-16: row 1 would have to be rounded, and it goes as well; row 2 stands before row 0"""
    net = dense()
    with torch.no_grad():
        net[2].weight[1] = 1 / 3
        net[4].weight[:, 1] = 0
    rows = AxisMap.copies(3, (2, 0))
    claims = {
        **DENSE, "2.weight": (Mapped(3, rows), GONE), "2.bias": (Mapped(3, rows),),
        "4.weight": (Mapped(2), Mapped(3, rows, "split")),
    }  # fmt: skip
    new = folded(net, {1: 0.5, 3: 1.0}, claims)
    assert check(net, new, claims, X).grade is Grade.PROVED
    off_by_one_ulp(new[2].bias, 1)
    assert rejected(check(net, new, claims, X))


class Twice(nn.Module):
    """One layer reads the units twice."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.a, self.b, self.factor = nn.Linear(4, 5), nn.Linear(5, 3), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x).relu()
        return self.b(h) + self.b(h * self.factor).relu()


@pytest.mark.parametrize(("factor", "proved"), [(1.0, True), (2.0, False)])
def test_cert_16_every_call_has_to_say_so(factor: float, proved: bool):
    torch.manual_seed(0)
    net = constant(coarse(Twice(factor)), layer="a", u1=0.5, u3=1.0)
    claims = {name.replace("0", "a").replace("2", "b"): each for name, each in DENSE.items()}
    new = resize(added(copy.deepcopy(net), {1: 0.5, 3: 1.0}, "b"), claims)
    found = check(net, new, claims, X)
    assert found.grade is Grade.PROVED if proved else rejected(found)


def test_cert_16_within_bounds_it_is_proved_on_the_box():
    """CERT-16: a unit that is 1 for all inputs in the box, and not for all"""
    torch.manual_seed(0)
    net = dense()
    net[1] = nn.Hardtanh()
    with torch.no_grad():
        net[0].weight[1] = torch.tensor([1.0, -1.0, 0.5, 0.0])
        net[0].bias[1] = 9.0
    new = folded(net, {1: 1.0, 3: 1.0})
    assert rejected(check(net, new, DENSE, X))
    before, after = (record(m, example_inputs=(X,)).program for m in (net, new))
    claim = ResizeClaim("PRUNE-4", "", DENSE)
    for bound, grade in ((3.0, Grade.PROVED_ON_BOX), (4.0, Grade.UNKNOWN)):
        box = {"input": (-bound, bound)}
        certificate = Certificate(before.hash, after.hash, resizes=(claim,), box=box)
        assert check_certificate(before, after, certificate, DEFAULT_TABLE).grade is grade


# -- what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", range(3))
def test_cert_16_one_ulp_is_found(row: int):
    net = dense()
    new = folded(net, {1: 0.5, 3: 1.0})
    off_by_one_ulp(new[2].bias, row)
    assert rejected(check(net, new, DENSE, X))


@pytest.mark.parametrize("numbers", [{}, {1: 0.5}, {1: 1.0, 3: 0.5}, {1: 0.5, 3: 1.0, 2: 0.5}])
def test_cert_16_other_constants_are_found(numbers: dict[int, float]):
    net = dense()
    assert check(net, folded(net, numbers), DENSE, X).grade is Grade.UNKNOWN


def test_cert_16_float64_would_say_it_is_exact():
    """CERT-16: 1 + 2**-60 is no float64, and not 1"""
    net = dense(2.0**-40, 2.0**-60)
    with torch.no_grad():
        net[2].weight[:, 1] = 0
        net[2].weight[:, 3] = net[2].bias.fill_(1.0)
    assert rejected(check(net, resize(net, DENSE), DENSE, X))
    with torch.no_grad():  # and what is far apart may cancel
        net[2].weight[:, 1] = -(2.0**-20)
    assert check(net, resize(net, DENSE), DENSE, X).grade is Grade.PROVED


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
@pytest.mark.parametrize("where", ["constant", "weight", "old", "new"])
def test_cert_16_what_is_not_finite_is_never_proved(number: float, where: str):
    net = dense()
    new = folded(net, {1: 0.5, 3: 1.0})
    with torch.no_grad():
        if where == "constant":
            net[0].bias[1] = number
        elif where == "weight":
            net[2].weight[0, 1] = number
        else:
            (net if where == "old" else new)[2].bias[0] = number
    assert check(net, new, DENSE, X).grade is Grade.UNKNOWN


def test_cert_16_a_unit_that_varies_is_no_constant():
    net = dense()
    new = folded(net, {1: 0.5, 3: 1.0})
    with torch.no_grad():
        net[0].weight[1, 0] = 1e-30
    assert rejected(check(net, new, DENSE, X))


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": "same"}, {"padding": (0, 1)}])
def test_cert_16_not_through_zero_padding(options: Any):
    """CERT-16: at the border the constant is 0"""
    torch.manual_seed(0)
    net, claims = read_by(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 3, **options))
    found = check(net, folded(net, {2: 0.75}, claims), claims, IMAGE)
    assert rejected(found)
    assert "padded with zeros" in found.summary


def test_cert_16_nor_behind_a_pad_of_its_own():
    """CERT-16"""
    torch.manual_seed(0)
    net, claims = read_by(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 3))
    net[1] = nn.ZeroPad2d(1)
    assert rejected(check(net, folded(net, {2: 0.75}, claims), claims, IMAGE))


@pytest.mark.parametrize("both", [True, False])
def test_cert_16_every_reader_of_the_units_needs_a_reason(both: bool):
    """CERT-16: a second layer reads them, and has not taken them over"""
    torch.manual_seed(0)
    net = Net(
        lambda s, x: s.b(s.a(x).relu()) + s.c(s.a(x).relu()),
        a=nn.Linear(4, 5), b=nn.Linear(5, 3), c=nn.Linear(5, 3),
    )  # fmt: skip
    constant(coarse(net), layer="a", u1=0.5, u3=1.0)
    claims: Claims = {"a.weight": (GONE, Mapped(4)), "a.bias": (GONE,)}
    claims |= {f"{name}.weight": (Mapped(3), GONE) for name in "bc"}
    claims |= {f"{name}.bias": kept(3) for name in "bc"}
    new = added(copy.deepcopy(net), {1: 0.5, 3: 1.0}, "b")
    if both:
        added(new, {1: 0.5, 3: 1.0}, "c")
    found = check(net, resize(new, claims), claims, X)
    assert (found.grade is Grade.PROVED) is both


READERS = {
    "returned": lambda s, x: (s.b(s.a(x).relu()), s.b.bias),
    "added": lambda s, x: s.b(s.a(x).relu()) + s.b.bias,
    "multiplied": lambda s, x: s.b(s.a(x).relu()) + F.linear(s.b.bias, s.c),
    "the operand too": lambda s, x: s.b(s.a(x).relu()) + F.linear(s.b.bias, s.c, s.b.bias),
    "read by Python": lambda s, x: s.b(s.a(x).relu()) * float(s.b.bias[0]),
    "the bias of what lost no unit": lambda s, x: s.b(s.a(x).relu()) + F.linear(x, s.d, s.b.bias),
}


@pytest.mark.parametrize("name", READERS)
def test_cert_16_a_bias_that_anything_else_reads_is_another_tensor(name: str):
    torch.manual_seed(0)
    net = Net(
        READERS[name],
        a=nn.Linear(4, 5), b=nn.Linear(5, 3), c=torch.randn(3, 3), d=torch.randn(3, 4),
    )  # fmt: skip
    constant(coarse(net), layer="a", u1=0.5, u3=1.0)
    claims = {name.replace("0", "a").replace("2", "b"): each for name, each in DENSE.items()}
    new = resize(added(copy.deepcopy(net), {1: 0.5, 3: 1.0}, "b"), claims)
    found = check(net, new, claims, X)
    assert rejected(found, "CERT-10")
    assert found.where == "@b.bias"


def test_cert_16_nor_one_that_changes_on_the_way():
    """CERT-16: at the next call it would be the same one in both"""

    def forward(s: Any, x: torch.Tensor) -> torch.Tensor:
        y = F.linear(s.a(x).relu(), s.w, s.bias)
        s.bias = torch.zeros(3)
        return y

    torch.manual_seed(0)
    net = Net(forward, a=nn.Linear(4, 5), w=torch.randn(3, 5), bias=torch.randn(3))
    constant(coarse(net), layer="a", u1=0.5, u3=1.0)
    claims: Claims = {
        "a.weight": (GONE, Mapped(4)), "a.bias": (GONE,), "w": (Mapped(3), GONE), "bias": kept(3)
    }  # fmt: skip
    new = copy.deepcopy(net)
    new.bias += new.w[:, [1, 3]] @ torch.tensor([0.5, 1.0])
    found = check(net, resize(new, claims), claims, X)
    assert rejected(found, "CERT-10")
    assert found.where == "@bias"


def test_cert_16_the_parts_of_a_bias_that_is_split_are_not_its_numbers():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.Linear(3, 2))
    constant(coarse(net), u1=0.5, u3=1.0)
    more = AxisMap.copies(3, (0, 1, 2, 0))
    rows = Mapped(3, more, "split")
    claims = {
        **DENSE, "2.weight": (rows, GONE), "2.bias": (rows,),
        "3.weight": (Mapped(2), Mapped(3, more, "copy")),
    }  # fmt: skip
    found = check(net, folded(net, {1: 0.5, 3: 1.0}, claims), claims, X)
    assert rejected(found)
    assert "number by number" in found.summary


def test_cert_16_a_claim_about_the_weight_is_about_every_axis():
    """CERT-16: the bias, of which the weight is asked, may come before it"""
    old = Net(
        lambda s, x: F.linear(s.a(x).relu(), s.w, s.b),
        a=nn.Linear(4, 5), b=nn.Parameter(torch.ones(3)), w=nn.Parameter(torch.ones(3, 5)),
    )  # fmt: skip
    claims = {"b": kept(3), "w": kept(3, 5)}
    new = resize(old, claims)
    with torch.no_grad():
        new.b += 1
    assert rejected(check(old, new, claims, X), "CERT-10")
    assert rejected(check(old, new, {**claims, "w": kept(3)}, X), "CERT-10")


def test_cert_16_where_no_unit_is_left_out_a_bias_keeps_its_numbers():
    net = dense()
    new = copy.deepcopy(net)
    off_by_one_ulp(new[2].bias)
    claims: Claims = {"2.weight": kept(3, 5), "2.bias": kept(3)}
    found = check(net, new, claims, X)
    assert rejected(found, "CERT-10")
    assert found.where == "@2.bias"


def test_cert_16_only_of_sums_whose_operand_comes_first():
    """CERT-16: a bilinear form multiplies each unit with something that varies"""
    torch.manual_seed(0)
    net = Net(
        lambda s, x: F.bilinear(s.a(x).relu(), x, s.w, s.bias),
        a=nn.Linear(4, 5), w=torch.randn(3, 5, 4), bias=torch.randn(3),
    )  # fmt: skip
    constant(coarse(net), layer="a", u1=0.5, u3=1.0)
    claims: Claims = {
        "a.weight": (GONE, Mapped(4)), "a.bias": (GONE,),
        "w": (Mapped(3), GONE, Mapped(4)), "bias": kept(3),
    }  # fmt: skip
    new = copy.deepcopy(net)
    new.bias += new.w[:, [1, 3], 0] @ torch.tensor([0.5, 1.0])
    found = check(net, resize(new, claims), claims, X)
    assert rejected(found, "CERT-10")
    assert found.where == "@bias"


def test_cert_16_nor_where_the_bias_is_the_operand_as_well():
    """CERT-16: what is known of the old numbers is not true of the new ones"""
    torch.manual_seed(0)
    net = Net(
        lambda s, x: s.out((F.linear(s.a(x).relu(), s.w, s.b) + F.linear(s.b, s.w, s.b)).relu()),
        a=nn.Linear(4, 5), w=torch.randn(5, 5), b=torch.randn(5), out=nn.Linear(5, 2),
    )  # fmt: skip
    constant(coarse(net), layer="a", u1=0.5, u3=1.0)
    with torch.no_grad():
        net.out.weight[:, [1, 3]] = 0
    claims: Claims = {
        "a.weight": (GONE, Mapped(4)), "a.bias": (GONE,), "w": (GONE, GONE), "b": (GONE,),
        "out.weight": (Mapped(2), GONE),
    }  # fmt: skip
    new = copy.deepcopy(net)
    new.b += new.w[:, [1, 3]] @ torch.tensor([0.5, 1.0])
    found = check(net, resize(new, claims), claims, X)
    assert rejected(found, "CERT-10")
    assert found.where == "@b"


def test_cert_16_without_the_old_numbers_nothing_is_proved():
    """CERT-16"""
    from dataclasses import replace

    net = dense()
    new = folded(net, {1: 0.5, 3: 1.0})
    before, after = (record(m, example_inputs=(X,)).program for m in (net, new))
    state = {**before.state, "4.bias": replace(before.state["4.bias"], tensor=None)}
    claims = {**DENSE, "4.bias": kept(2)}
    blind = replace(before, state=state)
    certificate = Certificate(blind.hash, after.hash, resizes=(ResizeClaim("", "", claims),))
    assert check_certificate(blind, after, certificate, DEFAULT_TABLE).grade is Grade.UNKNOWN


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4))
def test_cert_16_integers_are_exact(numbers: Sequence[float]):
    """CERT-16: subnormal numbers and the largest among them"""
    found, unit = _integers(torch.tensor(numbers, dtype=torch.float64).numpy())
    assert [Fraction(int(each)) * unit for each in found] == [*map(Fraction, numbers)]
