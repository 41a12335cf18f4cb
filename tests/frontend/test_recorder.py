"""FRONT-2 and FRONT-5: what a real call could hide is in the graph, or the model is refused."""

import contextlib
import ctypes
import math
import random
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import Graph, Program
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


def traced(forward: Callable[[One, Any], Any], **how: Any) -> Program:
    return record(One(forward), example_inputs=(X,), **how).program


def graph_of(forward: Callable[[One, Any], Any]) -> Graph:
    return traced(forward).graphs["forward"]


def lines(forward: Callable[[One, Any], Any]) -> list[str]:
    """The nodes after the linear layer, without types and sources."""
    from morphir.ir import number_values, print_node

    graph = graph_of(forward)
    names = number_values(graph)
    texts = (print_node(node, names, sources=False, types=False) for node in graph.nodes)
    found = [*texts, *(f"output {path!r} = {names[v]}" for path, v in graph.outputs)]
    found += [f"update {name} = {names[value]}" for name, value in graph.updates]
    return [text for text in found if not text.startswith("%0 = linear")]


def case(name: str, forward: Callable[[One, Any], Any], *expected: str) -> Any:
    return pytest.param(forward, expected, id=name)


def run(*statements: Callable[[One, Any], Any]) -> Callable[[One, Any], Any]:
    """A forward: `h = fc(x)`, then each statement gets h and gives the next h unless it is None."""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        for statement in statements:
            result = statement(self, h)
            h = h if result is None else result
        return h

    return forward


def ignored(*_: Any) -> None:
    """Drops a result."""


IN_PLACE = [
    case("relu_", run(lambda s, h: ignored(h.relu_())), "%1 = relu(input=%0)", "output '' = %1"),
    case(
        "F.relu(inplace)",
        run(lambda s, h: ignored(F.relu(h, inplace=True))),
        "%1 = relu(input=%0)",
        "output '' = %1",
    ),
    case("+=", run(lambda s, h: h.__iadd__(1)), "%1 = add(input=%0, other=1)", "output '' = %1"),
    case(
        "clamp_ on a view, then the base",
        run(lambda s, h: ignored(h.view(-1).clamp_(min=0))),
        "%1 = reshape(input=%0, shape=(-1,))",
        "%2 = clamp(input=%1, min=0)",
        "%3 = alias(args=(%0, %2))",
        "output '' = %3",
    ),
    case(
        "two views one after the other",
        run(lambda s, h: [v.add_(1) for v in (h[0], h[1])] and None),
        "%1 = getitem(input=%0, index=0)",
        "%2 = getitem(input=%0, index=1)",
        "%3 = add(input=%1, other=1)",
        "%4 = alias(args=(%2, %3))",
        "%5 = add(input=%4, other=1)",
        "%6 = alias(args=(%0, %5))",
        "output '' = %6",
    ),
    case(
        "chunk, and the other half",
        run(lambda s, h: (lambda a, b: a.mul_(2) + b)(*h.chunk(2, -1))),
        "%1, %2 = chunk(input=%0, chunks=2, dim=-1)",
        "%3 = mul(input=%1, other=2)",
        "%4 = alias(args=(%2, %3))",
        "%5 = add(input=%3, other=%4)",
        "output '' = %5",
    ),
    case(
        "out=",
        run(lambda s, h: torch.add(h, 1, out=torch.zeros(3, 4))),
        "%1 = zeros(size=(3, 4))",
        "%2 = add(input=%0, other=1)",
        "output '' = %2",
    ),
    case(
        "through .data",
        run(lambda s, h: ignored(h.data.mul_(2))),
        "%1 = detach(input=%0)",
        "%2 = mul(input=%1, other=2)",
        "%3 = alias(args=(%0, %2))",
        "output '' = %3",
    ),
    case(
        "by assigning to .data",
        run(lambda s, h: setattr(h, "data", h * 2)),
        "%1 = mul(input=%0, other=2)",
        "%2 = alias(args=(%1,))",
        "output '' = %2",
    ),
    case(
        "shape changed in place",
        run(lambda s, h: ignored(h.unsqueeze_(0))),
        "%1 = unsqueeze(input=%0, dim=0)",
        "output '' = %1",
    ),
    case(
        "an aten overload",
        run(lambda s, h: ignored(torch.ops.aten.mul_.Scalar(h, 2))),
        "%1 = torch.ops.aten.mul_.Scalar(args=(%0, 2))",
        "output '' = %1",
    ),
    case(
        "the caller's tensor",
        lambda s, x: s.fc(x.mul_(2)),
        "%0 = mul(input=%x, other=2)",
        "%1 = linear(input=%0, weight=@fc.weight, bias=@fc.bias)",
        "output '' = %1",
        "output 'arguments.x' = %0",
    ),
    case(
        "a buffer",
        lambda s, x: s.fc(x) + s.seen.add_(1),
        "%1 = add(input=@seen, other=1)",
        "%2 = add(input=%0, other=%1)",
        "output '' = %2",
        "update seen = %1",
    ),
    case(
        "a buffer that is replaced",
        run(lambda s, h: setattr(s, "seen", h.sum(0))),
        "%1 = sum(input=%0, dim=0)",
        "output '' = %0",
        "update seen = %1",
    ),
    case(
        "a plain tensor of the module",
        lambda s, x: s.fc(x) * s.table.add_(1),
        "%1 = add(input=@table, other=1)",
        "%2 = mul(input=%0, other=%1)",
        "output '' = %2",
        "update table = %1",
    ),
]


