"""FRONT-1, FRONT-2 and FRONT-5: what changes in place is followed, or the model is refused."""

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.errors import RefusalError
from morphir.frontend import record
from tests.frontend.expressions import graph_of, lines, run
from tests.frontend.models import One, X

GLOBAL = torch.arange(4.0)


def case(name: str, forward: Callable[[One, Any], Any], *expected: str) -> Any:
    return pytest.param(forward, expected, id=name)


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
