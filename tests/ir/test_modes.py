"""Both modes in one program: the state is shared, constants are not."""

import torch
from torch import nn

from morphir.axes import AxisGroups
from morphir.frontend import record
from morphir.ir import both_modes, check_structure, in_eval_mode, is_of_train_mode
from tests.checks.pairs import Net


def test_both_modes_are_entry_points_over_one_state():
    net = Net(
        lambda s, x: (
            s.out(s.a(x) + torch.arange(4.0)) if s.training else s.out(s.a(x) * torch.eye(4)[0])
        ),
        a=nn.Linear(3, 4), out=nn.Linear(4, 2),
    )  # fmt: skip
    x = torch.randn(2, 3)
    first, second = (record(net, example_inputs=(x,), mode=m).program for m in ("eval", "train"))
    both = both_modes(first, second)
    check_structure(both)
    assert [*both.graphs] == ["forward", "forward (train)"]
    assert [*map(is_of_train_mode, both.graphs)] == [False, True]
    parameters = [name for name, entry in both.state.items() if entry.kind == "parameter"]
    assert {*parameters} == {*dict(net.named_parameters())}
    assert [node.op for node in both.graphs["forward (train)"].nodes].count("add") == 1


def test_what_is_used_in_one_mode_only_is_seen():
    """A head that runs in training only reads the features too."""
    net = Net(
        lambda s, x: (s.out(s.a(x).relu()), s.aux(s.a(x).relu()) if s.training else None),
        a=nn.Linear(3, 4), out=nn.Linear(4, 2), aux=nn.Linear(4, 5),
    )  # fmt: skip
    x = torch.randn(2, 3)
    first, second = (record(net, example_inputs=(x,), mode=m).program for m in ("eval", "train"))
    (group,) = AxisGroups(both_modes(first, second)).of("a")
    assert {str(place.tensor) for place in group.state} == {
        "a.weight", "a.bias", "out.weight", "aux.weight",
    }  # fmt: skip


def test_an_entry_point_in_train_mode_is_one_of_the_model():
    assert in_eval_mode("forward (train)") == in_eval_mode("forward") == "forward"