@pytest.mark.parametrize(("forward", "expected"), IN_PLACE)
def test_a_change_in_place_is_a_new_value_of_everything_that_sees_it(
    forward: Callable[[One, Any], Any], expected: tuple[str, ...]
):
    assert tuple(lines(forward)) == expected


def test_a_buffer_that_is_changed_through_a_view_only_is_updated():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        self.seen.view(2, 2)[0] = 5.0
        return self.fc(x)

    assert lines(forward)[-1] == "update seen = %3"
    assert "%3 = alias(args=(@seen, %1))" in lines(forward)


def test_changes_under_inference_mode_are_seen_without_version_counters():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            h = self.fc(x)
            h.view(-1).mul_(3)
        return h

    assert lines(forward)[-2:] == ["%3 = alias(args=(%0, %2))", "output '' = %3"]


def test_the_types_of_old_values_are_those_before_the_change():
    types = [str(node.outputs[0].type) for node in graph_of(
        run(lambda s, h: h.unsqueeze_(0), lambda s, h: h.squeeze_(0))
    ).nodes]  # fmt: skip
    assert types == ["f32[B, 4]", "f32[1, B, 4]", "f32[B, 4]"]


# -- what must not be changed


def into_global(self: One, x: torch.Tensor) -> torch.Tensor:
    GLOBAL.add_(1)
    return self.fc(x)


def swallowed(self: One, x: torch.Tensor) -> torch.Tensor:
    try:
        self.fc.weight.data.mul_(2)
    except Exception:
        return x
    return self.fc(x)


def builds_late(self: One, x: torch.Tensor) -> torch.Tensor:
    self.late = nn.Linear(4, 2)
    return self.late(x)


def differentiates(self: One, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        return torch.autograd.grad(self.fc(x).sum(), x)[0]


def backward(self: One, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        self.fc(x).sum().backward()
    return self.fc(x)


def in_a_thread(self: One, x: torch.Tensor) -> torch.Tensor:
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.tanh(x)))
    thread.start()
    thread.join()
    return self.fc(found[0])


def write_by_address(self: One, x: torch.Tensor) -> torch.Tensor:
    h = self.fc(x)
    (ctypes.c_float * 4).from_address(h.data_ptr())[0] = 9.0
    return h * 2


def write_by_numpy(self: One, x: torch.Tensor) -> torch.Tensor:
    h = self.fc(x)
    h.numpy()[0] = 7
    return h * 2


