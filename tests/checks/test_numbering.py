"""Where congruence ends: values of one program that differ, or are not known to be equal."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks.forms import Form, FormTable
from morphir.checks.numbering import GraphForms
from morphir.frontend import record
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net, certify, identity, is_proved, pair


def outputs(forward: Callable[..., Any], *inputs: torch.Tensor, **members: Any) -> list[Form]:
    """The forms of what a function returns."""
    model = Net(forward, **members)
    program = record(model, example_inputs=inputs or (torch.randn(3, 8),)).program
    graph = program.graphs["forward"]
    atoms = {name: name for name in program.state}
    forms = GraphForms(graph, program, atoms, {}, frozenset(), FormTable(), DEFAULT_TABLE)
    return [forms.of(value) for _, value in graph.outputs]


def are_equal(forward: Callable[..., Any], *inputs: torch.Tensor, **members: Any) -> bool:
    one, other = outputs(forward, *inputs, **members)
    return one == other


def test_equal_ops_on_equal_operands_are_equal():
    assert are_equal(lambda s, x: (x.tanh() * 2, torch.tanh(x) * 2))
    assert not are_equal(lambda s, x: (x.tanh() * 2, x.tanh() * 3))
    assert not are_equal(lambda s, x: (x.tanh(), x.sigmoid()))


def test_sums_are_equal_in_any_order():
    def sums(s: Any, x: torch.Tensor) -> Any:
        a, b, c = x.tanh(), x.sin(), x.cos()
        return (a + b) + c - b, a + c

    assert are_equal(sums)
    assert not are_equal(lambda s, x: (x + x, x))


def test_a_draw_is_equal_to_no_other_draw():
    assert not are_equal(lambda s, x: (x + torch.rand(8), x + torch.rand(8)))
    assert not are_equal(lambda s, x: (F.dropout(x, 0.5), F.dropout(x, 0.5)))


def test_a_value_is_not_what_it_was_before_a_change_in_place():
    def changed(s: Any, x: torch.Tensor) -> Any:
        h = x * 2
        before = h * 1
        h.add_(1)
        return before, h * 1

    assert not are_equal(changed)


def test_inputs_are_told_apart_by_name():
    x, y = torch.randn(3, 8), torch.randn(3, 8)
    assert not are_equal(lambda s, x, y: (x * 2, y * 2), x, y)


def test_a_size_is_not_a_number():
    assert not are_equal(lambda s, x: (x * x.shape[0], x * x.tanh().shape[0]))
    assert are_equal(lambda s, x: (x * x.shape[0], x * x.shape[0]))


def test_types_are_part_of_a_value():
    assert not are_equal(lambda s, x: (x.double(), x.double().float().double()))
    assert not are_equal(lambda s, x: (x.view(-1, 4), x.view(-1, 4).view(-1, 2, 4)))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_what_a_scripted_module_computes_is_not_known():
    model = nn.Sequential(nn.Linear(8, 8), torch.jit.script(nn.Sequential(nn.ReLU())))
    assert not is_proved(certify(model, model))


def test_what_changes_through_a_view_is_not_known():
    def through_a_view(s: Any, x: torch.Tensor) -> torch.Tensor:
        h = x * 2
        h[:, :4].add_(1)
        return h.tanh()

    model = Net(through_a_view)
    assert not is_proved(certify(model, model))


def test_cert_7_sizes_that_depend_on_content_are_numbers_that_python_knows():
    """How many elements are positive is a number that depends on the input."""

    def bound(x: torch.Tensor) -> int:
        return len(x.flatten()[x.flatten() > 0]) * 2

    before, after = pair(
        lambda s, x: (s.a(x).clamp(0, 1), x.flatten()[x.flatten() > 0]),
        lambda s, x: (s.a(x).clamp(0, 1).clamp(0, bound(x)), x.flatten()[x.flatten() > 0]),
        a=nn.Linear(8, 8),
    )
    assert not is_proved(certify(before, after))


def test_cert_7_the_numbers_of_an_inserted_module_are_its_own():
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = identity(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.hardtanh(self.layer(x), 0.0, 1.0)

    def run(s: Any, x: torch.Tensor, gated: bool) -> torch.Tensor:
        h = torch.sigmoid(s.a(x))
        assert float(h.sum()) > -1
        return s.new(h) if gated else h

    before, after = pair(
        lambda s, x: run(s, x, False), lambda s, x: run(s, x, True), a=nn.Linear(8, 8), new=Gate()
    )
    assert not is_proved(certify(before, after))

    from morphir.ir import InsertionClaim

    after.act = before.act = nn.Identity()
    claimed = pair(
        lambda s, x: s.act(run(s, x, False)),
        lambda s, x: s.new(s.act(run(s, x, False))),
        a=nn.Linear(8, 8),
        act=nn.Sigmoid(),
        new=Gate(),
    )
    assert is_proved(certify(*claimed, claims=[InsertionClaim("DEEPER-1", "act", "new")]))
