"""Recordings in both modes, and what is kept of tensors that are about to change."""

import copy

import torch
from torch import nn

from morphir.recordings import Clock, Traces, Twins, reads_the_same


def test_one_recording_stands_for_both_modes_where_nothing_uses_the_mode():
    x = torch.randn(2, 3)
    assert Traces.of(nn.Linear(3, 2), (x,), ("forward",)).are_one
    found = Traces.of(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), (x,), ("forward",))
    assert not found.are_one
    assert found.train is not None


def test_tensors_that_are_about_to_change_are_copied_or_let_go():
    net = nn.Linear(3, 2)
    traces = Traces.of(net, (torch.randn(2, 3),), ("forward",))
    copied = traces.keeping(["weight"], copy=True).eval.program.state["weight"].tensor
    assert torch.equal(copied, net.weight)
    assert copied.data_ptr() != net.weight.data_ptr()
    assert traces.keeping(["weight"], copy=False).eval.program.state["weight"].tensor is None
    assert traces.eval.program.state["weight"].tensor is not None


def test_twins_apart_have_parameters_of_their_own():
    net = nn.Linear(3, 2)
    twins = Twins.of(net)
    assert twins.native.weight is net.weight
    assert twins.apart().native.weight is not net.weight
    assert twins.double.weight.dtype is torch.float64


def test_back_5_a_copy_that_leads_to_its_original_does_not_read_the_same():
    """BACK-5"""
    net = nn.Sequential(nn.Linear(3, 2))
    assert reads_the_same(copy.deepcopy(net), net)
    net[0].function = lambda: net
    assert not reads_the_same(copy.deepcopy(net), net)
    net[0].function = object()
    assert not reads_the_same(copy.deepcopy(net), net), "nobody knows"


def test_a_clock_adds_up_phases():
    clock = Clock()
    for _ in range(2):
        with clock("phase"):
            pass
    assert [*clock.seconds] == ["phase"]