def write_weights_by_numpy(self: One, x: torch.Tensor) -> torch.Tensor:
    self.fc.weight.detach().numpy()[0] += 1
    return self.fc(x)


def shares_memory(self: One, x: torch.Tensor) -> torch.Tensor:
    h = self.fc(x)
    torch.frombuffer(h.numpy(), dtype=torch.float32).mul_(2)
    return h + 1


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda s, x: F.linear(x, s.fc.weight.data.clamp_(-1, 1)), "its parameter 'fc.weight' in"),
        (lambda s, x: nn.init.zeros_(s.fc.weight) + x.sum(), "its parameter 'fc.weight' in place"),
        (lambda s, x: torch.add(x, 1, out=s.fc.weight.detach()), "its parameter 'fc.weight'"),
        (lambda s, x: F.embedding(torch.tensor([0]), s.fc.weight, max_norm=0.1), "its parameter"),
        (lambda s, x: setattr(s.fc.weight, "data", s.fc.weight * 2) or s.fc(x), "its parameter"),
        (lambda s, x: setattr(s.fc, "weight", nn.Parameter(s.fc.weight * 2)) or s.fc(x),
         "adds or replaces the parameter 'weight'"),
        (lambda s, x: s.fc.weight.requires_grad_(False) @ x.T, "its requires_grad while it runs"),
        (into_global, "a tensor from outside the model in place"),
        (swallowed, "changes its parameter 'fc.weight' in place"),
        (builds_late, "adds or replaces the module 'late'"),
        (differentiates, "differentiates while it runs"),
        (lambda s, x: torch.func.jvp(s.fc, (x,), (x,))[1], "differentiates while it runs"),
        (backward, "differentiates while it runs"),
        (lambda s, x: torch.vmap(s.fc)(x), "torch.func"),
        (lambda s, x: torch.func.grad(lambda r: s.fc(r).sum())(x), "torch.func"),
        (in_a_thread, r"a tensor of type f32\[3, 4\] that no torch function was seen to make"),
        (lambda s, x: s.fc(x) * torch.frombuffer(bytearray(b"0123"), dtype=torch.float32),
         r"a tensor of type f32\[1\] that no torch function was seen to make"),
        (write_by_address, "writes to a tensor's memory through numpy or a pointer"),
        (write_by_numpy, "writes to a tensor's memory through numpy or a pointer"),
        (write_weights_by_numpy, "writes to a tensor's memory through numpy or a pointer"),
        (shares_memory, "writes to a tensor's memory through numpy or a pointer"),
        (lambda s, x: print(end=""), "returned NoneType, in which no tensor was found"),
        (lambda s, x: (h for h in [s.fc(x)]), "returned generator, in which no tensor was found"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_and_the_model_is_as_it_was(
    forward: Callable[[One, Any], Any], words: str
):
    """FRONT-1 and FRONT-5: nothing that the model shares with the scratch copy is written to."""
    model = One(forward)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RefusalError, match=words.replace(".func", r"\.func")):
        record(model, example_inputs=(X,))
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert model.fc.weight.requires_grad
    assert model.fc.weight.grad is None
    assert torch.equal(GLOBAL, torch.arange(4.0))


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


# -- modules


def test_a_module_that_raises_and_is_caught_is_left_properly():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        with contextlib.suppress(RuntimeError):
            self.fc(x[:, :3])
        return self.fc(x)

    failed, worked = graph_of(forward).calls
    assert (failed.body, failed.results) == ((), ())
    assert len(worked.body) == 1


class Schedule:
    """An object that counts."""

    def __init__(self) -> None:
        self.steps = 0


def test_python_state_that_the_call_changes_is_noted():
    """FRONT-5: lists and dictionaries of numbers, and the mode of a part."""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        self.stats["n"] += 1
        self.history.append(self.stats["n"])
        self.schedule.steps += 1
        self.fc.train()
        return self.fc(x)

    model = One(forward).eval()
    model.stats, model.history, model.schedule = {"n": 0}, [], Schedule()
    notes = record(model, example_inputs=(X,)).program.notes
    assert [note.split(",")[0] for note in notes] == [
        "forward: the call changes self.stats",
        "forward: the call changes self.history",
        "forward: the call changes self.schedule",
        "forward: the call changes self.fc.training",
    ]
    assert (model.stats, model.history, model.schedule.steps) == ({"n": 0}, [], 0)
    assert not model.fc.training


