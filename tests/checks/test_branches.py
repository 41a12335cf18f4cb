"""CERT-17: what a certificate says about branches is true, and every mutant of it is rejected."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import InjectPlasticityPass
from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.injected import InjectedBranch
from morphir.ir import Certificate, InsertionClaim
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net, certify, identity, is_proved

X = torch.randn(3, 8)
CLAIM = InsertionClaim("INJECT-1", "part", "part.branch", ("part.fc.weight", "part.fc.bias"))


def copies(*, off: float = 0.0) -> tuple[nn.Linear, nn.Linear]:
    one, other = nn.Linear(8, 8), nn.Linear(8, 8)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        other.weight[3, 3] += off
    return one, other


class Branch(nn.Module):
    """A branch whose forward is a function of itself and what it takes."""

    def __init__(self, function: Callable[..., Any], *, off: float = 0.0) -> None:
        super().__init__()
        self.fresh, self.frozen = copies(off=off)
        self.function = function

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return self.function(self, *args)


def sound(s: Any, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return y + (s.fresh(x) - s.frozen(x))


def claimed(
    function: Callable[..., Any],
    forward: Callable[..., Any] = lambda s, x: s.branch(s.fc(x), x),
    around: Callable[..., Any] = lambda s, x: torch.tanh(s.part(x)),
    *,
    off: float = 0.0,
    **changes: Any,
) -> Any:
    """The verdict on a branch beside `fc`, as the end of the call of `part`."""
    fc = nn.Linear(8, 8)
    before = Net(around, part=Net(lambda s, x: s.fc(x), fc=fc))
    after = Net(around, part=Net(forward, fc=fc, branch=Branch(function, off=off)))
    return certify(before, after, X, claims=[replace(CLAIM, **changes)])


def test_cert_17_accepts_a_branch():
    assert is_proved(claimed(sound))


def test_cert_9_what_is_claimed_beside_a_branch_is_looked_at():
    """CERT-9, CERT-17"""
    fc = nn.Linear(8, 8)
    before = Net(lambda s, x: torch.tanh(s.part(x)), part=Net(lambda s, x: s.fc(x), fc=fc))
    part = Net(lambda s, x: s.branch(s.fc(x), x), fc=fc, branch=Branch(sound))
    claims = [CLAIM, InsertionClaim("DEEPER-1", "part", "new")]
    once = Net(lambda s, x: torch.tanh(s.new(s.part(x))), part=part, new=identity(8))
    assert is_proved(certify(before, once, X, claims=claims))
    twice = Net(lambda s, x: torch.tanh(s.new(s.new(s.part(x)))), part=part, new=identity(8))
    found = certify(before, twice, X, claims=claims)
    assert not is_proved(found)
    assert found.summary.startswith("CERT-9: 'new' runs 2 times")


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda s, y, x: (y + s.fresh(x)) - s.frozen(x), "adds nothing to anything"),
        (lambda s, y, x: y - (s.fresh(x) - s.frozen(x)), "adds nothing to anything"),
        (lambda s, y, x: (s.fresh(x) - s.frozen(x)) + y, "adds no difference"),
        (lambda s, y, x: y + torch.relu(s.fresh(x) - s.frozen(x)), "adds no difference"),
        (lambda s, y, x: y + (s.fresh(x + 1) - s.frozen(x + 1)), None),
        (lambda s, y, x: y + (x - x), None),
    ],
)
def test_cert_17_what_is_equal_and_no_such_sum_is_rejected(function: Any, complaint: str | None):
    """Over the real numbers all of them are equal; the report would say something else."""
    check = claimed(function)
    if complaint is None:
        assert is_proved(check)  # copies may read what they like of what is there
    else:
        assert not is_proved(check)
        assert check.summary == f"CERT-17: 'part.branch' {complaint}"


@pytest.mark.parametrize(
    ("function", "away", "complaint"),
    [
        (lambda s, y, x: y + x, lambda x: x, "adds no difference"),
        (
            lambda s, y, x: y + (x - torch.tanh(x)),
            lambda x: x - torch.tanh(x),
            "adds a difference that does not cancel",
        ),
        (
            lambda s, y, x: y + ((x + s.fresh(x)) - s.fresh(x)),
            lambda x: x,
            "does not return what it adds to",
        ),
    ],
)
def test_cert_17_what_gives_back_what_the_anchor_took_away_is_no_branch(
    function: Any, away: Any, complaint: str
):
    """The programs are equal, and what is added is not zero."""
    check = claimed(function, lambda s, x: s.branch(s.fc(x) - away(x), x))
    assert not is_proved(check)
    assert check.summary == f"CERT-17: 'part.branch' {complaint}"


@pytest.mark.parametrize(
    "forward",
    [
        lambda s, x: torch.tanh(s.branch(s.fc(x), x)),
        lambda s, x: (torch.tanh(s.fc(x)), s.branch(s.fc(x), x))[0],
        lambda s, x: (s.branch(torch.tanh(s.fc(x)), x), torch.tanh(x))[0],
    ],
)
def test_cert_17_a_branch_ends_the_call_of_its_anchor(forward: Callable[..., Any]):
    fc = nn.Linear(8, 8)
    before = Net(lambda s, x: s.part(x), part=Net(lambda s, x: torch.tanh(s.fc(x)), fc=fc))
    after = Net(lambda s, x: s.part(x), part=Net(forward, fc=fc, branch=Branch(sound)))
    check = certify(before, after, X, claims=[CLAIM])
    assert not is_proved(check)
    assert check.summary == "CERT-17: 'part.branch' does not end the call of 'part'"


@pytest.mark.parametrize(
    ("computed", "complaint"),
    [(torch.tanh, None), (lambda x: x, "does not add to what its anchor computed")],
)
def test_cert_17_an_anchor_without_parameters_has_to_compute(computed: Any, complaint: str | None):
    before = Net(lambda s, x: torch.sin(s.part(x)), part=Net(lambda s, x: computed(x)))
    part = Net(lambda s, x: s.branch(computed(x), x), branch=Branch(sound))
    after = Net(lambda s, x: torch.sin(s.part(x)), part=part)
    check = certify(before, after, X, claims=[replace(CLAIM, freezes=())])
    assert is_proved(check) is (complaint is None)
    if complaint is not None:
        assert check.summary == f"CERT-17: 'part.branch' {complaint}"


def test_cert_17_copies_that_differ_are_rejected():
    check = claimed(sound, off=1e-7)
    assert not is_proved(check)
    assert "weight=@part.branch.frozen.weight" in check.where


def test_cert_17_a_branch_reads_what_its_anchor_reads():
    """Not what the model has computed elsewhere, although the difference cancels whatever it is."""

    def around(s: Any, x: torch.Tensor) -> torch.Tensor:
        s.part.other = torch.sigmoid(x)
        return torch.tanh(s.part(x)) + s.part.other

    check = claimed(sound, lambda s, x: s.branch(s.fc(x), s.other), around)
    assert not is_proved(check)
    assert check.summary == "CERT-17: 'part.branch' reads what its anchor was not given"


@pytest.mark.parametrize(
    ("reader", "joined"),
    [
        ("'add' reads", lambda first, second: torch.tanh(first + second)),
        ("output '[1]' is", lambda first, second: (torch.tanh(first), second)),
    ],
)
def test_cert_17_what_it_adds_to_is_read_by_nobody_afterwards(reader: str, joined: Any):
    def keeps(s: Any, x: torch.Tensor) -> Any:
        y = s.fc(x)
        return s.branch(y, x), y

    def one(s: Any, x: torch.Tensor) -> Any:
        found = s.part(x)
        return joined(*(found if isinstance(found, tuple) else (found, found)))

    check = claimed(sound, keeps, one)
    assert not is_proved(check)
    assert check.summary == f"CERT-17: 'part.branch' is bypassed: {reader} what it adds to"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"law": "DEEPER-3", "freezes": ()}, "CERT-9: 'part.branch' takes 2 tensors"),
        ({"law": "SHALLOWER-1", "freezes": ()}, "CERT-9: 'part.branch' takes 2 tensors"),
        ({"anchor": ""}, "does not run inside a call of the model"),
        ({"anchor": "part.fc"}, "does not run inside a call of 'part.fc'"),
        ({"anchor": "nowhere", "freezes": ()}, "runs 1 times, its anchor 0 times"),
        ({"module": "part.branch.fresh"}, "CERT-9: this module is new and no claim covers it"),
        ({"freezes": ()}, "CERT-17: other parameters are claimed to stop to learn"),
        ({"freezes": (*CLAIM.freezes, "part.branch.fresh.weight")}, "CERT-17: other parameters"),
    ],
)
def test_cert_17_every_other_claim_is_rejected(changes: dict[str, Any], message: str):
    check = claimed(sound, **changes)
    assert not is_proved(check)
    assert message in check.summary


def test_cert_17_no_other_law_freezes_anything():
    before = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    result = morphir.transform(before, morphir.DeeperPass(at="1"), example_inputs=(X,))
    given = result.certificate
    (claim,) = given.insertions
    for freezes in ((), ("0.weight",)):
        mutant = replace(given, insertions=(replace(claim, freezes=freezes),))
        programs = (record(each, example_inputs=(X,)).program for each in (before, result.module))
        assert is_proved(check_certificate(*programs, mutant, DEFAULT_TABLE)) is (freezes == ())


def test_a_certificate_of_a_branch_comes_back_from_its_json_form():
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    result = morphir.transform(net, InjectPlasticityPass(at=["0", "2"]), example_inputs=(X,))
    assert Certificate.from_json(result.certificate.to_json()) == result.certificate
    assert [claim.freezes for claim in result.certificate.insertions] == [
        ("0.weight", "0.bias"), ("2.weight", "2.bias"),
    ]  # fmt: skip
    assert isinstance(result.module.get_submodule("0.injected1"), InjectedBranch)


def test_cert_17_what_a_copy_makes_of_nothing_is_not_that_of_another_layer():
    """Each recurrent layer begins with zeros of its own width, which say nothing of a size."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(4, 3)
            self.one = nn.GRU(3, 1, batch_first=True)
            self.other = nn.LSTM(2, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.one(self.encoder(x))[0].tanh()
            return self.other(torch.cat([h, h], 2).sin())[0]

    result = morphir.transform(
        Net(), InjectPlasticityPass(at=""), example_inputs=(torch.randn(3, 5, 4),)
    )
    assert result.report.grade.name == "PROVED"
