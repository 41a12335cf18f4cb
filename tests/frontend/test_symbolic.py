"""FRONT-4: each known silent mistake of symbolic torch.fx is detected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

from morphir.errors import RefusalError
from morphir.frontend import record, trace
from morphir.ir import Program, check_structure
from morphir.ops.replay import replay


class Unknown(nn.Module):
    """Its first layer is a convolution, so nothing tells how large an input is."""

    def __init__(self, forward: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)
        self.register_buffer("seen", torch.ones(4))
        self.table = torch.ones(1)
        self.calls = 0
        self._forward = forward

    def forward(self, x: torch.Tensor) -> Any:
        assert self._forward is not None
        return self._forward(self, x)


IMAGE = torch.randn(2, 3, 5, 5)
GLOBAL = torch.zeros(1)


def with_default(function: Callable[..., Any]) -> nn.Module:
    """A model with an optional argument."""

    class Optional(Unknown):
        def forward(self, x: torch.Tensor, mask: Any = None, scale: float = 2.0) -> Any:
            return function(self, x, mask, scale)

    return Optional()


def check_equal(model: nn.Module, program: Program) -> None:
    """The trace computes what the module does, and what a recording of it says."""
    model.eval()
    state = {entry.name: entry.tensor for entry in program.state.values()}
    found = replay(program.graphs["forward"], state, [IMAGE])  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(found.outputs[0], model(IMAGE))
    recorded = record(model, example_inputs=(IMAGE,)).program.graphs["forward"]
    assert [n.op for n in program.graphs["forward"].nodes] == [n.op for n in recorded.nodes]
    assert [c.module for c in program.graphs["forward"].calls] == [c.module for c in recorded.calls]


@pytest.mark.parametrize(
    "forward",
    [
        lambda s, x: s.fc(F.relu(s.norm(s.conv(x))).mean((2, 3))),
        lambda s, x: F.relu(s.conv(x), inplace=True) * s.seen[:, None, None],
        lambda s, x: torch.cat([s.conv(x), s.conv(x) + 1], dim=1),
        lambda s, x: -s.conv(x) / 2 - s.conv(x) ** 2,
    ],
)
def test_a_trace_without_inputs_is_what_a_recording_would_be(forward: Callable[..., Any]):
    """FRONT-4: the same ops in the same modules, without shapes."""
    model = Unknown(forward)
    program = trace(model)
    check_structure(program)
    assert Program.parse(str(program)) == program
    assert all(v.type is None for node in program.graphs["forward"].nodes for v in node.outputs)
    assert program.notes == (
        "forward: traced without inputs, so shapes are unknown and nothing was run",
    )
    check_equal(model, program)


def test_the_dimension_checks_of_batchnorm_are_left_out_on_a_copy_only():
    """torch.fx stops there; the check of the user's module stays, and so does that of the class."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    check = nn.BatchNorm2d._check_input_dim
    program = trace(model)
    assert [node.op for node in program.graphs["forward"].nodes] == ["conv2d", "batch_norm", "relu"]
    assert nn.BatchNorm2d._check_input_dim is check
    assert "_check_input_dim" not in vars(model[1])
    with pytest.raises(ValueError, match="expected 4D input"):
        model[1](torch.ones(2, 4))


def test_torch_fx_alone_makes_these_mistakes():
    """What is detected below is real: torch.fx itself says nothing."""
    hooked = nn.Sequential(nn.Linear(2, 2))
    hooked.register_forward_hook(lambda m, args, out: out + 7)
    x = torch.ones(1, 2)
    assert not torch.equal(fx.symbolic_trace(hooked)(x), hooked(x))

    model = Unknown(lambda s, x: x + torch.rand(1)).eval()
    frozen = fx.symbolic_trace(model)
    assert torch.equal(frozen(IMAGE), frozen(IMAGE))
    assert not torch.equal(model(IMAGE), model(IMAGE))


def hook_on_root() -> nn.Module:
    model = Unknown(lambda s, x: s.conv(x))
    model.register_forward_hook(lambda m, args, out: out + 7)
    return model


