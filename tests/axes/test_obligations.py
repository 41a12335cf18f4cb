"""The numbers in a model's code that have to follow its axes."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import AttributeChange, AxisMap
from tests.axes.resizing import doubled, groups_of

WIDTH, TOKENS = 12, 4


class Net(nn.Module):
    """A layer, a function of the module, a layer; with numbers to compute with."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.width, self.half, self.heads, self.head = WIDTH, WIDTH // 2, 3, 4
        self.first, self.second = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 2)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.function(self, self.first(x)))


def changes(function: Callable[[Any, Tensor], Tensor], leaf: int = 0) -> list[AttributeChange]:
    """The attributes that follow when a leaf of the features doubles."""
    program = morphir.trace(Net(function), example_inputs=(torch.randn(2, TOKENS, 3),))
    groups = AxisGroups(program)
    atom = groups.of("first")[leaf].atom
    source = [*range(atom.size)] * 2
    return [*groups.resize({atom: AxisMap.copies(atom.size, source)})[1]]


def refusal(function: Callable[[Any, Tensor], Tensor], leaf: int = 0) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        changes(function, leaf)
    return caught.value


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: x.view(x.shape[0], x.shape[1], x.shape[2]),
        lambda s, x: x.view(x.shape[0], x.shape[1], -1),
        lambda s, x: x.reshape(-1, x.size(-1)).reshape(x.shape),
        lambda s, x: x + torch.zeros(x.shape[-1]),
        lambda s, x: x[..., : x.shape[-1]],
    ],
)
def test_plan_10_a_size_that_was_read_follows_by_itself(function):
    assert changes(function) == []


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda s, x: x.view(-1, TOKENS, s.width), [("width", 12, 24)]),
        (lambda s, x: x.view(-1, TOKENS, 2 * s.half), [("half", 6, 12)]),
        (lambda s, x: x.view(-1, TOKENS, s.half + 6), [("half", 6, 18)]),
        (lambda s, x: x.view(-1, TOKENS, s.width // 2 * 2), [("width", 12, 24)]),
        (lambda s, x: x.view(-1, TOKENS, 48 // s.head), [("head", 4, 2)]),
        (lambda s, x: x + torch.ones(s.width), [("width", 12, 24)]),
        (
            lambda s, x: x.view(-1, TOKENS, s.heads, s.head).view(-1, TOKENS, s.heads * s.head),
            [("heads", 3, 6)],
        ),
    ],
)
def test_plan_10_an_attribute_is_set_to_what_is_asked(function, expected):
    assert [(c.name, c.old, c.new) for c in changes(function)] == expected


def test_plan_10_heads_and_head_follow_by_themselves():
    def heads(s: Any, x: Tensor) -> Tensor:
        return x.view(-1, TOKENS, s.heads, s.head).transpose(1, 2).relu().transpose(1, 2).flatten(2)

    assert changes(heads, 0) == [AttributeChange("", "heads", 3, 6)]
    assert changes(heads, 1) == [AttributeChange("", "head", 4, 8)]


def test_plan_10_a_number_in_the_code_refuses_by_name():
    error = refusal(lambda s, x: x.view(-1, TOKENS, 12))
    assert error.reason.startswith(
        "shape[2] of reshape would have to be 24, and 12 does not follow: it is written in the "
        "code, or comes from a tuple, a list, a dict or int() (test_obligations"
    )
    assert error.suggestions[0].startswith("morphir.lower(model, example_inputs=...) first")
    assert error.suggestions[1] == (
        "a size that is read from a shape, or an integer attribute of the module, in its place"
    )


class Kept(nn.Module):
    """Keeps a size in a list, in a dict, and as an attribute that it converts."""

    def __init__(self, read: Callable[[Any], int]) -> None:
        super().__init__()
        self.sizes, self.config, self.width, self.read = [8, 3], {"width": 8}, 8, read
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).tanh().view(-1, self.read(self)))


@pytest.mark.parametrize(
    "read", [lambda s: s.sizes[0], lambda s: s.config["width"], lambda s: int(s.width)]
)
def test_plan_10_of_a_plain_number_it_is_not_said_that_it_is_written_in_the_code(read):
    groups = AxisGroups(morphir.trace(Kept(read), example_inputs=(torch.ones(2, 4),)))
    leaf = groups.of("first")[0].atom
    with pytest.raises(RefusalError, match=r"8 does not follow: .*, or comes from a tuple, a list"):
        groups.resize({leaf: AxisMap.copies(8, [*range(8), 0])})


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv1d(3, 6, 1, groups=3), (2, 3, 5), None),
        (nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6)), (2, 3), ("1", "normalized_shape")),
        (nn.Sequential(nn.Linear(3, 6), nn.RMSNorm(6)), (2, 3), ("1", "normalized_shape")),
        (nn.Sequential(nn.Conv1d(3, 6, 1), nn.GroupNorm(3, 6)), (2, 3, 5), ("1", "num_groups")),
        (
            nn.Sequential(nn.Conv1d(3, 6, 1), nn.Conv1d(6, 6, 3, groups=6)),
            (2, 3, 5),
            ("1", "groups"),
        ),
        (
            nn.Sequential(nn.Linear(3, 6), nn.Unflatten(1, (3, 2)), nn.ReLU(), nn.Flatten()),
            (2, 3),
            ("1", "unflattened_size"),
        ),
    ],
)
def test_plan_10_attributes_of_torchs_own_modules_follow(layer, shape, expected):
    model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(2))
    x = torch.randn(shape)
    model(x)
    groups = AxisGroups(morphir.trace(model, example_inputs=(x,)))
    if expected is None:  # whose groups are those of the input
        assert all(g.reason for g in groups.groups.values() if g.atom.size == 3)
        return
    leaf = groups.of("0.0")[0].atom
    _, (change,) = groups.resize({leaf: AxisMap.copies(leaf.size, [*range(leaf.size)] * 2)})
    assert (change.module, change.name) == (f"0.{expected[0]}", expected[1])
    old, new = ((n,) if isinstance(n, int) else n for n in (change.old, change.new))
    assert new == (2 * old[0], *old[1:])


