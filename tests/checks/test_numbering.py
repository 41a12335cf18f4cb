"""Where congruence ends: values of one program that differ, or are not known to be equal."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks.following import Following
from morphir.checks.forms import Form, FormTable
from morphir.checks.numbering import GraphForms
from morphir.frontend import record
from morphir.ir import Arithmetic, Graph, InsertionClaim, Mapped, Node, Program, SizeOf, Value
from morphir.ops import DEFAULT_TABLE, OpTable
from tests.checks.changed_nets import grown, sides
from tests.checks.pairs import Net, certify, identity, is_proved, pair
from tests.checks.resized import check, coarse, resize


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
    assert are_equal(lambda s, x: (torch.einsum("bi->", x), torch.einsum("bi->", x)))
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


SIZED = {
    "another tensor's size": (
        lambda s, x: x * (x.shape[1] - 2), lambda s, x: x * (s.a(x).shape[1] - 2)
    ),
    "another number beside a size": (
        lambda s, x: x * (x.shape[1] * 2), lambda s, x: x * (x.shape[1] * 3)
    ),
    "another operation on a size": (
        lambda s, x: x * (x.shape[1] + 2), lambda s, x: x * (x.shape[1] * 2)
    ),
    "another start": (lambda s, x: x[:, 0:6:4], lambda s, x: x[:, 1:6:4]),
    "another step": (lambda s, x: x[:, 0:4:2], lambda s, x: x[:, 0:4:3]),
    "another stop": (lambda s, x: x.squeeze()[..., :2], lambda s, x: x.squeeze()[..., :3]),
    "another attribute": (lambda s, x: x * s.a.in_features, lambda s, x: x * s.a.out_features),
    "another kind of number": (lambda s, x: x.long() * 2, lambda s, x: x.long() * 2.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZED)
def test_arguments_are_told_apart_and_known_again(name: str):
    """In another program, where the values before it have other numbers."""
    old, other = SIZED[name]
    members = {"a": nn.Linear(8, 5)}
    assert not are_equal(lambda s, x: (old(s, x), other(s, x)), **members)
    assert not is_proved(certify(*pair(old, other, **members)))
    for function in (old, other):
        later = pair(function, lambda s, x, f=function: (x.tanh(), f(s, x))[1], **members)
        assert is_proved(certify(*later))


@pytest.mark.parametrize(
    "read",
    [
        lambda size: size,
        lambda size: (size, 2),
        lambda size: Arithmetic("*", 2, size),
        lambda size: slice(None, size),
    ],
)
def test_sizes_of_values_of_which_no_type_is_known_are_told_apart(read: Callable[[SizeOf], Any]):
    """As in what was traced symbolically."""
    x, *results = (Value(o, "", None) for o in ("input", *["result"] * 5))
    given = [1, 2, *(read(SizeOf(results[k], 0)) for k in (0, 1, 0))]
    body = [
        Node("op", {"input": x, "at": argument}, (h,))
        for argument, h in zip(given, results, strict=True)
    ]
    ends = tuple((str(k), h) for k, h in enumerate(results))
    graph = Graph("forward", (x,), tuple(body), ends)
    table = OpTable([replace(DEFAULT_TABLE.get("relu"), name="op")])
    program = Program("", "eval", {}, {"forward": graph})
    forms = GraphForms(graph, program, {}, {}, frozenset(), FormTable(), table)
    one, other, again = map(forms.of, results[2:])
    assert one == again != other


def test_a_value_of_another_graph_has_no_form():
    program = record(nn.Linear(2, 2), example_inputs=(torch.randn(1, 2),)).program
    atoms = {name: name for name in program.state}
    graph = program.graphs["forward"]
    forms = GraphForms(graph, program, atoms, {}, frozenset(), FormTable(), DEFAULT_TABLE)
    (weight, *_) = graph.state
    assert not forms.of(weight).is_zero
    with pytest.raises(KeyError):
        forms.of(Value("input", weight.name, weight.type))


def test_cert_11_the_nearest_of_several_calls_is_tried_first(monkeypatch: pytest.MonkeyPatch):
    """CERT-11: so a loop over time is followed in linear time."""
    tried = []
    follow = Following.follow
    noted = lambda self, node, *given: [tried.append(node), follow(self, node, *given)]  # noqa: E731
    monkeypatch.setattr(Following, "follow", noted)

    def steps(s: Any, x: torch.Tensor) -> torch.Tensor:
        h = s.a(x)
        return s.b(sum(h[:, k].tanh() for k in range(6)))

    copied, split = sides(grown(8, 2))
    old = coarse(Net(steps, a=nn.Linear(4, 8), b=nn.Linear(8, 3)))
    tensors = {
        "a.weight": (copied, Mapped(4)), "a.bias": (copied,), "b.weight": (Mapped(3), split),
    }  # fmt: skip
    assert is_proved(check(old, resize(old, tensors), tensors, torch.randn(2, 6, 4)))
    assert len({*tried}) == len(tried)


def test_calls_that_may_keep_state_are_told_apart():
    undeclared = torch.special.bessel_j1
    one, two, three = outputs(lambda s, x: (undeclared(x), undeclared(x), undeclared(x)))
    assert len({one, two, three}) == 3
    once, twice = pair(lambda s, x: undeclared(x), lambda s, x: (undeclared(x), undeclared(x))[0])
    assert not is_proved(certify(once, twice))
    assert certify(twice, once).summary == "CERT-5: these differ: undeclared ops"


def test_grade_3_a_sum_in_which_nothing_cancels_is_no_fact():
    """GRADE-3: where two checkers disagree, facts decide"""
    model = Net(lambda s, x: s.a(x) + x, a=nn.Linear(8, 8))
    assert certify(model, model).figures == {"nodes": 2, "tensors": 2, "escapes": 0}


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

    after.act = before.act = nn.Identity()
    claimed = pair(
        lambda s, x: s.act(run(s, x, False)),
        lambda s, x: s.new(s.act(run(s, x, False))),
        a=nn.Linear(8, 8),
        act=nn.Sigmoid(),
        new=Gate(),
    )
    assert is_proved(certify(*claimed, claims=[InsertionClaim("DEEPER-1", "act", "new")]))


def test_cert_7_not_even_its_own_once_a_size_depended_on_content_inside_of_it():
    """CERT-7: Python may have made the number of what it saw"""

    class Gate(nn.Module):
        def __init__(self, *, looks: bool) -> None:
            super().__init__()
            self.layer, self.looks = identity(8), looks

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.looks:
                x.flatten()[x.flatten() > 0]
            return F.hardtanh(self.layer(x), 0.0, 1.0)

    for looks in (False, True):
        nets = pair(
            lambda s, x: s.act(s.a(x)),
            lambda s, x: s.new(s.act(s.a(x))),
            a=nn.Linear(8, 8),
            act=nn.Sigmoid(),
            new=Gate(looks=looks),
        )
        check = certify(*nets, claims=[InsertionClaim("DEEPER-1", "act", "new")])
        assert is_proved(check) is not looks


def test_cert_3_facts_hold_for_the_outputs_that_they_are_about():
    """CERT-3: both halves of a positive number are positive, where it is largest is no bound"""
    layer = nn.Linear(8, 8)
    nets = pair(
        lambda s, x: s.a(x).relu().chunk(2, 1)[1],
        lambda s, x: s.a(x).relu().chunk(2, 1)[1].relu(),
        a=layer,
    )
    assert is_proved(certify(*nets))
    nets = pair(
        lambda s, x: s.a(x).clamp(0, 1).max(1)[1].float(),
        lambda s, x: s.a(x).clamp(0, 1).max(1)[1].float().clamp(0, 1),
        a=layer,
    )
    assert not is_proved(certify(*nets))


def test_cert_7_slices_and_comparisons_tell_python_nothing():
    """CERT-7"""
    nets = pair(
        lambda s, x: torch.where(x > 0, x, s.a(x))[:, :4].clamp(0, 1),
        lambda s, x: torch.where(x > 0, x, s.a(x))[:, :4].clamp(0, 1).clamp(0, 1),
        a=nn.Linear(8, 8),
    )
    assert is_proved(certify(*nets))


@pytest.mark.parametrize("looks", [False, True])
def test_cert_7_numbers_in_a_tuple_are_numbers(looks: bool):
    """CERT-7: how much a convolution pads may be another number on another input"""
    eye = torch.zeros(4, 4, 3, 3)
    eye[range(4), range(4), 1, 1] = 1

    def run(s: Any, x: torch.Tensor) -> torch.Tensor:
        if looks:
            assert float(x.sum()) < 1e9
        return s.a(x)

    nets = pair(
        run,
        lambda s, x: F.conv2d(run(s, x), s.new, padding=(1, 1)),
        a=nn.Conv2d(3, 4, 1),
        new=nn.Parameter(eye),
    )
    assert is_proved(certify(*nets, torch.randn(2, 3, 5, 5))) is not looks


class Parts(nn.Module):
    """Sums of parts, as many as an attribute says."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], self.count, -1).sum(-1)


@pytest.mark.parametrize("count", [2, 4])
def test_an_attribute_is_the_number_that_it_holds(count: int):
    """Whose it is does not matter: two modules with one setting compute the same."""

    def both(s: Any, x: torch.Tensor) -> Any:
        return s.one(x), s.other(x)

    assert are_equal(both, one=Parts(2), other=Parts(count)) is (count == 2)
