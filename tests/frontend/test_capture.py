"""FRONT-1: looking at a model changes nothing."""

import copy
import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.errors import RefusalError
from morphir.frontend import record, trace
from tests.frontend.models import ZOO, Mlp, One, Trained, X, build


def fingerprint(model: nn.Module) -> Any:
    """Everything that recording could disturb: tensors, identities, flags, hooks, random states."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    modules = [*model.named_modules()]
    return (
        [(n, id(t), t._version, t.requires_grad, t.detach().tolist()) for n, t in tensors],
        [(n, p.grad if p.grad is None else p.grad.tolist()) for n, p in model.named_parameters()],
        [(n, id(m), type(m), m.training, sorted(vars(m))) for n, m in modules],
        [(n, list(m._forward_hooks), list(m._forward_pre_hooks)) for n, m in modules],
        [
            (n, {k: v for k, v in vars(m).items() if type(v) in (int, float, str)})
            for n, m in modules
        ],
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        nn.Module.__call__,
        torch.is_grad_enabled(),
        torch.overrides._get_current_function_mode_stack(),
    )


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", ZOO)
def test_recording_leaves_everything_as_it_was(name: str, mode: str):
    """FRONT-1, in both modes: also BatchNorm's statistics, counters and what is kept on modules."""
    model, how = build(name)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(iter(model.parameters())).requires_grad_(False)
    model.register_forward_hook(lambda m, args, out: None)
    before = fingerprint(model)
    record(model, **{**how, "mode": mode})
    assert fingerprint(model) == before


def raises(self: One, x: torch.Tensor) -> torch.Tensor:
    self.count += 1
    self.seen.add_(1)
    self.late = F.dropout(self.fc(x)) * random.random() * np.random.rand()
    raise ValueError("in the middle")


def interrupts(self: One, x: torch.Tensor) -> torch.Tensor:
    self.seen.add_(1)
    raise KeyboardInterrupt


def accumulates(self: One, x: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad(), torch._C.DisableTorchFunction():
        F.linear(x, self.fc.weight).sum().backward()
    return self.fc(x)


@pytest.mark.parametrize(
    ("forward", "error", "words"),
    [
        (raises, RefusalError, "ValueError: in the middle"),
        (interrupts, KeyboardInterrupt, "^$"),
        (accumulates, RefusalError, "the gradient of its parameter 'fc.weight' in place"),
    ],
)
def test_also_when_the_model_raises_in_the_middle(forward: Any, error: type, words: str):
    """FRONT-1"""
    model = One(forward)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = fingerprint(model)
    with pytest.raises(error, match=words):
        record(model, example_inputs=(X,), mode="train")
    assert fingerprint(model) == before


def test_the_callers_arguments_are_not_touched():
    """FRONT-1: neither tensors nor the containers around them."""
    x = X.clone().requires_grad_()
    batch = {"x": x, "more": [x.detach().clone()]}

    def forward(self: One, given: Any) -> torch.Tensor:
        given["x"].detach().add_(1)
        given["more"].append(given["x"])
        return self.fc(given["x"])

    trace(One(forward), example_inputs=(batch,))
    assert torch.equal(x, X)
    assert [*batch] == ["x", "more"]
    assert len(batch["more"]) == 1


def test_other_threads_are_not_recorded():
    """FRONT-1: a module called elsewhere while a recording runs is called as ever."""
    other, ready, seen = nn.Linear(4, 4), threading.Barrier(2, timeout=20), []

    def work() -> None:
        ready.wait()
        seen.append(other(X))
        ready.wait()

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        if self.count == 0 and not seen:
            ready.wait()
            ready.wait()
        return self.fc(x)

    thread = threading.Thread(target=work)
    thread.start()
    model = One(forward)
    program = trace(model, example_inputs=(X,))
    thread.join()
    assert [node.op for node in program.graphs["forward"].nodes] == ["linear"]
    assert seen[0].requires_grad
    assert torch.equal(seen[0], other(X))


def test_recordings_in_several_threads_take_turns():
    """FRONT-1: `nn.Module.__call__` is one for all threads, and is the old one afterwards."""
    original, found, errors = nn.Module.__call__, [], []

    def work(model: nn.Module) -> None:
        try:
            found.append(trace(model, example_inputs=(X,)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(Mlp(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len({program.hash for program in found}) == 1
    assert all(len(program.graphs["forward"].calls) == 6 for program in found)
    assert nn.Module.__call__ is original


def test_the_copy_that_ran_is_in_the_mode_that_was_asked_for():
    model = Trained().train()
    assert "training=True" not in str(trace(model, example_inputs=(X,)))
    assert "training=True" in str(record(model.eval(), example_inputs=(X,), mode="train").program)


class Unique(nn.Module):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("only one of me")


def test_what_cannot_be_copied_is_refused():
    model = Mlp()
    model.part = Unique()
    with pytest.raises(RefusalError, match="cannot be copied to be recorded: RuntimeError: only"):
        trace(model, example_inputs=(X,))
    with pytest.raises(
        RefusalError, match="the example inputs cannot be copied: RuntimeError: only"
    ):
        trace(One(lambda s, x: s.fc(X)), example_inputs=({"x": X, "u": Unique()},))


def test_inputs_that_do_not_fit_say_what_happened():
    with pytest.raises(RefusalError, match="failed on its example inputs: RuntimeError") as error:
        trace(Mlp(), example_inputs=(torch.zeros(2, 5),))
    assert type(error.value) is RefusalError, "what is private is not shown"
    module, line = error.value.nodes
    assert isinstance(Mlp().get_submodule(module), nn.Linear)
    assert line.startswith("models.py:")
    with pytest.raises(RefusalError, match="missing a required argument: 'x'"):
        trace(Mlp(), example_inputs={"forward": ((), {"y": X})})


def test_outputs_of_a_kept_graph_are_recorded_on_a_copy():
    """A model may keep the result of a differentiable computation, which deepcopy refuses."""
    model = Mlp()
    model.last = [model(X)]
    before = model.last[0]
    trace(model, example_inputs=(X,))
    assert model.last[0] is before
    assert before.requires_grad
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
