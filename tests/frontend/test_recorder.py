"""FRONT-2 and FRONT-5: what a real call could hide is in the graph, or the model is refused."""

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from morphir.frontend import record
from morphir.ir import Program
from tests.frontend.expressions import graph_of, lines, run, traced
from tests.frontend.models import One, X

GLOBAL = torch.arange(4.0)

with warnings.catch_warnings():  # torch's own modules still use torch.jit
    warnings.simplefilter("ignore", DeprecationWarning)
    import torch._decomp.decompositions_for_jvp

    compiled = torch.compile(torch.tanh)


class Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    @torch.jit.script
    def scripted_function(x: torch.Tensor) -> torch.Tensor:
        return x * 2 + 1


# -- sizes that become floats


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda s, h: h / math.sqrt(h.size(-1)), ["float(size=size(%0, 1))"]),
        (lambda s, h: h * s.heads**-0.5, ["float(size=attribute('', 'heads', 2))"]),
        (
            lambda s, h: h * (h.shape[-1] // s.heads) ** -0.5,
            ["float(size=(size(%0, 1) // attribute('', 'heads', 2)))"],
        ),
        (lambda s, h: h / len(s.fc.bias), ["float(size=size(@fc.bias, 0))"]),
        (lambda s, h: h * s.fc.in_features**-0.5, ["float(size=size(@fc.weight, 1))"]),
        (lambda s, h: h / h.shape[-1], []),
        (lambda s, h: h.clamp(max=s.heads).mul(h.shape[-1]), []),
        (lambda s, h: F.dropout(h, s.count) + torch.full((4,), s.heads), []),
        (lambda s, h: F.interpolate(h[None], scale_factor=s.heads), []),
    ],
)
def test_front_9_a_float_that_python_makes_of_a_size_is_marked(forward: Any, expected: list[str]):
    """What torch makes of an argument is in the argument."""
    assert [line for line in lines(run(forward)) if line.startswith("float")] == expected


def test_front_9_programs_with_such_marks_print_parse_and_compare():
    program = traced(run(lambda s, h: h / math.sqrt(h.size(-1))))
    (node,) = (node for node in program.graphs["forward"].nodes if node.op == "float")
    assert node.source.startswith("test_recorder.py:")
    assert Program.parse(str(program)) == program
    assert hash(Program.parse(str(program))) == hash(program)
    assert not program.notes


def test_front_9_a_number_that_was_kept_is_not_marked_in_a_later_call():
    kept: list[int] = []
    traced(run(lambda s, h: kept.append(h.shape[-1])))
    assert not [x for x in lines(run(lambda s, h: h / math.sqrt(kept[0]))) if "float" in x]


# -- values that leave torch, and what Python makes


def test_what_numpy_made_of_a_value_is_some_function_of_it():
    forward = run(lambda s, h: torch.from_numpy(np.tanh(h.numpy())), lambda s, h: h * 2)
    assert lines(forward) == [
        "escape(args=('torch.Tensor.numpy', %0))",
        "%1 = python(args=(%0,))",
        "%2 = mul(input=%1, other=2)",
        "output '' = %2",
    ]


def test_an_array_that_nothing_entered_is_a_constant():
    table = np.arange(4, dtype=np.float32)
    program = traced(lambda s, x: s.fc(x) * torch.from_numpy(table))
    assert program.state["constant.0"].kind == "constant"
    assert torch.equal(program.state["constant.0"].tensor, torch.arange(4.0))  # type: ignore[arg-type]
    assert "python" not in str(program)


def test_a_tensor_of_the_module_or_of_the_file_is_a_constant_by_its_path():
    program = traced(lambda s, x: s.fc(x) * s.table * GLOBAL)
    assert program.state["table"].kind == "constant"
    assert program.state["constant.0"].tensor is GLOBAL


