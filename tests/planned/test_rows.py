"""The rows of a plan say what the edits say."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, WiderPass
from morphir.ir import AxisMap, Insertion, Mapped, Multiplied, Resize
from morphir.planned import count_parameters, planned_module, planned_tensors
from tests.specimens import Attributes, Net

COPY = AxisMap.copies(2, (0, 1, 1))
FRESH = AxisMap.copies(2, (0, 1, -1))
BOTH = AxisMap.copies(2, (0, 1, 1, -1))


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (Mapped(2), ""),
        (Mapped(2, COPY), "copy"),
        (Mapped(2, COPY, "split"), "split"),
        (Mapped(2, FRESH), "fresh"),
        (Mapped(2, FRESH, "split"), "zero"),
        (Mapped(2, BOTH), "copy and fresh"),
        (Multiplied((Mapped(2, COPY), Mapped(3))), "copy"),
        (Multiplied((Mapped(2, COPY), Mapped(2, COPY, "split"))), "copy and split"),
    ],
)
def test_how_the_units_of_an_axis_are_carried_over(change, how):
    net = nn.Sequential(nn.Linear(3, change.size, bias=False))
    program = morphir.trace(net)
    edit = Resize("0", "WIDER-1", {"0.weight": (change, Mapped(3))}, (), {})
    (tensor,) = planned_tensors(program, edit)
    assert tensor.how == (how, "")
    size = f"{change.size} -> {change.new_size} {how}" if how else str(change.size)
    assert tensor.change == f"f32[{size}, 3]"


def test_a_tensor_names_the_op_that_reads_it_first():
    plan = morphir.plan(Net(), WiderPass(at="extractor.0", width=12))
    rows = {each.name: each for each in plan.tensors}
    head = rows["extractor.2.weight"]
    assert (head.op, head.module, head.kind) == ("linear", "extractor.2", "parameter")
    assert head.source.startswith("specimens.py:")
    assert [*rows] == ["extractor.0.weight", "extractor.0.bias", "extractor.2.weight"]


def test_buffers_are_no_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    plan = morphir.plan(net, WiderPass(at="0", width=6))
    assert {each.name: each.kind for each in plan.tensors}["1.running_mean"] == "buffer"
    assert plan.stages[0].growth == 2 * (3 + 1) + 2 * 2 + 2 * 2


@pytest.mark.parametrize(
    ("net", "at", "name", "where"),
    [
        (Net(), "extractor.1", "extractor.1_deeper1", "next child of extractor"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "1", "1_deeper1", "next child of the model"),
        (Attributes(), "act", "act.act_deeper1", "inside act"),
    ],
)
def test_a_module_says_whose_child_it_becomes(net, at, name, where):
    (module,) = morphir.plan(net, DeeperPass(at=at)).modules
    assert (module.name, module.after, module.where, module.law) == (name, at, where, "DEEPER-1")
    assert {key.rpartition(".")[2] for key in module.parameters} == {"weight", "bias"}


def test_a_module_with_its_parameters():
    edit = Insertion("a", "a.a_deeper1", nn.Linear(2, 3), "DEEPER-1", {}, (), inside=True)
    assert planned_module(edit).parameters["weight"].shape == (3, 2)


def test_dry_1_the_first_plan_that_a_process_prints_draws_nothing():
    """DRY-1: `rich` draws a number when it is imported"""
    code = (
        "import random, morphir; from torch import nn; before = random.getstate(); "
        "str(morphir.plan(nn.Linear(2, 3), morphir.ExtendOutputPass(at='', width=4))); "
        "print(random.getstate() == before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"


def test_parameters_are_counted_once():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    assert count_parameters(morphir.trace(net)) == 16 + 4 + 4
    assert sum(p.numel() for p in net.parameters()) == 24
    assert torch.equal(net[0].weight, net[2].weight)


def test_a_branch_is_a_new_module_with_both_copies():
    plan = morphir.plan(Net(), morphir.InjectPlasticityPass(at="extractor.0"))
    (module,) = plan.modules
    assert (module.name, module.after) == ("extractor.0.injected1", "extractor.0")
    assert {name: str(kind) for name, kind in module.parameters.items()} == {
        "fresh.weight": "f32[8, 4]", "fresh.bias": "f32[8]",
        "frozen.weight": "f32[8, 4]", "frozen.bias": "f32[8]",
    }  # fmt: skip
    assert plan.stages[0].growth == 2 * (8 * 4 + 8)
