"""How axes flow through recorded programs, and what stops them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups, Flow, Freed, Group
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import FRESH, AxisMap, Program

HIDDEN = 6


class Between(nn.Module):
    """Two layers with a function between them."""

    def __init__(self, function: Callable[[Tensor], Tensor], width: int = HIDDEN) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.second = nn.Linear(width, 2)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self.first(x)))


def hidden(function: Callable[[Tensor], Tensor], width: int = HIDDEN) -> Group:
    """The first group of the features between the layers."""
    program = morphir.trace(Between(function, width), example_inputs=(torch.randn(2, 3),))
    return AxisGroups(program).of("first")[0]


def outside_torch(x: Tensor) -> Tensor:
    return x if x.tolist() else -x


@pytest.mark.parametrize("function", [torch.relu, torch.clone, lambda x: x * x, lambda x: x + 1])
def test_declared_ops_pass_axes_on(function):
    group = hidden(function)
    assert group.reason is None
    places = [(place.tensor, place.axis) for place in group.state]
    assert places == [("first.weight", 0), ("first.bias", 0), ("second.weight", 1)]


@pytest.mark.parametrize(
    ("function", "op", "text"),
    [
        (torch.special.airy_ai, "airy_ai", "is not a declared op"),
        (outside_torch, "escape", "its value leaves torch"),
        (lambda x: x.sort(-1).values, "sort", "mixes or indexes its units"),
        (lambda x: x + torch.arange(6.0), "arange", "mixes or indexes its units"),
        (lambda x: x / x.shape[-1], "div", "div computes with its size"),
        (lambda x: x / math.sqrt(x.shape[-1]), "float", "its size becomes a plain number"),
        (lambda x: x / np.sqrt(x.shape[-1]), "float", "its size becomes a plain number"),
        (lambda x: x * x.size(-1) ** -0.5, "float", "its size becomes a plain number"),
        (lambda x: x * (1 / x.shape[-1]), "float", "its size becomes a plain number"),
        (lambda x: x / len(x.T), "float", "its size becomes a plain number"),
        (lambda x: x.view(-1, 2, 3).transpose(1, 2).reshape(-1, 6) + x, "add", "no common"),
    ],
)
def test_plan_4_what_stops_an_axis_is_named_with_its_place(function, op: str, text: str):
    reason = hidden(function).reason
    assert reason is not None
    assert op in reason.op
    assert text in str(reason)
    assert "test_flow.py:" in reason.source


class Equalized(nn.Linear):
    """Its learning rate is equalized: the weight is scaled by a size of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.in_features**-0.5, self.bias)


def test_plan_4_what_torchs_modules_write_down_is_a_size():
    def reason(function: Callable[[nn.Module, Tensor], Tensor]) -> str:
        class Reading(Between):
            def forward(self, x: Tensor) -> Tensor:
                return self.second(function(self, self.first(x)))

        program = morphir.trace(Reading(torch.relu), example_inputs=(torch.randn(2, 3),))
        return str(AxisGroups(program).of("first")[0].reason)

    plain = "its size becomes a plain number"
    assert plain in reason(lambda s, h: h / math.sqrt(s.first.out_features))
    assert plain in reason(lambda s, h: h / len(s.first.bias))
    assert "mul computes with its size" in reason(lambda s, h: h * s.second.in_features)
    assert reason(lambda s, h: h.view(-1, s.first.out_features)) == "None"
    equalized = nn.Sequential(nn.Linear(3, 6), Equalized(6, 2))
    (group,) = AxisGroups(morphir.trace(equalized, example_inputs=(torch.randn(2, 3),))).of("0")
    assert f"{plain} (module '1'" in str(group.reason)


def test_plan_4_constants_of_the_code_are_fixed():
    offsets = torch.randn(HIDDEN)
    assert "is a constant that the code makes" in str(hidden(lambda x: x + offsets).reason)


def test_a_hidden_layer_of_width_1_is_free_until_it_is_broadcast():
    assert hidden(torch.relu, width=1).reason is None
    stretched = hidden(lambda x: (x + torch.zeros(6).to(x))[:, :1], width=1)
    assert "its size is 1" in str(stretched.reason)


def test_plan_4_a_module_that_is_used_where_nothing_is_known_is_fixed():
    program = morphir.trace(Between(torch.relu), example_inputs=(torch.randn(2, 3),))
    outside = Program(
        program.model,
        program.mode,
        program.state,
        program.graphs,
        outside={"second": "Trainer.step reads it"},
    )
    (group,) = AxisGroups(outside).of("first")
    assert (
        str(group.reason) == "'second' is also used where nothing is known: Trainer.step reads it"
    )


