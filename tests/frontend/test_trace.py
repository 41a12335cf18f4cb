"""What a recording says, model by model."""

import copy
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir.errors import RefusalError
from morphir.frontend import record, trace
from morphir.ir import Program, check_structure, print_program
from morphir.ops.replay import replay
from tests.frontend.models import ZOO, Agent, Mlp, One, X, build

GOLDEN = Path(__file__).parent.parent / "golden" / "ir"


def ops(program: Program, entry: str = "forward") -> list[str]:
    return [node.op for node in program.graphs[entry].nodes]


@pytest.mark.parametrize("name", ZOO)
def test_the_text_of_a_small_model_is_the_golden_one(name: str):
    """IR-8, FRONT-1 to FRONT-3: `python -m tests.frontend.golden` writes the files anew."""
    model, how = build(name)
    program = record(model, **how).program
    text = print_program(program, sources=False)
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf8")
    assert Program.parse(text) == program
    check_structure(Program.parse(text))


@pytest.mark.parametrize("name", ["mlp", "resnet", "shared_relu", "attention", "recurrent", "tied"])
def test_a_recording_replays_on_other_inputs_at_another_batch_size(name: str):
    """FRONT-2, independently of the check that recording makes itself."""
    model, how = build(name)
    program = record(model, **how).program
    (x,) = how["example_inputs"]
    other = torch.cat([x, x.flip(0)])
    other = other + 0.25 if other.is_floating_point() else other.flip(1)
    state = {entry.name: entry.tensor for entry in program.state.values()}
    found = replay(program.graphs["forward"], state, [other])  # type: ignore[arg-type]
    with torch.no_grad():
        expected = model.eval()(other)
    torch.testing.assert_close(found.outputs[0], expected, rtol=1e-6, atol=1e-6)


def test_every_op_has_its_module_and_its_line():
    program = trace(Mlp(), example_inputs=(X,))
    graph = program.graphs["forward"]
    assert [graph.modules[node] for node in graph.nodes] == [
        "extractor.0", "extractor.1", "extractor.2", "extractor.3", "head",
    ]  # fmt: skip
    assert all(node.source.startswith("models.py:") for node in graph.nodes)
    assert program.modules["extractor.3"] == "Tanh"
    assert program.sequentials == ("extractor",)


def test_an_agent_without_forward_has_a_graph_for_each_method_over_one_state():
    agent = Agent()
    program = trace(agent, example_inputs=(X,), entry_points=("get_value", "get_action_and_value"))
    assert [*program.graphs] == ["get_value", "get_action_and_value"]
    assert program.graphs["get_value"].state[0].name == "trunk.0.weight"
    assert program.state["trunk.0.weight"].tensor is agent.trunk[0].weight
    sample = next(n for n in program.graphs["get_action_and_value"].nodes if n.random)
    assert sample.op == "multinomial"
    with pytest.raises(RefusalError, match="Agent has no forward") as caught:
        trace(agent, example_inputs=(X,))
    assert caught.value.suggestions[:2] == (
        "entry_points=('get_value',)", "entry_points=('get_action_and_value',)",
    )  # fmt: skip


def test_optional_arguments_are_recorded_as_they_are_given():
    agent, action = Agent(), torch.tensor([0, 1, 2])
    given = trace(
        agent,
        example_inputs={"get_action_and_value": ((X,), {"action": action})},
        entry_points=("get_action_and_value",),
    )
    assert [value.name for value in given.graphs["get_action_and_value"].inputs] == ["x", "action"]
    assert "multinomial" not in ops(given, "get_action_and_value")


def test_one_tensor_as_two_arguments_is_two_inputs():
    """Self-attention is called with three times the same tensor; the proof is for any three."""
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.randn(3, 5, 4)
    program = trace(attention, example_inputs=(x, x, x))
    assert [value.name for value in program.graphs["forward"].inputs] == ["query", "key", "value"]
    assert "f32[B, 5, 4]" in str(program)


def test_an_entry_point_can_be_a_submodule_or_its_method():
    model = Mlp()
    program = trace(model, example_inputs=(X,), entry_points=("extractor", "extractor.0"))
    assert [*program.graphs] == ["extractor", "extractor.0"]
    assert ops(program, "extractor") == ["linear", "relu", "linear", "tanh"]
    (call,) = program.graphs["extractor.0"].calls
    assert call.module == "extractor.0"
    assert "head.weight" in program.unreached


def test_constants_of_several_entry_points_never_share_a_name():
    """FRONT-5: each entry point makes its own arrays."""
    import numpy as np

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.table = torch.arange(4.0)

        def a(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x) * torch.from_numpy(np.full(4, 2.0, np.float32)) * self.table * SHARED

        def b(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x) * torch.from_numpy(np.full(4, 3.0, np.float32)) * self.table * SHARED

    program = trace(Two(), example_inputs=(X,), entry_points=("a", "b"))
    constants = {e.name: e.tensor for e in program.state.values() if e.kind == "constant"}
    assert [*constants] == ["constant.0", "table", "constant.1", "constant.2"]
    assert [float(t[0]) for t in constants.values() if t is not None] == [2.0, 0.0, 5.0, 3.0]
    assert constants["constant.1"] is SHARED


SHARED = torch.full((4,), 5.0)


def test_trace_is_public_and_gives_the_program():
    program = morphir.trace(Mlp(), example_inputs=(X,))
    assert isinstance(program, morphir.Program)
    assert program == record(Mlp(), example_inputs=(X,)).program
    assert program != record(Mlp(), example_inputs=(X,), mode="train").program


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_rests_while_a_model_is_recorded(enabled: bool):
    seen: list[bool] = []

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        seen.append(gc.isenabled())
        if len(seen) > 2:
            raise RuntimeError
        return self.fc(x)

    model, was_enabled = One(forward), gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        trace(model, example_inputs=(X,))
        assert gc.isenabled() is enabled
        with pytest.raises(RefusalError):
            trace(model, example_inputs=(X,))
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if was_enabled else gc.disable()
    assert not any(seen)


