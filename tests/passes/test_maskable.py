"""Which weights may be masked, and which of them are at the ends."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import RefusalError
from morphir.passes.maskable import maskable
from tests.passes.widenings import Agent, Images, Tied, mlp

X = torch.randn(5, 4)


class Twins(nn.Module):
    """Two critics of three layers, and a head that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (
            nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 1))
            for _ in range(2)
        )
        self.norm, self.unused = nn.LayerNorm(4), nn.Linear(3, 3)
        self.table = nn.Parameter(torch.randn(4, 4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.norm(x) @ self.table
        return self.one(x), self.two(x)


def test_linear_layers_and_convolutions_have_weights_that_may_be_masked():
    found = maskable(morphir.trace(Twins(), example_inputs=(X,)), None)
    assert [(each.name, each.is_end) for each in found] == [
        ("one.0.weight", True), ("one.2.weight", False), ("one.4.weight", True),
        ("two.0.weight", True), ("two.2.weight", False), ("two.4.weight", True),
    ]  # fmt: skip
    assert found[0].shape == (6, 4)
    images = morphir.trace(Images(), example_inputs=(torch.randn(3, 2, 6, 6),))
    assert [(each.name, each.is_end) for each in maskable(images, None)] == [
        ("stem.weight", True), ("one.weight", False), ("two.weight", False), ("head.weight", True),
    ]  # fmt: skip


def test_an_end_of_one_entry_point_is_none_where_it_is_inner_in_another():
    program = morphir.trace(
        Agent(), example_inputs={"act": (X,), "value": (X,)}, entry_points=("act", "value")
    )
    assert {each.name: each.is_end for each in maskable(program, None)}["trunk.0.weight"]


def test_modules_are_named_by_what_is_around_them():
    program = morphir.trace(Twins(), example_inputs=(X,))
    for at in ("two", "two.*", ["two.0", "two.2", "two.4"]):
        assert [each.name for each in maskable(program, at)] == [
            f"two.{number}.weight" for number in (0, 2, 4)
        ]
    for at in ("unused", "norm"):
        with pytest.raises(
            RefusalError, match="no weight of a linear layer or convolution"
        ) as found:
            maskable(program, at)
        assert found.value.nodes == (at,)
    with pytest.raises(RefusalError, match="there is no module 'three'"):
        maskable(program, "three")


def test_a_tied_weight_is_one():
    assert [e.name for e in maskable(morphir.trace(Tied(), example_inputs=(X,)), None)] == [
        "a.weight", "head.weight",
    ]  # fmt: skip


def test_a_weight_that_is_computed_may_not_be_masked():
    class Computed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))
            self.register_buffer("fixed", torch.randn(2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(F.linear(x, torch.tanh(self.weight)), self.fixed)

    with pytest.raises(RefusalError, match="there is no weight"):
        maskable(morphir.trace(Computed(), example_inputs=(X,)), None)
    assert maskable(morphir.trace(mlp(), example_inputs=(X,)), None)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float64, torch.int64])
@pytest.mark.parametrize(
    "pass_",
    [morphir.SparsifyPass(density=0.5), morphir.MaskGrowPass(count=3, score="random")],
    ids=lambda each: type(each).__name__,
)
def test_mask_1_what_has_the_name_of_a_mask_and_is_none_is_refused(pass_, dtype: torch.dtype):
    """Its dtype has to be that of the parameter, or nothing would keep the parameter 0."""
    model = mlp()
    model[0].register_buffer("weight_mask", torch.ones_like(model[0].weight, dtype=dtype))
    with pytest.raises(RefusalError) as refusal:
        morphir.apply(model, pass_, example_inputs=(X,))
    assert refusal.value.nodes == ("0.weight_mask",)
    assert "a mask has the type of its parameter" in refusal.value.reason
    (fix,) = refusal.value.suggestions
    exec(fix, {"model": model})
    sparse = morphir.apply(model, morphir.SparsifyPass(density=0.5), example_inputs=(X,))
    assert {*morphir.Masks(sparse).masks} >= {"0.weight"}


def test_mask_1_a_parameter_a_buffer_of_another_shape_and_one_that_is_read_are_no_masks():
    class Multiplies(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * self.weight_mask.mean()

    other, read, learnt = nn.Linear(4, 3), Multiplies(4, 3), Multiplies(4, 3)
    other.register_buffer("weight_mask", torch.ones(2))
    read.register_buffer("weight_mask", torch.ones(3, 4))
    learnt.weight_mask = nn.Parameter(torch.ones(3, 4))
    for model, reason in (
        (other, "f32[2]"),
        (read, "a forward reads or writes it"),
        (learnt, "a mask is a buffer"),
    ):
        with pytest.raises(RefusalError, match=re.escape(reason)):
            morphir.apply(
                nn.Sequential(model), morphir.SparsifyPass(density=0.5), example_inputs=(X,)
            )
