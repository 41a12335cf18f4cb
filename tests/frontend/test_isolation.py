"""FRONT-1: the scratch copy behaves as the model and shares nothing but its parameters."""

import copy
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from morphir.errors import RefusalError
from morphir.frontend import trace
from morphir.frontend.isolation import Scratch
from morphir.ir import ModuleAttribute
from tests.frontend.models import ZOO, Mlp, One, Recurrent, Tied, X, build


def structure(module: nn.Module) -> list[Any]:
    return [
        (
            name,
            type(part).__qualname__,
            part.training,
            sorted(vars(part)),
            [*part._buffers],
            [*part._modules],
        )
        for name, part in module.named_modules(remove_duplicate=False)
    ]


@pytest.mark.parametrize("name", ZOO)
def test_the_copy_has_the_structure_of_a_deepcopy(name: str):
    model, _ = build(name)
    scratch = Scratch(model)
    assert structure(scratch.module) == structure(copy.deepcopy(model))
    mine = {id(part) for part in model.modules()}
    assert not any(id(part) in mine for part in scratch.module.modules())
    assert [id(p) for p in scratch.module.parameters()] == [id(p) for p in model.parameters()]
    for (_, ours), (_, theirs) in zip(
        model.named_buffers(), scratch.module.named_buffers(), strict=True
    ):
        assert ours is not theirs
        assert ours.data_ptr() != theirs.data_ptr()
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: parametrizations.weight_norm(nn.Linear(3, 3)),
        lambda: parametrizations.spectral_norm(nn.Linear(3, 3)),
        lambda: nn.LSTM(3, 3),
        lambda: nn.MultiheadAttention(4, 2),
        lambda: torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU())),
    ],
)
def test_modules_that_customise_copying_are_copied_their_way(make: Any):
    model = nn.Sequential(make())
    scratch = Scratch(model)
    assert structure(scratch.module) == structure(copy.deepcopy(model))
    assert [id(p) for p in scratch.module.parameters()] == [id(p) for p in model.parameters()]


def test_names_are_the_first_qualified_ones():
    model = Tied()
    scratch = Scratch(model)
    assert scratch.names[id(model.head.weight)] == "embed.weight"
    assert [name for name, _, _ in scratch.modules] == ["", "embed", "head"]
    assert all(type(part) is type(original) for _, part, original in scratch.modules)
    assert [*Scratch(Recurrent()).buffers] == ["steps"]


def test_bound_hooks_are_those_of_the_copy():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.seen = nn.Linear(2, 2), []
            self.fc.register_forward_hook(self.watch)

        def watch(self, module: nn.Module, args: Any, out: torch.Tensor) -> None:
            self.seen.append(module)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    model = Counting()
    scratch = Scratch(model).module
    scratch(torch.ones(1, 2))
    assert model.seen == []
    assert scratch.seen == [scratch.fc]


def test_attributes_that_share_an_object_still_do():
    model = Mlp()
    model.first = model.second = {"tensor": torch.ones(2)}
    model.child = [model.head]
    scratch = Scratch(model).module
    assert scratch.first is scratch.second
    assert scratch.first is not model.first
    assert scratch.child[0] is scratch.head


def test_other_tensors_know_what_they_were_copied_from_and_their_path():
    model = One(lambda s, x: x)
    model.memory = {"a": [torch.ones(2)]}
    scratch = Scratch(model)
    copied = scratch.module.memory["a"][0]
    assert scratch.originals[id(copied)] is model.memory["a"][0]
    assert scratch.path_of(copied) == "memory['a'][0]"
    assert scratch.path_of(scratch.module.table) == "table"
    assert scratch.path_of(torch.ones(1)) is None


def test_optimizers_on_the_module_are_shared_and_compiled_calls_are_dropped():
    model = Mlp()
    model.optimizer = torch.optim.Adam(model.parameters())
    model._compiled_call_impl = lambda *args: 1 / 0
    scratch = Scratch(model).module
    assert scratch.optimizer is model.optimizer
    assert scratch._compiled_call_impl is None
    assert scratch(torch.ones(1, 4)).shape == (1, 2)


class Holder:
    """Counts its calls under a lock."""

    def __init__(self) -> None:
        self.lock, self.calls = threading.Lock(), 0

    def call(self) -> int:
        with self.lock:
            self.calls += 1
        return self.calls


def holding(thing: Any, forward: Any = lambda s, x: s.fc(x)) -> One:
    model = One(forward)
    model.thing = {"it": thing}
    return model


def test_a_model_may_hold_what_cannot_be_copied(tmp_path: Path):
    """FRONT-1: locks, loggers, files and generators record as long as the call leaves them be."""
    with (tmp_path / "log").open("w") as file:
        for thing in (
            threading.Lock(),
            logging.getLogger("model"),
            file,
            (number for number in range(3)),
            torch.Generator(),
        ):
            trace(holding(thing), example_inputs=(X,))
        trace(holding(threading.Lock(), under_lock), example_inputs=(X,))


def under_lock(model: Any, x: torch.Tensor) -> torch.Tensor:
    with model.thing["it"]:
        return model.fc(x)


def test_an_object_with_a_lock_is_copied_and_its_change_noted():
    model = holding(Holder(), lambda s, x: s.fc(x) * s.thing["it"].call())
    program = trace(model, example_inputs=(X,))
    assert model.thing["it"].calls == 0
    assert "forward: the call changes self.thing, which was recorded as it is now" in program.notes


def test_a_generator_that_the_call_takes_from_is_refused_and_not_advanced():
    numbers = (number for number in range(1, 5))
    model = holding(numbers, lambda s, x: s.fc(x) * next(s.thing["it"]))
    with pytest.raises(RefusalError, match="takes from a Python generator"):
        trace(model, example_inputs=(X,))
    assert next(numbers) == 1


def test_a_file_or_lock_that_the_call_changes_is_refused(tmp_path: Path):
    with (tmp_path / "log").open("w") as file:
        model = holding(file, lambda s, x: s.fc(x) * s.thing["it"].write("x"))
        with pytest.raises(RefusalError, match="changes a TextIOWrapper that it holds"):
            trace(model, example_inputs=(X,))
    model = holding(threading.Lock(), lambda s, x: s.fc(x) * s.thing["it"].acquire())
    with pytest.raises(RefusalError, match="changes a lock that it holds"):
        trace(model, example_inputs=(X,))


class OwnNorm(nn.LayerNorm):
    """A norm of the user's, as timm and torchvision have them."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input)


def test_the_sizes_of_a_subclass_of_a_layer_of_torch_are_known_too():
    program = trace(OwnNorm(4), example_inputs=(torch.randn(2, 4),))
    (node,) = program.graphs["forward"].nodes
    assert node.arguments["normalized_shape"] == (ModuleAttribute("", "normalized_shape[0]", 4),)