def test_plan_4_values_of_unknown_shape_are_fixed():
    text = str(morphir.trace(Between(torch.relu), example_inputs=(torch.randn(2, 3),)))
    assert ": f32[B, 6] = relu" in text
    untyped = Program.parse(text.replace(": f32[B, 6] = relu", " = relu"))
    (group,) = AxisGroups(untyped).of("first")
    assert "the shapes at relu are not known" in str(group.reason)


def test_plan_5_a_state_entry_that_is_written_keeps_its_axes():
    program = record(nn.BatchNorm1d(4), example_inputs=(torch.randn(2, 4),), mode="train").program
    updates = dict(program.graphs["forward"].updates)
    flow = Flow(program)
    before = flow.state["running_mean"].atoms[0]
    after = flow.dims(updates["running_mean"]).atoms[0]
    assert flow.atoms.find(before) is flow.atoms.find(after)
    assert flow.atoms.find(before) is flow.atoms.find(flow.state["weight"].atoms[0])


def test_plan_5_a_buffer_that_is_only_written_changes_with_what_is_written_to_it():
    class Remembers(Between):
        def __init__(self) -> None:
            super().__init__(torch.relu)
            self.register_buffer("seen", torch.zeros(HIDDEN))

        def forward(self, x: Tensor) -> Tensor:
            features = self.first(x)
            self.seen = features.detach().mean(0)
            return self.second(features)

    program = morphir.trace(Remembers(), example_inputs=(torch.randn(2, 3),))
    (group,) = AxisGroups(program).of("first")
    assert ("seen", 0) in {(place.tensor, place.axis) for place in group.state}


def test_plan_5_what_a_call_writes_to_keeps_its_axes():
    class Statistics(Between):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            features = self.first(x)
            mean = torch.zeros_like(features[0])
            normed = F.batch_norm(features, mean, torch.ones_like(mean), training=True)
            return self.second(normed), mean

    program = morphir.trace(Statistics(torch.relu), example_inputs=(torch.randn(2, 3),))
    (group,) = AxisGroups(program).of("first")
    assert "it is an axis of the output" in str(group.reason)


def test_plan_5_a_layer_called_twice_ties_what_it_is_called_on():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(3, 6)
            self.layer = nn.Linear(6, 6)
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.layer(torch.relu(self.layer(self.embed(x))))))

    groups = AxisGroups(morphir.trace(Twice(), example_inputs=(torch.randn(2, 3),)))
    (group,) = groups.of("layer")
    assert groups.of("embed") == (group,)
    assert [place.axis for place in group.state if place.tensor == "layer.weight"] == [0, 1]


def test_plan_4_a_freed_axis_of_an_input_or_output_can_change_and_no_other():
    model = Between(torch.relu)
    program = morphir.trace(model, example_inputs=(torch.randn(2, 3),))
    graph = program.graphs["forward"]
    (x,), ((_, y),) = graph.inputs, graph.outputs
    for freed, at, free in (
        (Freed(), None, []),
        (Freed(inputs=frozenset([(x, 1)])), "input 'x'", ["first.weight[1]"]),
        (Freed(outputs=frozenset([(y, 1)])), "output", ["second.weight[0]", "second.bias[0]"]),
        (Freed(inputs=frozenset([(y, 1)]), outputs=frozenset([(x, 1)])), None, []),
    ):
        flow = Flow(program, freed=freed)
        hidden = flow.state["first.weight"].atoms[0]
        assert flow.atoms.reason(hidden) is None
        found = [
            f"{name}[{axis}]"
            for name, dims in flow.state.items()
            for axis, atom in enumerate(dims.atoms)
            if flow.atoms.reason(atom) is None
            and flow.atoms.find(atom) is not flow.atoms.find(hidden)
        ]
        assert found == free
        assert [(axis, str(at) in str(reason)) for _, axis, reason in flow.ends] == (
            [(1, True)] if at else []
        )


def test_plan_4_a_freed_axis_is_copied_where_it_is_an_end():
    program = morphir.trace(Between(torch.relu), example_inputs=(torch.randn(2, 3),))
    graph = program.graphs["forward"]
    (x,), ((_, y),) = graph.inputs, graph.outputs
    grown = AxisMap.copies(3, (0, 1, 2, FRESH))
    groups = AxisGroups(program, freed=Freed(inputs=frozenset([(x, 1)])))
    tensors, _ = groups.resize({groups.axis(x, 1): grown})
    assert [each.polarity for each in tensors["first.weight"]] == ["copy", "split"]
    assert {*tensors} == {"first.weight"}
    groups = AxisGroups(program, freed=Freed(outputs=frozenset([(y, 1)])))
    with pytest.raises(RefusalError, match="it is an axis of the input 'x'"):
        groups.resize({groups.axis(x, 1): grown})
