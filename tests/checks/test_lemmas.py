"""CERT-2 to CERT-4: what each lemma accepts, and one rejection for each side condition."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net, certify, identity, is_proved, pair, zeros

# -- CERT-2 --------------------------------------------------------------------------------------


def branched(last: nn.Module) -> tuple[Net, Net]:
    return pair(
        lambda s, x: s.fc(x),
        lambda s, x: s.fc(x) + s.new_last(torch.tanh(s.new_first(x))),
        fc=nn.Linear(8, 8),
        new_first=nn.Linear(8, 5),
        new_last=last,
    )


def test_cert_2_accepts_a_branch_whose_last_layer_is_zero():
    check = certify(*branched(zeros(5, 8)))
    assert is_proved(check)
    assert check.figures["CERT-2"] == 1
    assert check.figures["CERT-4"] == 1


@pytest.mark.parametrize("number", [1e-45, float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["weight", "bias"])
def test_cert_2_rejects_a_last_layer_that_is_not_exactly_zero(where: str, number: float):
    last = zeros(5, 8)
    with torch.no_grad():
        getattr(last, where).view(-1)[3] = number
    assert not is_proved(certify(*branched(last)))


def test_cert_2_accepts_a_zero_gate():
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: s.fc(x) + s.new_gate * torch.tanh(s.new_layer(x)),
        fc=nn.Linear(8, 8),
        new_gate=nn.Parameter(torch.zeros(8)),
        new_layer=nn.Linear(8, 8),
    )
    assert is_proved(certify(before, after))


def test_cert_2_rejects_zero_times_infinity():
    """Zero times an infinite weight is NaN; only intermediates are promised to be finite."""
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: s.fc(x) + s.new_gate * s.scale,
        fc=nn.Linear(8, 8),
        scale=nn.Parameter(torch.tensor([float("inf")] * 8)),
        new_gate=nn.Parameter(torch.zeros(8)),
    )
    assert not is_proved(certify(before, after))


@pytest.mark.parametrize("number", [2.0, float("inf"), float("nan")])
def test_cert_2_is_about_finite_state(number: float):
    """CERT-2: zero times an infinite parameter is no zero, though no input is infinite"""
    before, after = pair(
        lambda s, x: (s.fc(x), s.scale * 2),
        lambda s, x: (s.fc(x), s.scale * 2 + s.new_gate * s.scale),
        fc=nn.Linear(8, 8),
        scale=nn.Parameter(torch.full((8,), number)),
        new_gate=nn.Parameter(torch.zeros(8)),
    )
    assert is_proved(certify(before, after)) is (number == 2.0)


def test_cert_2_rejects_a_zero_layer_on_infinite_state():
    before, after = pair(
        lambda s, x: s.a(x),
        lambda s, x: s.a(x) + s.new(s.scale),
        a=nn.Linear(8, 8),
        scale=nn.Parameter(torch.full((8,), float("inf"))),
        new=zeros(8, 8),
    )
    assert not is_proved(certify(before, after))
    with torch.no_grad():
        for model in (before, after):
            model.scale.zero_()
    assert is_proved(certify(before, after)) is False, "[8] is not [B, 8]"


class Two(Net):
    """Two inputs, so that no example follows from what is known: it is traced without types."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self._function(self, x, y)


def untyped(old: Any, changed: Any, /, **members: Any) -> bool:
    """The verdict on programs without types."""
    before, after = pair(old, changed, **members)
    programs = []
    for model in (before, after):
        model.__class__ = Two
        programs.append(record(model).program)
    assert all(v.type is None for v in programs[0].graphs["forward"].inputs)
    return is_proved(check_certificate(*programs, None, DEFAULT_TABLE))


def test_without_types_only_lemmas_speak_that_keep_them():
    """An identity matrix keeps every type; sums, zeros and masks may broadcast."""
    members = {"a": nn.Linear(8, 8), "new": identity(8)}
    zero = {"a": nn.Linear(8, 8), "new": zeros(8, 8)}
    ones = {"a": nn.Linear(8, 1), "new": torch.ones(64)}
    gate = {"a": nn.Linear(8, 1), "new": torch.zeros(64)}
    relu = torch.relu
    assert untyped(lambda s, x, y: s.a(x), lambda s, x, y: s.new(s.a(x)), **members)
    assert untyped(lambda s, x, y: relu(s.a(x)), lambda s, x, y: relu(relu(s.a(x))), **members)
    assert not untyped(lambda s, x, y: s.a(x), lambda s, x, y: s.a(x) + s.new(y), **zero)
    assert not untyped(lambda s, x, y: s.a(x), lambda s, x, y: s.a(x) + (y - y), **zero)
    assert not untyped(lambda s, x, y: s.a(x), lambda s, x, y: s.a(x) * s.new, **ones)
    assert not untyped(lambda s, x, y: s.a(x), lambda s, x, y: s.a(x) + s.new * y, **gate)
    assert not untyped(
        lambda s, x, y: relu(x), lambda s, x, y: relu(x).clamp(min=0.0), **members
    ), "a clamp of integers by a float is a float"