def test_what_was_recorded_on_comes_back():
    found = record(Mlp(), example_inputs=(X,))
    (args, kwargs) = found.inputs["forward"]
    assert args[0] is X
    assert kwargs == {}


def test_a_guess_that_fails_falls_back_to_symbolic_tracing_and_says_so():
    class Image(nn.Module):
        """Its first layer wants 4 features; forward wants to fold an image first."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.transpose(2, 3))

    program = trace(Image())
    assert program.notes == (
        "forward: traced without inputs, so shapes are unknown and nothing was run",
    )
    assert ops(program) == ["transpose", "linear"]


def test_when_both_fail_both_are_said():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1] == 3
            return self.fc(x)

    with pytest.raises(RefusalError) as caught:
        trace(Pair())
    assert "it cannot be traced without them (TraceError" in caught.value.reason
    assert "with inputs that seemed to follow from the model" in caught.value.reason
    assert "AssertionError" in caught.value.reason


def test_a_model_that_cannot_be_followed_is_not_traced_symbolically_instead():
    """FRONT-5: only inputs that don't fit are a reason to try without."""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        self.fc.weight.data.clamp_(-1, 1)
        return self.fc(x)

    with pytest.raises(RefusalError, match=r"changes its parameter .fc.weight. in place"):
        trace(One(forward))


def sizes(program: Program) -> Any:
    return [str(node.outputs[0].type) for node in program.graphs["forward"].nodes if node.outputs]


def test_a_model_that_depends_on_the_clock_is_refused():
    """FRONT-5"""
    import time

    model = One(lambda self, x: self.fc(x) * time.perf_counter())
    with pytest.raises(RefusalError, match="was recorded twice and differs"):
        trace(model, example_inputs=(X,))


def test_a_call_that_fills_a_cache_is_recorded_when_the_cache_is_full():
    """FRONT-5: masks and tables that a module-level function remembers."""
    import functools

    @functools.cache
    def table(n: int) -> torch.Tensor:
        return torch.arange(float(n))

    program = trace(One(lambda self, x: self.fc(x) * table(x.shape[1])), example_inputs=(X,))
    assert torch.equal(program.state["constant.0"].tensor, table(4))  # type: ignore[arg-type]
    assert ops(program) == ["linear", "mul"]
    (note,) = program.notes
    assert "its first call ran differently" in note


def test_a_difference_without_a_value_that_left_torch_is_refused():
    """FRONT-5: reading a buffer through its address is the only way to see numbers unseen."""
    import ctypes

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        with torch._C.DisableTorchFunction():
            address = x.data_ptr()
        return self.fc(x) * float((ctypes.c_float * 1).from_address(address)[0])

    with pytest.raises(RefusalError, match="no value was seen to leave torch"):
        trace(One(forward), example_inputs=(X,))


def test_a_batch_that_is_written_into_the_code_is_fixed_and_noted():
    """FRONT-3"""
    program = trace(One(lambda self, x: self.fc(x) / float(x.shape[0])), example_inputs=(X,))
    assert sizes(program) == ["f32[3, 4]", "f32[3, 4]"]
    (note,) = program.notes
    assert note.startswith("forward: the batch size is fixed at 3: `%1 = div(input=%0, other=3.0)`")
    mean = trace(One(lambda self, x: self.fc(x).sum(0) / x.shape[0]), example_inputs=(X,))
    assert sizes(mean) == ["f32[B, 4]", "f32[4]", "f32[4]"]


def test_a_size_that_decides_what_runs_is_noted():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) if x.shape[0] > 1 else x

    program = trace(One(forward), example_inputs=(X,))
    (note,) = program.notes
    assert "Python tests a size that follows the batch (3 > 1)" in note
    assert "test_trace.py:" in note


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda h: bool(h.sum() > 0), "bool at test_trace.py:"),
        (lambda h: h.sum().item(), "item at test_trace.py:"),
        (lambda h: float(h[0, 0]), "float at test_trace.py:"),
        (lambda h: int(h[0, 0]), "int at test_trace.py:"),
        (lambda h: h.sum().tolist(), "tolist at test_trace.py:"),
        (lambda h: h.numpy().sum(), "numpy at test_trace.py:"),
        (lambda h: 1.0 in h, "contains at test_trace.py:"),
        (lambda h: torch.equal(h, h), "equal at test_trace.py:"),
        (lambda h: torch.allclose(h, h), "allclose at test_trace.py:"),
        (lambda h: f"{h.sum()}", "format at test_trace.py:"),
        (lambda h: str(h), "repr at test_trace.py:"),
        (lambda h: [1, 2, 3][h.argmax() % 3], "index at test_trace.py:"),
    ],
)
def test_a_value_that_leaves_torch_is_an_escape_and_noted(how: Any, words: str):
    """FRONT-5: whatever Python did next depends on it."""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        how(h)
        return h * 2

    program = trace(One(forward), example_inputs=(X,))
    assert ops(program)[-2] == "escape"
    assert any(words in note for note in program.notes), program.notes


def test_a_graph_module_goes_by_a_name_that_its_copies_have_too():
    """torch.fx names each graph module's class after what was traced, and a copy's not."""
    traced = torch.fx.symbolic_trace(Mlp())
    for model in (traced, nn.Sequential(traced)):
        program = record(model, example_inputs=(X,)).program
        assert "GraphModule" in (program.model, *program.modules.values())
        assert record(copy.deepcopy(model), example_inputs=(X,)).program == program