def pre_hook_on_root() -> nn.Module:
    model = Unknown(lambda s, x: s.conv(x))
    model.register_forward_pre_hook(lambda m, args: (args[0] + 7,))
    return model


def view_then_relu(s: Unknown, x: torch.Tensor) -> torch.Tensor:
    h = s.conv(x)
    h.flatten().relu_()
    return h


def relu_then_base(s: Unknown, x: torch.Tensor) -> torch.Tensor:
    h = s.conv(x)
    g = F.relu(h, inplace=True)
    return g + h


def relu_after_view(s: Unknown, x: torch.Tensor) -> torch.Tensor:
    h = s.conv(x)
    v = h.flatten()
    F.relu(h, inplace=True)
    return v


def keeps(s: Unknown, x: torch.Tensor) -> torch.Tensor:
    s.last = s.conv(x)
    return s.last * 2


def counts(s: Unknown, x: torch.Tensor) -> torch.Tensor:
    s.calls += 1
    return s.conv(x) * s.calls


def generator(s: Unknown, x: torch.Tensor) -> torch.Tensor:
    return s.conv(x) * torch.as_tensor(np.random.rand(1))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (hook_on_root, "has hooks on its root, which symbolic tracing would drop"),
        (pre_hook_on_root, "has hooks on its root, which symbolic tracing would drop"),
        (lambda: Unknown(lambda s, x: s.conv(x) + s.seen.add_(1).sum()), "somebody else's memory"),
        (lambda: Unknown(lambda s, x: s.conv(x.mul_(2))), "somebody else's memory"),
        (lambda: Unknown(view_then_relu), "somebody else's memory"),
        (lambda: Unknown(relu_then_base), "is read again afterwards"),
        (lambda: Unknown(relu_after_view), "may have a view"),
        (lambda: Unknown(lambda s, x: s.conv(x) + torch.rand(4, 1, 1)), "random numbers"),
        (lambda: Unknown(generator), "draws random numbers"),
        (lambda: Unknown(keeps), r"changes self\.last"),
        (lambda: Unknown(counts), r"changes self\.calls"),
        (lambda: Unknown(lambda s, x: s.conv(x).view(x.size(0), -1)), "reads a size or a type"),
        (lambda: Unknown(lambda s, x: s.conv(x).view(x.shape[0], -1)), "reads a size or a type"),
        (lambda: Unknown(lambda s, x: s.conv(x).to(x.dtype)), "reads a size or a type"),
        (lambda: Unknown(lambda s, x: s.conv(x) if x.sum() > 0 else x), "control flow"),
        (lambda: Unknown(lambda s, x: s.conv(x) * torch.zeros(x.shape[0])), "reads a size"),
        (lambda: Unknown(lambda s, x: torch.stack([s.conv(part) for part in x])), "without them"),
        (lambda: Unknown(lambda s, x: s.conv(x) + s.table.add_(1)), "a tensor of its own in place"),
        (lambda: Unknown(lambda s, x: s.conv(x) + GLOBAL.add_(1)), "a tensor of its own in place"),
        (
            lambda: Unknown(lambda s, x: s.conv(x) if isinstance(x, torch.Tensor) else x),
            "asks for types",
        ),
        (
            lambda: Unknown(lambda s, x: [s.conv(x) for _ in "a" if type(x) is torch.Tensor]),
            "asks for types",
        ),
        (lambda: Unknown(lambda s, x: s.conv(x) * s.seen.sum().item()), "values leave torch"),
        (lambda: Unknown(lambda s, x: s.conv(x.tolist())), "values leave torch"),
    ],
)
def test_a_silent_mistake_is_a_refusal(make: Callable[[], nn.Module], words: str):
    """FRONT-4"""
    model = make()
    seen = model.seen.clone()
    with pytest.raises(RefusalError, match=words) as caught:
        trace(model)
    assert str(caught.value).startswith("there are no example inputs for 'forward', and ")
    assert any("example_inputs=" in suggestion for suggestion in caught.value.suggestions)
    assert torch.equal(model.seen, seen)
    assert model.calls == 0
    assert (float(model.table), float(GLOBAL)) == (1.0, 0.0)
    assert not hasattr(model, "last")