def test_a_batch_that_may_be_squeezed_away_has_no_known_type():
    """For a single row, x.squeeze() + 0 * x is a row of one row, and x.squeeze() is not."""
    before, after = pair(
        lambda s, x: s.a(x).squeeze(),
        lambda s, x: s.a(x).squeeze() + s.new(x),
        a=nn.Linear(8, 8),
        new=zeros(8, 8),
    )
    assert not is_proved(certify(before, after))
    assert before(torch.randn(1, 8)).shape != after(torch.randn(1, 8)).shape
    before, after = pair(
        lambda s, x: s.a(x).squeeze(-1),
        lambda s, x: (s.a(x) + s.new(x)).squeeze(-1),
        a=nn.Linear(8, 1),
        new=zeros(8, 1),
    )
    assert is_proved(certify(before, after))


@pytest.mark.parametrize(
    ("dim", "is_known"), [(-1, True), ((1,), True), (0, False), ((0, 1), False)]
)
def test_what_squeezes_no_batch_has_a_type(dim: Any, is_known: bool):
    def cancels(s: Any, x: torch.Tensor) -> torch.Tensor:
        h = s.a(x).squeeze(dim)
        return h + h - h

    nets = pair(lambda s, x: s.a(x).squeeze(dim), cancels, a=nn.Linear(8, 1))
    assert is_proved(certify(*nets)) is is_known


def test_cert_2_tells_zeros_of_different_shapes_apart():
    before, after = pair(
        lambda s, x: (s.fc(x), x.new_zeros(3).sum() + (x[:, :4] - x[:, :4]).numel()),
        lambda s, x: (s.fc(x), x.new_zeros(3).sum() + (x[:, :5] - x[:, :5]).numel()),
        fc=nn.Linear(8, 8),
    )
    assert not is_proved(certify(before, after))
    before, after = pair(
        lambda s, x: (s.fc(x), (x - x)[:, :4] - x[:, :4] + x[:, :4]),
        lambda s, x: (s.fc(x), (x - x)[:, :5] - x[:, :5] + x[:, :5]),
        fc=nn.Linear(8, 8),
    )
    assert not is_proved(certify(before, after))


# -- CERT-3 --------------------------------------------------------------------------------------


def followed(first: nn.Module, second: nn.Module) -> tuple[Net, Net]:
    """An activation, and another one after it."""
    return pair(
        lambda s, x: s.first(s.fc(x)),
        lambda s, x: s.second(s.first(s.fc(x))),
        fc=nn.Linear(8, 8),
        first=first,
        second=second,
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.ReLU(), nn.ReLU()),
        (nn.ReLU6(), nn.ReLU6()),
        (nn.ReLU6(), nn.ReLU()),
        (nn.Hardtanh(-2, 3), nn.Hardtanh(-2, 3)),
        (nn.Hardtanh(-1, 1), nn.Hardtanh(-2, 3)),
        (nn.ReLU(), nn.LeakyReLU(0.3)),
        (nn.Sigmoid(), nn.ReLU()),
        (nn.Softplus(), nn.ReLU()),
        (nn.Sigmoid(), nn.ELU()),
    ],
    ids=str,
)
def test_cert_3_accepts_an_activation_of_what_lies_in_its_identity_range(first: Any, second: Any):
    check = certify(*followed(first, second))
    assert is_proved(check)
    assert check.figures["CERT-3"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Identity(), nn.ReLU()),
        (nn.LeakyReLU(), nn.ReLU()),
        (nn.ReLU(), nn.ReLU6()),
        (nn.Hardtanh(-2, 3), nn.Hardtanh(-1, 1)),
        (nn.Hardtanh(-1, 1), nn.ReLU()),
        (nn.Tanh(), nn.Tanh()),
        (nn.Sigmoid(), nn.Sigmoid()),
        (nn.ReLU(), nn.GELU()),
        (nn.ReLU(), nn.SiLU()),
        (nn.LeakyReLU(), nn.LeakyReLU()),
        (nn.GELU(), nn.ReLU()),
        (nn.ReLU(), nn.Threshold(0.5, 0.0)),
    ],
    ids=str,
)
def test_cert_3_rejects_an_activation_whose_operand_may_lie_outside(first: Any, second: Any):
    assert not is_proved(certify(*followed(first, second)))


def test_cert_3_uses_no_fact_about_another_value():
    """relu(h) is known to be positive; h is not."""
    before, after = pair(
        lambda s, x: (torch.relu(s.fc(x)), s.fc(x)),
        lambda s, x: (torch.relu(s.fc(x)), torch.relu(s.new(s.fc(x)))),
        fc=nn.Linear(8, 8),
        new=identity(8),
    )
    assert not is_proved(certify(before, after))


def test_cert_3_rejects_integers_which_may_wrap():
    """In int8 two positive numbers may have a negative sum."""
    before, after = pair(
        lambda s, x: (s.a(x), x.to(torch.int8).relu() + x.to(torch.int8).relu()),
        lambda s, x: (s.a(x), (x.to(torch.int8).relu() + x.to(torch.int8).relu()).relu()),
        a=nn.Linear(8, 8),
    )
    assert not is_proved(certify(before, after, torch.full((3, 8), 100.0)))


