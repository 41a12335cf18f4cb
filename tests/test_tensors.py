from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from morphir.tensors import equal_numbers, map_tensors, tensors_in, unequal, words

A, B = torch.zeros(2), torch.ones(2)
Pair = namedtuple("Pair", ["left", "right"])


@dataclass(frozen=True)
class Frozen:
    tensor: torch.Tensor
    name: str = "n"


class Slotted:
    __slots__ = ("tensor", "unset")

    def __init__(self) -> None:
        self.tensor = A


class Loop:
    def __init__(self) -> None:
        self.me = self
        self.tensor = A


class Color(Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (A, [""]),
        ((A, [B]), ["[0]", "[1][0]"]),
        ({"a": A, 3: B}, ["['a']", "[3]"]),
        (Pair(A, B), [".left", ".right"]),
        (torch.max(torch.eye(2), 0), ["[0]", "[1]"]),
        (Frozen(A), [".tensor"]),
        (Slotted(), [".tensor"]),
        (deque([A]), ["[0]"]),
        ({A}, ["[0]"]),
        (Loop(), [".tensor"]),
        (Normal(A, B), [".loc", ".scale"]),
        (OrderedDict(x={"y": (A,)}), ["['x']['y'][0]"]),
        ((A, A), ["[0]", "[1]"]),
        ((nn.Linear(1, 1), "text", 1.5, None, Color.RED, len, torch.float32, int), []),
        (torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1), []),
        (nn.utils.rnn.pack_sequence([A, B]), [".data", ".batch_sizes"]),
    ],
)
def test_every_tensor_is_found_with_its_path(value: Any, paths: list[str]):
    found = dict(tensors_in(value))
    assert [path for path in found if not path.startswith("._")] == paths
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


def test_the_walk_ends_where_it_is_told_to():
    nested: Any = A
    for _ in range(5):
        nested = [nested]
    assert [path for path, _ in tensors_in(nested, "x", 5)] == ["x[0][0][0][0][0]"]
    assert [*tensors_in(nested, "x", 4)] == []


def test_a_container_that_is_reached_twice_is_walked_once():
    shared = [A]
    assert [path for path, _ in tensors_in((shared, shared))] == ["[0][0]"]


def test_tensors_are_replaced_and_everything_else_stays():
    default = defaultdict(list, {"a": A})
    value = ((A, 1), [B, "x"], {"k": A}, Pair(A, 2), Frozen(B), default, Loop())
    mapped = map_tensors(value, lambda tensor: tensor + 5)
    assert [float(t[0]) for t in (mapped[0][0], mapped[1][0], mapped[2]["k"], mapped[3].left)] == [
        5.0, 6.0, 5.0, 5.0,
    ]  # fmt: skip
    assert float(mapped[4].tensor[0]) == 6.0
    assert mapped[4].name == "n"
    assert type(mapped[5]) is defaultdict
    assert mapped[5]["new"] == []
    assert float(mapped[5]["a"][0]) == 5.0
    assert mapped[6] is value[6], "other objects are not rebuilt"
    assert float(A[0]) == 0.0
    assert "new" not in default


def test_what_holds_no_tensor_is_the_same_object():
    value = ([1, (2, 3)], torch.Size([1, 2]))
    assert map_tensors(value, torch.neg) is value


@pytest.mark.parametrize(
    ("tensor", "bits"),
    [
        (torch.tensor([1.0, -0.0]), [0x3F800000, -(2**31)]),
        (torch.tensor([[0.0, 1.0], [2.0, 3.0]]).t()[1], [0x3F800000, 0x40400000]),
        (torch.zeros(3, 4)[:1, 0], [0]),  # contiguous, with a stride of 4
        (torch.tensor([1.0 + 2.0j]).conj(), [0x3F800000, -0x40000000]),
        (torch.tensor(1.0, dtype=torch.bfloat16), [0x3F80]),
        (torch.tensor([True, False]), [1, 0]),
        (torch.tensor([-1]), [-1]),
        (torch.empty(0, 3), []),
    ],
)
def test_words_are_the_bits_of_the_elements_in_order(tensor: torch.Tensor, bits: list[int]):
    assert words(tensor).tolist() == bits


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.int64, torch.bool],
)
def test_unequal_says_where_as_torch_does(dtype: torch.dtype):
    a = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    b = torch.tensor([[0, 0], [1, 1]]).to(dtype)
    for left, right in ((a, b), (a.t(), b), (a[0, 1], b[0, 1]), (a[:, :0], b[:, :0])):
        found = unequal(left, right)
        assert found.dtype == torch.bool
        assert torch.equal(found, left != right)
    if dtype.is_floating_point:
        odd = torch.tensor([float("nan"), -0.0, float("inf")], dtype=dtype, requires_grad=True)
        assert unequal(odd, odd.detach().abs()).tolist() == [True, False, False]
    if dtype.is_complex:
        parts = torch.tensor([1 + 2j, 3j], dtype=dtype)
        assert unequal(parts.conj(), parts).all()
        assert not unequal(parts.conj().imag, -parts.imag).any()  # the negative bit


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int64]
)
def test_numbers_are_compared_as_numbers(dtype: torch.dtype):
    a = torch.arange(6).to(dtype).reshape(2, 3)
    assert equal_numbers(a, a.t().contiguous().t())
    assert equal_numbers(a[:, :0], a[:, :0])
    assert not equal_numbers(a, a.t())
    b = a.clone()
    b[1, 2] += 1
    assert not equal_numbers(a, b)
    if dtype.is_floating_point:
        assert equal_numbers(torch.zeros(2, dtype=dtype), -torch.zeros(2, dtype=dtype))
        undefined = torch.full((2,), torch.nan, dtype=dtype)
        assert not equal_numbers(undefined, undefined.clone())


def test_numbers_of_parameters_and_of_negated_views_are_compared():
    a = torch.tensor([1 + 2j, 3 - 4j])
    negated = a.conj().imag
    assert negated.is_neg()
    assert equal_numbers(negated, torch.tensor([-2.0, 4.0]))
    assert equal_numbers(nn.Parameter(negated), torch.tensor([-2.0, 4.0]))