def test_plan_10_what_no_number_would_meet_refuses():
    error = refusal(lambda s, x: x.view(-1, TOKENS, 5 * s.half - 3 * s.half))
    assert "((5 * half) - (3 * half)) would be 12" in error.reason


def test_plan_11_two_calls_that_ask_for_different_numbers_are_both_named():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width = 4
            self.first, self.second = nn.Linear(3, 4), nn.Linear(3, 4)
            self.left, self.right = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            left = self.first(x).view(-1, self.width)
            return self.left(left.relu()) + self.right(self.second(x).view(-1, self.width).relu())

    groups = AxisGroups(morphir.trace(Two(), example_inputs=(torch.randn(2, 3),)))
    (leaf,) = groups.of("first")
    with pytest.raises(RefusalError) as caught:
        groups.resize({leaf.atom: AxisMap.copies(4, [0, 1, 2, 3] * 2)})
    assert "shape[1] of reshape would have to be 4, and width would be 8" in caught.value.reason
    assert "width has to be 8 for shape[1] of reshape" in caught.value.reason
    assert caught.value.reason.count("test_obligations.py:") == 2
    assert "change together: 4 -> 8 units" in caught.value.suggestions[0]


def test_plan_11_an_attribute_that_is_also_a_plain_number_cannot_follow():
    error = refusal(lambda s, x: x.view(-1, TOKENS, s.width) / s.width)
    assert "other of div would have to be 12, and width would be 24" in error.reason


def test_plan_11_a_float_that_is_made_of_an_attribute_stays_what_it_was():
    error = refusal(lambda s, x: x.view(-1, TOKENS, s.width) * s.width**-0.5)
    assert "size of float would have to be 12, and width would be 24" in error.reason

    def attention(s: Any, x: Tensor) -> Tensor:
        h = x.view(-1, TOKENS, s.heads, x.shape[-1] // s.heads).transpose(1, 2)
        h = h.relu() / math.sqrt(x.shape[-1] // s.heads)
        return h.transpose(1, 2).reshape(x.shape)

    assert changes(attention, 0) == [AttributeChange("", "heads", 3, 6)]
    text = "size of float would have to be 4, and (size 2 of f32[B, 4, 12] // heads) would be 8"
    assert text in refusal(attention, 1).reason


def test_plan_11_parts_that_are_cut_equal_stay_equal():
    groups = groups_of("transformer")
    *_, value = groups.of("key_value")
    with pytest.raises(
        RefusalError, match="chunk wants parts of equal size, and they would have 15"
    ):
        groups.resize({value.atom: AxisMap.copies(5, [0, 1, 2, 3, 4, 4])})


def test_plan_10_what_a_chunk_ties_may_change_together():
    groups = groups_of("transformer")
    _, key, value = groups.of("key_value")
    maps = {g.atom: doubled(5, random.Random(0)) for g in (key, value)}
    assert "key_value.weight" in groups.resize(maps)[0]


def test_the_attribute_that_is_the_number_of_units_of_a_leaf():
    groups = groups_of("gpt")
    heads = groups.attribute_of(groups.of("h.1.attn.c_attn")[0].atom)
    assert heads is not None
    assert (heads.module, heads.name) == ("h.1.attn", "n_head")
    assert groups.attribute_of(groups.of("ln_f")[0].atom) is None  # a shape has elements
    assert groups.attribute_of(groups.of("h.0.mlp.0")[0].atom) is None


def test_plan_12_parts_of_one_axis_are_told_apart():
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.first, self.second = nn.Linear(3, 8), nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.up(x).chunk(2, -1)
            return self.first(first.relu()) + self.second(second.tanh())

    groups = AxisGroups(morphir.trace(Halves(), example_inputs=(torch.randn(2, 3),)))
    first, _ = groups.of("up")
    with pytest.raises(RefusalError) as caught:
        groups.resize({first.atom: AxisMap.copies(4, [0, 1, 2, 3, 0])})
    assert caught.value.suggestions == (
        "change together: 4 -> 5 units of up.weight[0] (0 to 3), "
        "4 -> 5 units of up.weight[0] (4 to 7)",
    )