def test_cert_3_rejects_an_activation_that_promotes_its_dtype():
    before, after = pair(
        lambda s, x: (s.fc(x), x.long().abs()),
        lambda s, x: (s.fc(x), x.long().abs().clamp(min=0.0)),
        fc=nn.Linear(8, 8),
    )
    assert not is_proved(certify(before, after))


# -- CERT-4 --------------------------------------------------------------------------------------


def test_cert_4_accepts_a_pair_that_cancels():
    layer = nn.Linear(8, 8)
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: s.fc(x) + s.new_one(x) - s.new_other(x),
        fc=nn.Linear(8, 8),
        new_one=layer,
        new_other=nn.Linear(8, 8),
    )
    after.new_other.load_state_dict(layer.state_dict())
    check = certify(before, after)
    assert is_proved(check)
    assert check.figures["CERT-4"] == 1


@pytest.mark.parametrize(
    "combine",
    [
        lambda h, g, k: h + g + k,
        lambda h, g, k: h - g - k,
        lambda h, g, k: torch.add(h, g, alpha=2) - k,
        lambda h, g, k: torch.sub(h + g, k, alpha=0.5),
        lambda h, g, k: torch.sub(h, g, alpha=2) + k,
        lambda h, g, k: h + g - 2 * k,
        lambda h, g, k: h + g - k.abs(),
        lambda h, g, k: h + (g - k[:1]),
    ],
)
def test_cert_4_rejects_a_pair_that_does_not(combine: Any):
    layer = nn.Linear(8, 8)
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: combine(s.fc(x), s.new_one(x), s.new_other(x)),
        fc=nn.Linear(8, 8),
        new_one=layer,
        new_other=nn.Linear(8, 8),
    )
    after.new_other.load_state_dict(layer.state_dict())
    assert not is_proved(certify(before, after))


def test_cert_4_rejects_a_pair_that_differs_by_one_ulp():
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: s.fc(x) + s.new_one(x) - s.new_other(x),
        fc=nn.Linear(8, 8),
        new_one=nn.Linear(8, 8),
        new_other=nn.Linear(8, 8),
    )
    after.new_other.load_state_dict(after.new_one.state_dict())
    with torch.no_grad():
        weight = after.new_other.weight
        weight[3, 4] = torch.nextafter(weight[3, 4], torch.tensor(10.0))
    assert not is_proved(certify(before, after))


def masked(mask: torch.Tensor) -> tuple[Net, Net]:
    return pair(
        lambda s, x: F.linear(x, s.weight),
        lambda s, x: F.linear(x, s.weight * s.new_mask),
        weight=nn.Parameter(torch.randn(8, 8)),
        new_mask=mask,
    )


def test_cert_4_accepts_a_mask_of_ones():
    for shape in ((8, 8), (8,)):
        check = certify(*masked(torch.ones(shape)))
        assert is_proved(check)
        assert check.figures["CERT-4"] == 1


def test_cert_4_rejects_a_mask_with_anything_else():
    mask = torch.ones(8, 8)
    for number in (0.0, 1 + 2**-23, float("nan")):
        mask[2, 3] = number
        assert not is_proved(certify(*masked(mask.clone())))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_cert_4_accepts_ones_of_another_dtype_only_where_the_result_keeps_its_own(
    dtype: torch.dtype,
):
    before, after = pair(
        lambda s, x: s.fc(x),
        lambda s, x: s.fc(x) * s.new,
        fc=nn.Linear(8, 8),
        new=torch.ones(8, dtype=dtype),
    )
    assert is_proved(certify(before, after)) == (not dtype.is_floating_point)


def test_cert_4_rejects_broadcasting():
    """x[1] + 0[64] is not x, and neither is x[1] * 1[64]."""
    for new in (lambda s, x: s.fc(x) + s.new(x), lambda s, x: s.fc(x) * s.new_ones):
        before, after = pair(
            lambda s, x: s.fc(x).sum(1),
            lambda s, x, new=new: new(s, x).sum(1),
            fc=nn.Linear(8, 1),
            new=zeros(8, 64),
            new_ones=torch.ones(64),
        )
        assert not is_proved(certify(before, after))


def test_cert_4_rejects_sums_of_booleans_and_integers_that_only_look_alike():
    before, after = pair(
        lambda s, x: (s.fc(x), x > 0),
        lambda s, x: (s.fc(x), (x > 0) + (x > 0)),
        fc=nn.Linear(8, 8),
    )
    assert not is_proved(certify(before, after))
    before, after = pair(
        lambda s, x: (s.fc(x), x.to(torch.uint8)),
        lambda s, x: (s.fc(x), x.to(torch.uint8) * s.new),
        fc=nn.Linear(8, 8),
        new=torch.ones(8, dtype=torch.int64),
    )
    assert not is_proved(certify(before, after))