def test_a_long_list_of_numbers_is_a_constant_and_a_short_one_is_written_out():
    program = traced(lambda s, x: s.fc(x) + torch.tensor([float(i) for i in range(99)])[:4])
    assert "constant @constant.0: f32[99]" in str(program)
    assert "(0.5, 1.5, 2.5, 3.5)" in str(
        traced(lambda s, x: s.fc(x) + torch.tensor([0.5, 1.5, 2.5, 3.5]))
    )


@pytest.mark.parametrize(
    "draw", [lambda: random.random(), lambda: np.random.rand(), lambda: random.gauss(0, 1)]
)
def test_random_numbers_of_python_and_numpy_are_an_escape_at_the_start(draw: Any):
    """FRONT-5: whatever Python makes may depend on them."""
    program = traced(lambda s, x: s.fc(x) * draw() + torch.as_tensor(np.full(4, draw())))
    first, *_ = program.graphs["forward"].nodes
    assert first.op == "escape"
    assert first.random
    assert "python(args=())" in str(program)


@pytest.mark.parametrize(
    ("forward", "is_random"),
    [
        (run(lambda s, h: F.dropout(h)), True),
        (run(lambda s, h: F.dropout(h, training=False)), False),
        (run(lambda s, h: h + torch.rand(4)), True),
        (run(lambda s, h: h + torch.rand(4, generator=torch.Generator().manual_seed(1))), True),
        (run(lambda s, h: F.gumbel_softmax(h)), True),
        (run(lambda s, h: torch.bernoulli(h.sigmoid())), True),
        (run(lambda s, h: h.normal_()), True),
        (run(lambda s, h: F.scaled_dot_product_attention(h[None], h[None], h[None])), False),
        (run(lambda s, h: F.rrelu(h, training=True)), True),
        (run(lambda s, h: torch.randperm(4) + h), True),
    ],
)
def test_a_call_is_random_exactly_if_it_drew(forward: Callable[[One, Any], Any], is_random: bool):
    assert any(node.random for node in graph_of(forward).nodes) is is_random


# -- below and above the functional level


def test_what_runs_without_a_torch_function_is_recorded_as_kernels():
    assert lines(run(lambda s, h: scripted_function(h))) == [
        "%1 = torch.ops.aten.mul.Scalar(args=(%0, 2))",
        "%2 = torch.ops.aten.add.Scalar(args=(%1, 1))",
        "output '' = %2",
    ]


def test_autograd_functions_checkpoints_and_compiled_functions_are_seen_through():
    assert lines(run(lambda s, h: Identity.apply(h)))[-1] == "output '' = %1"
    for wrapped in (
        lambda s, h: checkpoint(torch.tanh, h, use_reentrant=False),
        lambda s, h: compiled(h),
    ):
        assert lines(run(wrapped)) == ["%1 = tanh(input=%0)", "output '' = %1"]


def test_a_scripted_module_is_opaque_with_everything_it_holds():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        part = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    model = nn.Sequential(nn.Linear(4, 4), part)
    program = record(model, example_inputs=(X,), mode="train").program
    node = program.graphs["forward"].nodes[-1]
    assert node.op == "scripted"
    assert {v.name for v in node.operands if v.origin == "state"} == {
        "1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias", "1.1.running_mean", "1.1.running_var",
        "1.1.num_batches_tracked",
    }  # fmt: skip
    assert len(program.graphs["forward"].updates) == 3
    assert program.unreached == ()


def test_autocast_inside_the_model_is_opaque_and_around_the_recording_is_off():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.fc(x)

    (node,) = graph_of(forward).nodes
    assert node.op == "autocast.torch.nn.functional.linear"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (node,) = graph_of(run()).nodes
    assert node.op == "linear"


def test_numbers_of_other_libraries_are_plain_numbers():
    from enum import IntEnum

    class Axis(IntEnum):
        LAST = -1

    program = traced(run(lambda s, h: (h * np.float64(2.5) + np.int64(3)).softmax(Axis.LAST)))
    assert "other=2.5)" in str(program)
    assert "other=3)" in str(program)
    assert "dim=-1)" in str(program)
    assert Program.parse(str(program)) == program
