"""CERT-9: what a certificate says about insertions is true, and every mutant of it is rejected."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ir import Certificate, InsertionClaim, Program
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net, certify, identity, is_proved, pair, zeros

X = torch.randn(3, 8)


class Branch(nn.Module):
    """x + last(tanh(first(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 4), zeros(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(torch.tanh(self.first(x)))


class Blend(nn.Module):
    """h + gate (tanh(h) - h) with h = layer(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.gate = identity(8), nn.Parameter(torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        return h + self.gate * (torch.tanh(h) - h)


def block(law: str) -> nn.Module:
    return {
        "DEEPER-1": lambda: nn.Sequential(identity(8), nn.ReLU()),
        "DEEPER-2": lambda: nn.Sequential(nn.ReLU(), identity(8)),
        "DEEPER-3": Branch,
        "DEEPER-4": Blend,
    }[law]()


LAWS = ("DEEPER-1", "DEEPER-2", "DEEPER-3", "DEEPER-4")


def claimed(law: str, block: nn.Module, /, **changes: str) -> Any:
    """The verdict on a block after `act`, or for DEEPER-2 between `fc` and the activation."""
    first = law == "DEEPER-2"
    before, after = pair(
        lambda s, x: s.head(s.act(s.fc(x))),
        lambda s, x: s.head(s.act(s.new(s.fc(x))) if first else s.new(s.act(s.fc(x)))),
        fc=nn.Linear(8, 8),
        act=nn.ReLU(),
        head=nn.Linear(8, 2),
        new=block,
    )
    claim = InsertionClaim(law, "fc" if first else "act", "new")
    return certify(before, after, X, claims=[replace(claim, **changes)])


@pytest.mark.parametrize("law", LAWS)
def test_cert_9_accepts_each_law(law: str):
    assert is_proved(claimed(law, block(law)))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("claim", [*LAWS, "nonsense", ""])
def test_cert_9_rejects_every_other_law(law: str, claim: str):
    assert is_proved(claimed(law, block(law), law=claim)) == (law == claim)


@pytest.mark.parametrize(
    ("block", "lemmas"), [(Branch(), "CERT-2, CERT-4"), (nn.Sequential(nn.ReLU()), "no lemma")]
)
def test_cert_9_says_what_an_insertion_rests_on(block: nn.Module, lemmas: str):
    summary = claimed("DEEPER-1", block).summary
    assert summary == f"CERT-9: 'new' rests on {lemmas}, which is not DEEPER-1"


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "changes",
    [
        {"anchor": "head"},
        {"anchor": "new"},
        {"anchor": "nowhere"},
        {"module": "head"},
        {"module": "nowhere"},
    ],
    ids=str,
)
def test_cert_9_rejects_another_place(law: str, changes: dict[str, str]):
    assert not is_proved(claimed(law, block(law), **changes))


def test_cert_9_an_activation_may_be_all_that_is_claimed():
    """CERT-9: there need be no layer behind it"""
    assert is_proved(claimed("DEEPER-2", nn.ReLU(), law="SHALLOWER-2"))
    assert not is_proved(claimed("DEEPER-2", identity(8), law="SHALLOWER-2"))


def test_cert_9_rejects_a_bypass():
    """An identity that a consumer does not read changes nothing yet, and would, once trained."""
    before, after = pair(
        lambda s, x: s.a(s.fc(x).relu()) + s.b(s.fc(x).relu()),
        lambda s, x: s.a(s.new(s.act(s.fc(x)))) + s.b(s.act(s.fc(x))),
        fc=nn.Linear(8, 8),
        act=nn.ReLU(),
        a=nn.Linear(8, 2),
        b=nn.Linear(8, 2),
        new=nn.Sequential(identity(8), nn.ReLU()),
    )
    check = certify(before, after, X, claims=[InsertionClaim("DEEPER-1", "act", "new")])
    assert not is_proved(check)
    assert "runs 1 times, its anchor 'act' 2 times" in check.summary

    def bypassing(s: Any, x: torch.Tensor) -> torch.Tensor:
        h = s.act(s.fc(x))
        return s.a(s.new(h)) + s.b(h)

    def whole(s: Any, x: torch.Tensor) -> torch.Tensor:
        h = s.act(s.fc(x))
        return s.a(h) + s.b(h)

    before, after = pair(
        whole,
        bypassing,
        fc=nn.Linear(8, 8),
        act=nn.ReLU(),
        a=nn.Linear(8, 2),
        b=nn.Linear(8, 2),
        new=nn.Sequential(identity(8), nn.ReLU()),
    )
    assert is_proved(certify(before, after, X))
    check = certify(before, after, X, claims=[InsertionClaim("DEEPER-1", "act", "new")])
    assert not is_proved(check)
    assert "read afterwards by 'linear' in 'b'" in check.summary


class Keeps(nn.Module):
    """An activation that keeps what it returned last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = x.relu()
        return self.last


def reads_at_once(s: Any, h: torch.Tensor, run: Any) -> Any:
    n, twice = run(h), h * 2
    return s.head(n) + twice.sum()


@pytest.mark.parametrize(
    ("ends", "reader"),
    [
        (reads_at_once, "'mul' in 'the model'"),
        (lambda s, h, run: (s.head(run(h)), h), "output '[1]'"),
        (lambda s, h, run: s.head(run(h)), None),
    ],
)
def test_cert_9_says_who_bypasses_an_insertion(ends: Any, reader: str | None):
    """What a module keeps for itself does not."""
    nets = pair(
        lambda s, x: ends(s, s.act(s.fc(x)), lambda h: h),
        lambda s, x: ends(s, s.act(s.fc(x)), s.new),
        fc=nn.Linear(8, 8),
        act=Keeps(),
        head=nn.Linear(8, 2),
        new=nn.Sequential(identity(8), nn.ReLU()),
    )
    check = certify(*nets, X, claims=[InsertionClaim("DEEPER-1", "act", "new")])
    assert is_proved(check) is (reader is None)
    assert reader is None or f"is read afterwards by {reader}" in check.summary


def test_cert_9_rejects_one_call_site_of_a_shared_module():
    before, after = pair(
        lambda s, x: s.act(s.b(s.act(s.a(x)))),
        lambda s, x: s.new(s.act(s.b(s.act(s.a(x))))),
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 8),
        act=nn.ReLU(),
        new=nn.Sequential(identity(8), nn.ReLU()),
    )
    assert is_proved(certify(before, after, X))
    assert not is_proved(
        certify(before, after, X, claims=[InsertionClaim("DEEPER-1", "act", "new")])
    )


def test_cert_9_rejects_a_module_that_takes_something_else_too():
    before, after = pair(
        lambda s, x: s.act(s.a(x)),
        lambda s, x: s.new(s.act(s.a(x))) + 0 * x,
        a=nn.Linear(8, 8),
        act=nn.ReLU(),
        new=nn.Sequential(identity(8), nn.ReLU()),
    )
    assert not is_proved(
        certify(before, after, X, claims=[InsertionClaim("DEEPER-1", "act", "new")])
    )


class TakesTwo(nn.Module):
    """Returns the first of two tensors."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + (y - y)


class ReturnsTwo(nn.Module):
    """Returns a tensor and another one."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.relu(), x.tanh()


@pytest.mark.parametrize(
    ("forward", "new", "problem"),
    [
        (lambda s, x: s.new(s.act(s.a(x)), x), TakesTwo(), "takes 2 tensors and returns 1"),
        (lambda s, x: s.new(s.act(s.a(x)))[0], ReturnsTwo(), "takes 1 tensors and returns 2"),
    ],
)
def test_cert_9_rejects_what_is_no_function_of_one_tensor(forward: Any, new: Any, problem: str):
    nets = pair(lambda s, x: s.act(s.a(x)), forward, a=nn.Linear(8, 8), act=nn.ReLU(), new=new)
    assert is_proved(certify(*nets, X))
    check = certify(*nets, X, claims=[InsertionClaim("SHALLOWER-1", "act", "new")])
    assert not is_proved(check)
    assert problem in check.summary


@pytest.mark.parametrize(
    ("anchor", "module", "problem"),
    [
        ("act", "old", "is claimed to be new and is not"),
        ("nowhere", "elsewhere", "is claimed to run and never does"),
    ],
)
def test_cert_9_rejects_a_claim_that_is_true_of_no_new_module(
    anchor: str, module: str, problem: str
):
    """The old module returns what it is given, and is where it always was."""
    nets = pair(
        *[lambda s, x: s.old(s.act(s.a(x)))] * 2, a=nn.Linear(8, 8), act=nn.ReLU(), old=nn.ReLU()
    )
    check = certify(*nets, X, claims=[InsertionClaim("SHALLOWER-1", anchor, module)])
    assert not is_proved(check)
    assert problem in check.summary


def test_cert_9_a_module_that_was_never_called_is_not_new():
    """CERT-9: it is no claim's, be it claimed or not."""
    nets = [
        Net(run, act=nn.ReLU(), a=nn.Linear(8, 8), idle=nn.ReLU())
        for run in (lambda s, x: s.act(s.a(x)), lambda s, x: s.idle(s.act(s.a(x))))
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    check = certify(*nets, X, claims=[InsertionClaim("SHALLOWER-1", "act", "idle")])
    assert not is_proved(check)
    assert "is claimed to be new and is not" in check.summary


# -- mutants of real certificates ----------------------------------------------------------------


def grown() -> tuple[Program, Program, Certificate]:
    """Two insertions after one anchor, one elsewhere."""
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    places = (("1", "identity"), ("1", "residual"), ("3", "identity"))
    passes = [morphir.DeeperPass(at=at, block=block) for at, block in places]
    result = morphir.transform(net, passes, example_inputs=(X,))
    before, after = (record(m, example_inputs=(X,)).program for m in (net, result.module))
    return before, after, result.certificate


def test_cert_9_accepts_real_certificates():
    before, after, certificate = grown()
    assert is_proved(check_certificate(before, after, certificate, DEFAULT_TABLE))
    assert len(certificate.insertions) == 3


def mutants(certificate: Certificate) -> dict[str, Certificate]:
    claims = certificate.insertions
    made = {
        "swapped programs": replace(
            certificate, before=certificate.after, after=certificate.before
        ),
        "another program before": replace(certificate, before=certificate.before[::-1]),
        "another program after": replace(certificate, after=certificate.after[::-1]),
        "no claims": replace(certificate, insertions=()),
    }
    for index, claim in enumerate(claims):
        others = (*claims[:index], *claims[index + 1 :])
        made[f"dropped {index}"] = replace(certificate, insertions=others)
        made[f"doubled {index}"] = replace(certificate, insertions=(*claims, claim))
        for law in LAWS:
            if law != claim.law:
                changed = replace(claim, law=law)
                made[f"{law} for {index}"] = replace(certificate, insertions=(*others, changed))
        for anchor in ("0", "2", "4", claim.module, ""):
            changed = replace(claim, anchor=anchor)
            made[f"anchor {anchor!r} for {index}"] = replace(
                certificate, insertions=(*others, changed)
            )
        for module in ("0", "1", f"{claim.module}.layer", f"{claim.module}x", ""):
            changed = replace(claim, module=module)
            made[f"module {module!r} for {index}"] = replace(
                certificate, insertions=(*others, changed)
            )
    return made


def test_cert_15_a_removal_is_an_insertion_read_backwards():
    """CERT-15, CERT-9: with every mutant rejected as well"""
    deep, shallow, certificate = grown()
    shallow, deep = deep, shallow
    back = certificate.inverted
    assert back.removals == certificate.insertions
    assert is_proved(check_certificate(deep, shallow, back, DEFAULT_TABLE))
    accepted = [
        name
        for name, mutant in mutants(certificate).items()
        if is_proved(check_certificate(deep, shallow, mutant.inverted, DEFAULT_TABLE))
    ]
    assert not accepted
    for law in ("SHALLOWER-1", "SHALLOWER-2"):
        claims = tuple(replace(claim, law=law) for claim in back.removals)
        check = check_certificate(deep, shallow, replace(back, removals=claims), DEFAULT_TABLE)
        assert is_proved(check) == (law == "SHALLOWER-1")


def test_cert_15_claims_go_one_way():
    before, after, certificate = grown()
    both = replace(certificate, removals=certificate.insertions)
    for mutant, programs in ((both, (before, after)), (both.inverted, (after, before))):
        check = check_certificate(*programs, mutant, DEFAULT_TABLE)
        assert not is_proved(check)


def test_cert_9_rejects_every_mutant_of_a_certificate():
    before, after, certificate = grown()
    made = mutants(certificate)
    accepted = [
        name
        for name, mutant in made.items()
        if is_proved(check_certificate(before, after, mutant, DEFAULT_TABLE))
    ]
    assert len(made) > 40
    assert not accepted
