"""FRONT-2 and FRONT-5: what modules keep, share, hook and hand out is in the graph."""

import contextlib
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.errors import RefusalError
from morphir.frontend import record
from tests.frontend.expressions import graph_of, lines, run, traced
from tests.frontend.models import One, X


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
