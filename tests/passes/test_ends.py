"""The axes of inputs and outputs, and how they get longer."""

import pytest
import torch
from torch import nn

import morphir
from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import FRESH, Extension, both_modes
from morphir.ops.forms import Atom, Product, Sum
from morphir.passes.ends import (
    End,
    MisfitError,
    axes_of,
    extensions,
    inputs_of,
    is_looked_up,
    is_read_by,
    longer,
    outputs_of,
)
from tests.checks.pairs import Net

A, B, C = Atom("a", 2), Atom("b", 3), Atom("c", 4)


@pytest.mark.parametrize(
    ("form", "width", "leaf", "source"),
    [
        (A, 3, A, (0, 1, FRESH)),
        (Sum((A, B)), 7, B, (0, 1, 2, FRESH, FRESH)),
        (Product((A, B)), 9, A, (0, 1, FRESH)),
        (Sum((C, Product((A, B)))), 13, A, (0, 1, FRESH)),
        (Product((Sum((A, B)), C)), 24, B, (0, 1, 2, FRESH)),
    ],
    ids=str,
)
def test_an_axis_gets_longer_by_units_of_the_leaf_that_ends_it(form, width, leaf, source):
    maps = longer([("x", form)], width)
    assert {each: m.source for each, m in maps.items()} == {leaf: source}
    assert not longer([("x", form)], form.size)


@pytest.mark.parametrize(
    ("width", "message", "nearest"),
    [
        (5, "'x' has 6 features, which come in blocks of 3", 9),
        (3, "'x' has 6 features, and can't get longer to have width=3", 9),
        (10, "blocks of 3, and can't get longer to have width=10", 12),
    ],
)
def test_a_width_that_no_units_add_up_to_is_refused(width, message, nearest):
    with pytest.raises(MisfitError) as caught:
        longer([("x", Product((A, B)))], width)
    assert message in caught.value.reason
    assert caught.value.nodes == ("x",)
    assert caught.value.nearest == nearest


def both(model: nn.Module, *inputs: torch.Tensor):
    recorded = [record(model, example_inputs=inputs, mode=mode) for mode in ("eval", "train")]
    return both_modes(*(each.program for each in recorded))


def test_the_ends_of_both_modes_are_those_of_one_entry_point():
    net = Net(
        lambda s, x: (s.a(x), s.b(x)) if s.training else (s.a(x),),
        a=nn.Linear(4, 3), b=nn.Linear(4, 3),
    )  # fmt: skip
    program = both(net, torch.randn(2, 4))
    inputs, outputs = [*inputs_of(program)], [*outputs_of(program)]
    assert [end[:2] for end in inputs] == [("forward", "args[0]")] * 2
    assert [end.path for end in outputs] == ["[0]", "[0]", "[1]"]
    assert {end.axis for end in (*inputs, *outputs)} == {1}  # the batch is none
    assert len(axes_of(inputs)) == 2
    groups = AxisGroups(program)
    assert [is_read_by(["a"], end, program, groups) for end in inputs] == [True, True]
    maps = longer([("x", end.form(groups)) for end in inputs], 6)
    found = extensions(groups, inputs, maps)
    assert found == (Extension("forward", "args[0]", 1, 4, 6),)


def test_modules_that_look_up_rows():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    program = morphir.trace(model, example_inputs=(torch.zeros(2, 5, dtype=torch.int64),))
    assert is_looked_up(["0"], program) == "embedding"
    assert not is_looked_up(["1"], program)


def test_new_positions_among_the_old_ones_are_refused():
    net = Net(lambda s, x: torch.cat([s.a(x), s.b(x)], 1), a=nn.Linear(4, 3), b=nn.Linear(4, 2))
    program = morphir.trace(net, example_inputs=(torch.randn(2, 4),))
    groups = AxisGroups(program)
    ends: list[End] = [*outputs_of(program)]
    with pytest.raises(RefusalError, match="of 'forward' would not come after the old ones"):
        extensions(groups, ends, longer([("a", groups.features("a"))], 4))
    found = extensions(groups, ends, longer([("b", groups.features("b"))], 4))
    assert found == (Extension("forward", "", 1, 5, 7),)


def test_an_entry_point_without_inputs_has_no_ends():
    class Plain(nn.Module):
        def forward(self, x, y):
            return x + y

    program = morphir.trace(Plain())
    for ends in (inputs_of, outputs_of):
        with pytest.raises(RefusalError, match="recorded without inputs"):
            [*ends(program)]
