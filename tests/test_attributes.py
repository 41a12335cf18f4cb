"""MASK-10: what Python may read of a model is compared, or nothing is known of it."""

import copy
import dataclasses
import enum
import math
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from morphir.attributes import attributes_of


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