def test_global_hooks_are_a_reason_too():
    handle = nn.modules.module.register_module_forward_hook(lambda m, args, out: None)
    try:
        with pytest.raises(RefusalError, match="has hooks on its root"):
            trace(Unknown(lambda s, x: s.conv(x)))
    finally:
        handle.remove()


def test_hooks_of_parts_are_traced():
    model = Unknown(lambda s, x: s.conv(x))
    model.conv.register_forward_hook(lambda m, args, out: out * 3)
    program = trace(model)
    check_equal(model, program)
    (call,) = program.graphs["forward"].calls
    assert [node.op for node in call.body] == ["conv2d", "mul"]  # type: ignore[union-attr]


def test_the_training_flag_of_a_functional_dropout_is_that_of_the_mode():
    """FRONT-4: in eval mode it is off whatever the model's flag is; train mode must be recorded."""
    model = Unknown(lambda s, x: F.dropout(s.conv(x), training=s.training)).train()
    node = trace(model).graphs["forward"].nodes[-1]
    assert node.op == "dropout"
    assert "training" not in node.arguments, "False is the default of the op"
    assert not node.random
    assert model.training
    with pytest.raises(RefusalError, match="random in train mode can only be seen in a real call"):
        record(model, mode="train")


@pytest.mark.parametrize(
    ("forward", "is_random"),
    [
        (lambda s, x: F.dropout(s.conv(x)), True),
        (lambda s, x: F.gumbel_softmax(s.conv(x)), True),
        (lambda s, x: torch.bernoulli(s.conv(x).sigmoid()), True),
        (lambda s, x: torch.rand_like(s.conv(x)), True),
        (lambda s, x: F.rrelu(s.conv(x), training=True), True),
        (lambda s, x: F.rrelu(s.conv(x)), False),
        (lambda s, x: F.relu(s.conv(x)), False),
    ],
)
def test_a_random_call_is_marked_random(forward: Callable[..., Any], is_random: bool):
    """FRONT-4: it need not be run to be known."""
    nodes = trace(Unknown(forward)).graphs["forward"].nodes
    assert any(node.random for node in nodes) is is_random


def test_an_optional_argument_has_its_default():
    """FRONT-4: torch.fx takes `mask=None` for a tensor and then fails, or goes the other way."""
    model = with_default(
        lambda s, x, mask, scale: s.conv(x) * (mask if mask is not None else scale)
    )
    program = trace(model)
    graph = program.graphs["forward"]
    assert [value.name for value in graph.inputs] == ["x"]
    assert graph.nodes[-1].arguments["other"] == 2.0
    check_equal(model, program)


def test_any_number_of_arguments_is_refused():
    class Several(Unknown):
        def forward(self, *xs: torch.Tensor) -> torch.Tensor:
            return self.conv(xs[0])

    with pytest.raises(RefusalError, match=r"any number of arguments"):
        trace(Several())


def test_a_shared_module_keeps_its_first_name_for_every_call():
    model = Unknown(lambda s, x: s.again(s.act(s.conv(x))))
    model.act = nn.ReLU()
    model.again = model.act
    program = trace(model)
    assert [c.module for c in program.graphs["forward"].calls] == ["conv", "act", "act"]
    assert program.shared == {"act": ("again",)}


def test_a_part_of_a_model_must_be_recorded():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(RefusalError, match="inputs for '0', and a part of a model must be rec"):
        trace(model, entry_points=("0",))


def test_autocast_in_the_model_is_a_context_as_in_a_recording():
    def forward(s: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return s.conv(x)

    nodes = trace(Unknown(forward)).graphs["forward"].nodes
    assert [node.op.partition(".")[0] for node in nodes] == ["autocast"]


def test_gradients_are_off_as_in_a_recording():
    model = Unknown(lambda s, x: s.conv(x) if torch.is_grad_enabled() else s.conv(x).relu())
    check_equal(model, trace(model))
