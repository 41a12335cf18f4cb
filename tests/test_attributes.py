"""MASK-10: what Python may read of a model is compared, or nothing is known of it."""

import copy
import dataclasses
import enum
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from morphir.attributes import attributes_of
from morphir.backend.copying import duplicate


class Kind(enum.Enum):
    ONE, OTHER = 1, 2


@dataclasses.dataclass(frozen=True)
class Config:
    scale: float
    names: tuple[str, ...] = ()


class Holder(nn.Module):
    """A module with one attribute."""

    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.inner, self.value = nn.Linear(2, 2), value


class Named(dict):
    """A dict with attributes of its own."""


def first(x: Any) -> Any:
    return x


def second(x: Any) -> Any:
    return x


PAIRS = [
    (1, 2), (1, 1.0), (1, True), ("a", "b"), (0.0, -0.0), (1.0, math.nan), (b"a", b"b"),
    (None, ...), ((1, 2), (2, 1)), ((1,), [1]), ([1, [2]], [1, [3]]), ({1: 2}, {1: 3}),
    ({1: 2, 3: 4}, {3: 4, 1: 2}), ({1, 2}, {1, 3}), (frozenset("a"), {"a"}),
    ({"a": {"b": [1.5]}}, {"a": {"b": [2.5]}}), (OrderedDict(a=1), {"a": 1}),
    (torch.ones(2), torch.zeros(2)), (torch.ones(2), torch.ones(2).double()),
    (torch.ones(2), torch.ones(1, 2)), (np.ones(2), np.zeros(2)), (np.ones(2), np.ones((1, 2))),
    (np.float32(1), np.float32(2)), (torch.float32, torch.float64), (slice(1), slice(2)),
    (first, second), (len, abs), (Config(1.0), Config(2.0)), (Config(1.0, ("a",)), Config(1.0)),
    (Kind.ONE, Kind.OTHER), (nn.ReLU, nn.Tanh), (math, torch), (range(2), range(3)),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda value: type(value).__name__)
def test_mask_10_other_attributes_are_told_apart(one: Any, other: Any):
    """MASK-10"""
    model = Holder(one)
    before = attributes_of(model)
    assert before is not None
    assert before == attributes_of(model)
    if one is not math:  # which has no copy
        model.value = copy.copy(one)
    assert before == attributes_of(model)
    model.value = other
    assert before != attributes_of(model)


