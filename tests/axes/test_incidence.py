"""Where leaves and attributes occur."""

import torch
from torch import nn

import morphir
from morphir.axes import Flow
from morphir.axes.incidence import Incidence
from tests.axes.nets import NETS


def flow_of(name: str) -> Flow:
    make, inputs, entry_points = NETS[name]
    return Flow(morphir.trace(make(), example_inputs=(inputs,), entry_points=entry_points))


def leaf_of(flow: Flow, name: str, axis: int):
    (leaf,) = flow.leaves(flow.state[name].atoms[axis])
    return leaf


def test_the_steps_of_a_leaf_are_those_whose_tensors_have_it_in_program_order():
    flow = flow_of("agent")
    steps = Incidence(flow).steps([leaf_of(flow, "trunk.0.weight", 0)])
    assert [step.place.module for step in steps] == [
        *("trunk.0", "trunk.1", "critic"),
        *("trunk.0", "trunk.1", "policy.0", "critic"),
    ]


def test_a_step_that_only_reads_a_size_is_one_of_them():
    flow = flow_of("constants")
    steps = Incidence(flow).steps([leaf_of(flow, "features.weight", 0)])
    assert "ones" in {step.node.op for step in steps}


def test_steps_are_found_by_the_attributes_that_they_read():
    incidence = Incidence(flow_of("gpt"))
    (step,) = incidence.steps((), [("h.1.attn", "n_embd")])
    assert step.node.op == "split"
    assert {a.name for a in incidence.attributes} == {"n_embd", "n_head", "normalized_shape[0]"}


def test_fixed_leaves_have_no_steps():
    flow = flow_of("mlp")
    assert Incidence(flow).steps([leaf_of(flow, "0.weight", 1)]) == []


def test_the_state_and_the_writes_of_a_leaf():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    program = morphir.frontend.record(
        model, example_inputs=(torch.randn(5, 3),), mode="train"
    ).program
    flow = Flow(program)
    incidence, leaf = Incidence(flow), leaf_of(flow, "0.weight", 0)
    assert ("2.weight", 1) in incidence.state(leaf)
    assert ("2.weight", 0) not in incidence.state(leaf)
    assert {"1.running_mean", "1.running_var"} <= {w.before.tensor for w in incidence.writes(leaf)}