@pytest.mark.parametrize(
    "generator",
    [np.random.default_rng(0), np.random.RandomState(0), random.Random(0)],
    ids=lambda g: type(g).__name__,
)
def test_a_generator_that_a_module_keeps_is_an_escape_too(generator: Any):
    """FRONT-5: each copy draws the same number, so two recordings agree on a literal."""
    model = One(lambda s, x: s.fc(x) * float(s.draws.random_sample() if hasattr(
        s.draws, "random_sample") else s.draws.random()))  # fmt: skip
    model.draws = generator
    found = record(model, example_inputs=(X,)).program
    node, *_ = found.graphs["forward"].nodes
    assert (node.op, node.random) == ("escape", True)
    assert any("draws random numbers" in note for note in found.notes)


class Strange(torch.Tensor):
    """Adds by multiplying."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = torch.Tensor.mul if func is torch.Tensor.add else func
        return super().__torch_function__(func, types, args, kwargs or {})


class Ordinary(torch.Tensor):
    """Only has another name."""


def test_tensors_with_operations_of_their_own_are_opaque():
    """FRONT-5: no declaration of ours says what their operations do."""
    model = One(lambda s, x: s.fc(x).add(x))
    for kind, expected in [
        (Strange, ["Strange.torch.nn.functional.linear", "Strange.torch.Tensor.add"]),
        (Ordinary, ["linear", "add"]),
    ]:
        program = record(model, example_inputs=(X.as_subclass(kind),)).program
        assert [node.op for node in program.graphs["forward"].nodes] == expected


def test_a_view_of_a_parameter_that_a_module_keeps_is_an_alias_of_it():
    """FRONT-5: it changes when the parameter is trained, so it is no constant."""
    model = One(lambda s, x: F.linear(x, s.transposed) + s.part)
    model.transposed, model.part = model.fc.weight.t(), model.seen[:1]
    program = record(model, example_inputs=(X,)).program
    assert {name for name, entry in program.state.items() if entry.kind == "constant"} == set()
    assert "alias(args=(@fc.weight,))" in str(program)
    assert "alias(args=(@seen,))" in str(program)


def test_a_closure_over_the_original_model_reads_its_state_by_name():
    model = One(lambda s, x: s.closure(x))
    model.closure = lambda x: model.fc(x) + model.seen
    program = record(model, example_inputs=(X,)).program
    assert "other=@seen)" in str(program)
    model.closure = lambda x: model.fc(x) + model.seen.add_(1)
    with pytest.raises(RefusalError, match="the buffer 'seen' of the original model in place"):
        record(model, example_inputs=(X,))
    assert torch.equal(model.seen, torch.zeros(4))


def test_copies_by_deepcopy_are_clones_and_copies_of_storages_are_refused():
    import copy
    import pickle

    assert lines(run(lambda s, h: copy.deepcopy(h)))[0] == "%1 = clone(input=%0)"
    with pytest.raises(RefusalError, match="works on a tensor's storage"):
        traced(run(lambda s, h: pickle.loads(pickle.dumps(h))))


def test_hooks_of_the_root_of_its_parts_and_of_all_modules_are_recorded():
    model = One(run())
    model.fc.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    model.fc.register_forward_hook(lambda m, args, out: out + 1)
    model.register_forward_hook(lambda m, args, out: out.tanh())
    handle = nn.modules.module.register_module_forward_hook(
        lambda m, args, out: out * 3 if isinstance(m, nn.Linear) else None
    )
    try:
        program = record(model, example_inputs=(X,)).program
    finally:
        handle.remove()
    graph = program.graphs["forward"]
    assert [node.op for node in graph.nodes] == ["mul", "linear", "mul", "add", "tanh"]
    assert [graph.modules[node] for node in graph.nodes] == ["fc", "fc", "fc", "fc", ""]
    (call,) = graph.calls
    assert call.results == graph.nodes[3].outputs


def test_a_module_in_a_loop_a_recursion_and_a_direct_forward():
    class Recursive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor, depth: int = 2) -> torch.Tensor:
            return self.fc(x) if depth == 0 else self(self.fc.forward(x), depth - 1)

    graph = record(Recursive(), example_inputs=(X,)).program.graphs["forward"]
    assert [graph.modules[node] for node in graph.nodes] == ["", "", "fc"]

    def loop(self: One, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.heads):
            x = self.fc(x)
        return x

    assert len(graph_of(loop).calls_of("fc")) == 2


def test_tensors_kept_on_modules_in_containers_and_objects_are_outputs():
    class Memory:
        def __init__(self) -> None:
            self.items: list[torch.Tensor] = []

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        self.last = h * 2
        self.memory = Memory()
        self.memory.items.append(h * 3)
        self.by_name = {"h": (h * 4,)}
        return h

    assert lines(forward)[3:] == [
        "output '' = %0",
        "output 'self.last' = %1",
        "output 'self.memory.items[0]' = %2",
        "output \"self.by_name['h'][0]\" = %3",
    ]


def test_what_is_put_into_an_argument_is_an_output():
    def forward(self: One, cache: Any) -> torch.Tensor:
        h = self.fc(cache["x"])
        cache["h"] = h * 2
        return h

    model = One(forward)
    cache = {"x": X}
    program = record(model, example_inputs=(cache,)).program
    (one, two) = program.graphs["forward"].outputs
    assert (one[0], two[0]) == ("", "arguments.x['h']")
    assert [*cache] == ["x"], "the caller's dictionary is not touched"


def test_attributes_that_count_are_noted_and_are_part_of_the_expression():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return self.fc(x) * self.count

    model = One(forward)
    program = record(model, example_inputs=(X,)).program
    assert "other=(attribute('', 'count', 0) + 1))" in str(program)
    assert program.notes == (
        "forward: the call changes self.count, which was recorded as it is now",
    )
    assert model.count == 0


def test_a_shape_that_depends_on_numbers_keeps_its_sizes_as_expressions():
    """A loop over the rows that a mask selects: the batch is fixed, the sizes are read."""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        return h[h[:, 0] > -9.0].view(-1, 4)

    assert "f32[B, 4]" in str(traced(forward))

    def loop(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        for _ in range((h > 0).nonzero().shape[0]):
            h = h + 1
        return h

    assert any("batch size is fixed" in note for note in traced(loop).notes)


@pytest.mark.parametrize(
    ("forward", "is_noted"),
    [
        (lambda s, x: s.fc(x[x.sum(1) > 0]).sum(), True),
        (lambda s, x: s.fc(x).sum() + torch.where(x > 0)[0].numel(), True),
        (lambda s, x: s.fc(x) * torch.unique(x > 0).shape[0], True),
        (lambda s, x: s.fc(x)[torch.tensor([0, 1])], False),
        (lambda s, x: s.fc(x).masked_fill(x > 0, 0.0), False),
    ],
)
def test_sizes_that_follow_from_elements_are_noted(forward: Any, is_noted: bool):
    """Which experts run may follow from such a size, and no value leaves torch for it."""
    program = record(One(forward), example_inputs=(X,)).program
    assert any("sizes follow from elements" in note for note in program.notes) == is_noted


def test_memory_that_a_call_writes_on_the_way_to_its_result_is_no_hidden_change():
    """adaptive_avg_pool1d of what is not contiguous works in place on what it returns."""
    program = traced(lambda _, x: F.adaptive_avg_pool1d(x[None].transpose(1, 2), 1))
    assert [node.op for node in program.graphs["forward"].nodes][-1] == "adaptive_avg_pool1d"