@pytest.mark.parametrize(
    "value",
    [
        object(), torch.Generator(), np.random.default_rng(0),
        iter(()), [nn.Linear(2, 2)], np.array([object()]), [1, {2: object()}],
        torch.ones(2).to_sparse(),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_mask_10_what_may_change_inside_is_not_known(value: Any):
    """MASK-10: an object that is none of the plain ones"""
    assert attributes_of(Holder(value)) is None


def test_mask_10_a_container_with_attributes_of_its_own_is_not_known():
    """MASK-10"""
    value = Named(a=1)
    assert attributes_of(Holder(value)) is not None
    value.scale = 3
    assert attributes_of(Holder(value)) is None


def test_mask_10_a_list_that_holds_itself_is_not_known():
    """MASK-10"""
    value: list[Any] = []
    value.append(value)
    assert attributes_of(Holder(value)) is None


def test_mask_10_parts_of_the_model_are_parts_of_the_model():
    """MASK-10: their numbers may change, as training does"""
    model = Holder()
    model.value = [model.inner, model.inner.weight, weakref.ref(model.inner), model.inner.forward]
    before = attributes_of(model)
    with torch.no_grad():
        model.inner.weight.add_(1)
    assert attributes_of(model) == before
    model.value[1] = model.inner.bias
    assert attributes_of(model) != before


def test_mask_10_the_optimizer_of_a_model_may_go_on():
    """MASK-10: no forward reads it"""
    model = Holder()
    model.value = torch.optim.Adam(model.inner.parameters())
    before = attributes_of(model)
    assert before is not None
    model.inner(torch.ones(1, 2)).sum().backward()
    model.value.step()
    assert attributes_of(model) == before


def test_mask_10_hooks_classes_and_methods_count():
    """MASK-10: a hook of the same name is another one"""
    model = Holder()
    before = attributes_of(model)
    handle = model.inner.register_forward_hook(lambda *_: None)
    one = attributes_of(model)
    assert one != before
    handle.remove()
    assert attributes_of(model) == before
    model.inner.register_forward_hook(lambda *_: None)
    assert attributes_of(model) not in (before, one)
    other = Holder()
    other.forward = first
    assert attributes_of(other) != before
    swapped = Holder()
    swapped.inner.__class__ = type("Linear", (nn.Linear,), {})
    assert attributes_of(swapped) != before


class Base(nn.Module):
    """A module of a class, the base of another one."""

    temperature = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()
        self.register_buffer("extra", None)

    def forward(self, x: Any, scale: Any = ({1: 1.0},), *, shift: Any = ({1: 0.0},)) -> Any:
        return x * self.temperature

    @property
    def both(self) -> Any:
        return self.relu, self.tanh

    @staticmethod
    def static(x: Any) -> Any:
        return x

    @torch.no_grad()
    def without(self, x: Any) -> Any:
        return super().forward(x)


class Derived(Base):
    options: ClassVar = {"a": [1]}


class Options:
    """A class as a config."""

    scale = 1.0

    class Inner:
        scale = 2.0


@dataclasses.dataclass
class Both(dict):
    """As the outputs of transformers are."""

    scale: float = 1.0


def counting() -> Any:
    numbers = [1]

    def count() -> int:
        return numbers[0] if numbers else count()

    return count


PLACES: dict[str, Callable[[pytest.MonkeyPatch, Any], object]] = {
    "a number of the class": lambda patch, m: patch.setattr(Derived, "temperature", 2.0, False),
    "a number of a base": lambda patch, m: patch.setattr(Base, "temperature", 2.0),
    "a list of the class": lambda patch, m: patch.setitem(Derived.options, "a", [2]),
    "a method": lambda patch, m: patch.setattr(Base, "forward", lambda self, x: x),
    "the code of a method": lambda patch, m: patch.setattr(
        Base.forward, "__code__", (lambda self, x, scale, shift: x).__code__
    ),
    "a default": lambda patch, m: patch.setitem(Base.forward.__defaults__[0][0], 1, 2.0),
    "a default of a keyword": lambda patch, m: patch.setitem(
        Base.forward.__kwdefaults__["shift"][0], 1, 2.0
    ),
    "a property": lambda patch, m: patch.setattr(Base, "both", property(lambda self: self.tanh)),
    "a static method": lambda patch, m: patch.setattr(Base, "static", staticmethod(first)),
    "a decorated method": lambda patch, m: patch.setattr(
        Base, "without", torch.no_grad()(lambda self, x: x)
    ),
    "a class as an attribute": lambda patch, m: patch.setattr(Options, "scale", 2.0),
    "a class in that class": lambda patch, m: patch.setattr(Options.Inner, "scale", 1.0),
    "what a function closes over": lambda patch, m: m.count.__closure__[1].cell_contents.append(1),
    "an attribute of a function": lambda patch, m: setattr(m.count, "gain", 2.0),
    "an entry of a dataclass": lambda patch, m: m.both_kinds.update(more=2.0),
    "a field of a dataclass that is a dict": lambda patch, m: setattr(m.both_kinds, "scale", 2.0),
    "what a method of a list reads": lambda patch, m: m.index.__self__.append(2),
    "a buffer that is None": lambda patch, m: delattr(m, "extra"),
    "an attribute of a parameter": lambda patch, m: setattr(m.layer.weight, "gain", 2.0),
    "the order of children": lambda patch, m: m._modules.update(relu=m._modules.pop("relu")),
    "the order of buffers": lambda patch, m: m._buffers.update(one=m._buffers.pop("one")),
}


def derived() -> Any:
    model: Any = Derived()
    model.layer = nn.Linear(2, 2)
    model.layer.weight.gain = 1.0
    model.options_, model.count, model.both_kinds = Options, counting(), Both()
    model.index = [1].index
    for name in ("one", "other"):
        model.register_buffer(name, torch.ones(1), persistent=False)
    return model


@pytest.mark.parametrize("place", PLACES)
def test_mask_10_code_and_order_count_wherever_they_are(
    place: str, monkeypatch: pytest.MonkeyPatch
):
    """MASK-10: classes along the order in which methods are looked up, and what is in functions"""
    model = derived()
    before = attributes_of(model)
    assert before is not None
    assert before == attributes_of(model)
    assert before == attributes_of(duplicate(model).model)
    PLACES[place](monkeypatch, model)
    after = attributes_of(model)
    assert after is not None
    assert after != before


def test_mask_10_the_order_of_the_names_of_one_module_counts():
    """MASK-10: where it runs twice"""
    relu, tanh = nn.ReLU(), nn.Tanh()
    models = [nn.Sequential(relu, tanh, relu), nn.Sequential(relu, tanh, tanh)]
    assert attributes_of(models[0]) != attributes_of(models[1])


def closing_over(value: Any) -> Any:
    return lambda: value


class Slots:
    __slots__ = ("scale",)


class Plain(float):
    """A number that says what it likes."""


@dataclasses.dataclass
class Slotted(Slots):
    name: str = ""


@pytest.mark.parametrize(
    "value",
    [
        closing_over(object()), Plain(1), Slotted(), np.random.default_rng(0).random,
        closing_over(nn.Linear(2, 2)), type("Options", (), {"scale": object()}),
    ],
    ids=["closure", "number", "slots", "method of an object", "other module", "class"],
)  # fmt: skip
def test_mask_10_code_with_something_that_may_change_inside_is_not_known(value: Any):
    """MASK-10"""
    assert attributes_of(Holder(value)) is None


def test_mask_10_a_class_with_something_that_may_change_inside_is_not_known():
    """MASK-10"""
    assert attributes_of(type("Net", (Holder,), {"scale": object()})()) is None
    assert attributes_of(type("Net", (Holder,), {"scale": 1.0})()) is not None


def test_mask_10_a_function_over_what_is_not_there_yet_is_known():
    """MASK-10"""

    def reads() -> int:
        return later

    model = Holder(reads)
    before = attributes_of(model)
    later = 1
    assert before is not None
    assert attributes_of(model) != before


def test_mask_10_a_copy_has_the_same():
    """MASK-10: as a result that is no longer the model that was given"""
    model = Holder({"a": (1, torch.ones(2))})
    model.value["own"] = model.inner.weight
    assert attributes_of(copy.deepcopy(model)) == attributes_of(model)


@pytest.mark.parametrize(
    "model",
    [
        nn.LSTM(2, 3), nn.TransformerEncoderLayer(4, 2, 8), nn.BatchNorm2d(3),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Dropout()), nn.Embedding(3, 2),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_mask_10_torchs_own_layers_are_known(model: nn.Module):
    """MASK-10"""
    before = attributes_of(model)
    assert before is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert attributes_of(model) == before
