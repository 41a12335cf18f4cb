"""Attacks on the certificate: each tries to get PROVED for two programs that are not equal."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ir import Certificate, Grade, InsertionClaim, Program
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net, certify, identity, is_proved, mlp, pair, zeros

# -- CERT-5: equal state -------------------------------------------------------------------------


def test_cert_5_accepts_a_copy():
    before = mlp()
    check = certify(before, copy.deepcopy(before))
    assert is_proved(check)
    assert check.figures["tensors"] == 4
    assert check.figures["nodes"] == 3


def test_cert_5_rejects_every_weight_that_is_off_by_one_ulp():
    before = mlp()
    for name, parameter in before.named_parameters():
        for index in range(0, parameter.numel(), 7):
            after = copy.deepcopy(before)
            with torch.no_grad():
                flat = after.get_parameter(name).view(-1)
                flat[index] = torch.nextafter(flat[index], torch.tensor(9.0))
            check = certify(before, after)
            assert not is_proved(check)
            assert check.where == f"@{name}"


def test_cert_5_rejects_a_negative_zero_where_there_was_a_zero():
    before = mlp()
    with torch.no_grad():
        before[0].bias[0] = 0.0
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[0].bias[0] = -0.0
    assert not is_proved(certify(before, after))


def test_cert_5_accepts_nan_that_stays_the_same():
    before = mlp()
    with torch.no_grad():
        before[0].weight[0, 0] = float("nan")
    assert is_proved(certify(before, copy.deepcopy(before)))


def test_cert_5_rejects_a_parameter_that_became_a_buffer():
    before = Net(lambda s, x: x + s.w, w=nn.Parameter(torch.ones(8)))
    after = Net(lambda s, x: x + s.w, w=torch.ones(8))
    check = certify(before, after)
    assert not is_proved(check)
    assert check.where == "@w"


def test_cert_5_rejects_ties_that_were_made_or_broken():
    tied = Net(lambda s, x: s.b(s.a(x)), a=nn.Linear(8, 8), b=nn.Linear(8, 8))
    tied.b.weight = tied.a.weight
    free = copy.deepcopy(tied)
    free.b.weight = nn.Parameter(free.a.weight.detach().clone())
    assert not is_proved(certify(tied, free))
    assert not is_proved(certify(free, tied))


def test_cert_6_rejects_new_state_that_is_tied_to_old_state():
    """The two are equal now, but training one would train the other."""
    before, after = pair(
        lambda s, x: s.eye(x),
        lambda s, x: s.new(s.eye(x)) * 1 - s.new(s.eye(x)) + s.eye(x),
        eye=identity(8),
        new=identity(8),
    )
    assert is_proved(certify(before, after)) is False
    after.new.weight = after.eye.weight
    check = certify(before, after)
    assert not is_proved(check)
    assert check.where == "@eye.weight"


def test_cert_6_rejects_missing_and_unclaimed_state():
    before, after = pair(lambda s, x: s.a(x), lambda s, x: s.a(x), a=nn.Linear(8, 8))
    after.extra = nn.Linear(2, 2)
    assert is_proved(certify(before, after))
    check = certify(before, after, claims=[])
    assert not is_proved(check)
    assert check.where == "@extra.weight"
    assert not is_proved(certify(after, before))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_cert_6_rejects_new_state_that_is_not_finite(number: float):
    """A branch of NaNs with a gate of zeros: on the way nothing is ever finite."""
    before, after = pair(
        lambda s, x: s.a(x),
        lambda s, x: s.a(x) + s.new_last(torch.tanh(s.new_first(x))),
        a=nn.Linear(8, 8),
        new_first=nn.Linear(8, 8),
        new_last=zeros(8, 8),
    )
    assert is_proved(certify(before, after))
    with torch.no_grad():
        after.new_first.weight[0, 0] = number
    check = certify(before, after)
    assert not is_proved(check)
    assert check.where == "@new_first.weight"


def test_cert_5_compares_constants_by_content():
    def adds(number: float) -> Any:
        return lambda s, x: s.a(x) + torch.tensor([number, 2.0])

    before, after = pair(adds(1.0), adds(1.0), a=nn.Linear(8, 2))
    assert is_proved(certify(before, after))
    before, after = pair(adds(1.0), adds(1.0 + 2**-23), a=nn.Linear(8, 2))
    assert not is_proved(certify(before, after))


ONES, TWOS = torch.ones(2), torch.full((2,), 2.0)


def test_cert_5_constants_may_be_counted_otherwise():
    """CERT-5: what was the first constant is the second one"""
    before, after = pair(
        lambda s, x: s.a(x) + ONES, lambda s, x: s.a(x) + (TWOS - TWOS + ONES), a=nn.Linear(8, 2)
    )
    assert is_proved(certify(before, after))


def test_cert_5_compares_the_state_behind_a_constant():
    model = Net(lambda s, x: s.a(x) + ONES, a=nn.Linear(8, 2))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.a.bias[1] += 1
    recorded = (record(m, example_inputs=(torch.randn(3, 8),)).program for m in (model, other))
    one, two = (replace(p, state=dict(sorted(p.state.items(), reverse=True))) for p in recorded)
    assert next(iter(one.state)).startswith("constant")
    assert is_proved(check_certificate(one, one, None, DEFAULT_TABLE))
    assert check_certificate(one, two, None, DEFAULT_TABLE).where == "@a.bias"


# -- CERT-8: vacuity -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forward",
    [
        lambda s, x: s.a.weight * 2,
        lambda s, x: torch.zeros(x.shape[0], 2),
        lambda s, x: x - x,
        lambda s, x: torch.ones(3) * x.shape[0],
    ],
)
def test_cert_8_proves_nothing_where_no_output_depends_on_an_input(forward: Any):
    before = Net(forward, a=nn.Linear(8, 2))
    check = certify(before, copy.deepcopy(before))
    assert not is_proved(check)
    assert "CERT-8" in check.summary


def programs() -> tuple[Program, Program]:
    model = mlp()
    one, other = (
        record(m, example_inputs=(torch.randn(3, 8),)).program
        for m in (model, copy.deepcopy(model))
    )
    return one, other


def verdict(before: Program, after: Program, /, **changes: Any) -> Any:
    certificate = replace(Certificate(before.hash, after.hash), **changes)
    return check_certificate(before, after, certificate, DEFAULT_TABLE)


def test_cert_8_proves_nothing_without_entry_points():
    before, after = (replace(p, graphs={}) for p in programs())
    check = verdict(before, after)
    assert not is_proved(check)
    assert "CERT-8" in check.summary


def test_cert_8_proves_nothing_without_outputs():
    before, after = programs()
    before, after = (
        replace(p, graphs={"forward": replace(p.graphs["forward"], outputs=())})
        for p in (before, after)
    )
    check = verdict(before, after)
    assert not is_proved(check)
    assert "CERT-8" in check.summary


def test_a_certificate_is_about_two_programs():
    before, after = programs()
    assert is_proved(verdict(before, after))
    for side in ("before", "after"):
        check = verdict(before, after, **{side: "0" * 64})
        assert not is_proved(check)
        assert check.summary == f"the certificate is about another program {side}"
    other = record(nn.Sequential(nn.Linear(8, 4)), example_inputs=(torch.randn(3, 8),)).program
    assert not is_proved(verdict(before, other, before=after.hash))


def test_cert_5_rejects_entry_points_that_were_dropped_or_added():
    before, after = programs()
    act = replace(before.graphs["forward"], name="act")
    more = replace(before, graphs={**before.graphs, "act": act})
    assert not is_proved(verdict(before, replace(after, graphs={"act": act})))
    assert verdict(more, after).where == "act"
    assert verdict(after, more).where == "act"


def test_cert_5_rejects_programs_of_different_modes():
    model = mlp()
    x = (torch.randn(3, 8),)
    before, after = (
        record(model, example_inputs=x, mode=mode).program for mode in ("eval", "train")
    )
    assert not is_proved(verdict(before, after))


def test_cert_5_rejects_programs_whose_inputs_differ():
    model = nn.Sequential(nn.ReLU())
    before = record(model, example_inputs=(torch.randn(3, 8),)).program
    for other in (torch.randn(3, 8).double(), torch.randn(3, 9), torch.randn(3, 8, 1)):
        after = record(model, example_inputs=(other,)).program
        assert not is_proved(verdict(before, after))


def test_a_malformed_program_is_never_proved():
    before, after = programs()
    graph = after.graphs["forward"]
    broken = replace(after, graphs={"forward": replace(graph, body=graph.body[1:])})
    for check in (verdict(before, broken), verdict(broken, broken)):
        assert not is_proved(check)
        assert "malformed" in check.summary


def test_a_parsed_program_has_no_numbers_and_is_never_proved():
    before, after = programs()
    parsed = Program.parse(str(after))
    assert parsed == after
    assert not is_proved(verdict(before, parsed))
    assert not is_proved(verdict(parsed, parsed))


def test_a_rejection_is_never_a_counterexample():
    before, after = programs()
    check = verdict(before, after, after="")
    assert check.grade is Grade.UNKNOWN


def test_a_rejection_names_the_first_node_outside_of_what_was_inserted():
    before, after = pair(
        lambda s, x: s.b(s.a(x)),
        lambda s, x: s.b(s.new(s.a(x))).tanh(),
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 8),
        new=identity(8),
    )
    claims = [InsertionClaim("DEEPER-1", "a", "new")]
    assert "tanh" in certify(before, after, claims=claims).where
    with torch.no_grad():
        after.new.weight[0, 1] = 1
    for given in (None, claims):
        assert "@new.weight" in certify(before, after, claims=given).where


def test_cert_6_rejects_constants_whose_bits_can_not_be_had():
    eye, other = torch.eye(8).to_sparse(), (2 * torch.eye(8)).to_sparse()
    before, after = pair(lambda s, x: x @ eye.to_dense(), lambda s, x: x @ other.to_dense())
    found = certify(before, after)
    assert found.summary == "CERT-6: the bits of this tensor can't be compared"
