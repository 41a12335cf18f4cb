"""DEEPER-1 to DEEPER-4: on every kind of site the function is kept."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, RefusalError
from tests.passes.nets import (
    Branches,
    Drops,
    Functional,
    Images,
    Shared,
    assert_same_bits,
    chain,
    grow,
)

X = torch.randn(5, 8)


def new_modules(before: nn.Module, after: nn.Module) -> list[str]:
    old = {name for name, _ in before.named_modules()}
    return [name for name, _ in after.named_modules() if name not in old]


# -- DEEPER-1: after an activation ---------------------------------------------------------------


@pytest.mark.parametrize(
    "between",
    [
        [nn.ReLU()],
        [nn.ReLU6()],
        [nn.Hardtanh()],
        [nn.Hardtanh(-2.0, 0.5)],
        [nn.ReLU(), nn.LeakyReLU(0.2)],
        [nn.ReLU(), nn.ELU()],
        [nn.ReLU(), nn.Dropout(0.3)],
        [nn.ReLU(), nn.Unflatten(1, (2, 4)), nn.MaxPool1d(1), nn.Flatten()],
        [nn.ReLU(), nn.Unflatten(1, (2, 4)), nn.AvgPool1d(3, 1, 1), nn.Flatten()],
        [nn.Threshold(0.0, 0.0)],
        [nn.BatchNorm1d(8), nn.ReLU()],
        [nn.LayerNorm(8), nn.ReLU(inplace=True)],
    ],
    ids=str,
)
def test_deeper_1_after_what_lies_in_the_range_of_its_activation(between: list[nn.Module]):
    model = chain(*between)
    result = grow(model, str(len(between)), X)
    assert result.report.laws[-1] == "DEEPER-1"
    assert new_modules(model, result.module)[0] == f"{len(between)}_deeper1"


def test_deeper_1_after_a_concatenation_of_one_activation():
    model = Branches(nn.ReLU(), nn.ReLU(), nn.ReLU())
    block = grow(model, "joined", X).module.get_submodule("joined.joined_deeper1")
    assert isinstance(block.activation, nn.ReLU)


@pytest.mark.parametrize("at", ["0", "0.0"])
def test_deeper_1_without_inputs(at: str):
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 4))
    assert_same_bits(model, grow(model, at).module, X)


def test_deeper_1_at_a_layer_moves_after_its_activation_and_says_so():
    model = chain(nn.ReLU())
    result = grow(model, "0", X)
    assert new_modules(model, result.module)[0] == "1_deeper1"
    assert any("moved to '1': the activation that follows" in line for line in result.report.passes)


def test_deeper_1_the_new_layer_is_made_of_its_surroundings():
    model = nn.Sequential(nn.Linear(8, 6, bias=False, dtype=torch.float64), nn.ReLU6())
    model.eval()
    block = grow(model, "1", X.double()).module.get_submodule("1_deeper1")
    assert torch.equal(block.layer.weight, torch.eye(6, dtype=torch.float64))
    assert block.layer.bias is None
    assert isinstance(block.activation, nn.ReLU6)
    assert not any(module.training for module in block.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_in_other_dtypes(dtype: torch.dtype, block: str):
    model = chain(nn.ReLU()).to(dtype)
    grown = grow(model, "1", X.to(dtype), block=block).module
    assert {p.dtype for p in grown.parameters()} == {dtype}


def test_deeper_1_in_a_model_that_casts():
    """The layer takes the dtype of what it is given, not of the parameter before it."""

    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.act, self.b = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)
            self.b.double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.act(self.a(x).double()))

    grown = grow(Casting(), "act", X).module
    assert grown.act.act_deeper1.layer.weight.dtype == torch.float64


def test_deeper_1_at_one_of_several_calls_of_a_shared_module():
    model = Shared()
    result = grow(model, "relu", X)
    assert "DEEPER-1" in result.report.laws
    assert (
        sum(
            c.module.endswith("deeper1")
            for c in morphir.trace(result.module).graphs["forward"].calls
        )
        == 2
    )


def test_deeper_refuses_a_shared_module_of_two_widths():
    with pytest.raises(RefusalError, match="different types at its calls"):
        grow(Shared(width=6), "relu", X)


# -- DEEPER-2: between a layer and its activation ------------------------------------------------


@pytest.mark.parametrize(
    "function", [F.relu, F.relu6, torch.relu, lambda h: F.hardtanh(h, -2, 2), torch.Tensor.relu_]
)
def test_deeper_2_between_a_layer_and_a_function(function: Any):
    result = grow(Functional(function), "a", X)
    assert result.report.laws[-1] == "DEEPER-2"
    block = result.module.a.a_deeper1
    assert [name for name, _ in block.named_children()] == ["activation", "layer"]


def test_deeper_2_before_a_shared_activation():
    model = Shared(width=6)
    result = grow(model, "b", X)
    assert result.report.laws[-1] == "DEEPER-2"
    assert result.module.b.b_deeper1.layer.weight.shape == (6, 6)


def test_deeper_2_in_front_of_dropout():
    """In eval mode the dropout after the function returns its result, and is not its module."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    result = grow(layer, "linear1", torch.randn(2, 5, 8))
    assert result.report.laws[-1] == "DEEPER-2"
    assert result.certificate.insertions[0].anchor == "linear1"


@pytest.mark.parametrize("at", ["stem", "norm"])
def test_deeper_2_through_batch_norm(at: str):
    result = grow(Images(), at, torch.randn(3, 3, 7, 7))
    assert result.report.laws[-1] == "DEEPER-2"
    assert result.certificate.insertions[0].anchor == "norm"


def test_deeper_2_is_refused_where_someone_else_reads_the_layer():
    with pytest.raises(RefusalError, match="its output has 2 consumers"):
        grow(Functional(F.relu, skip=True), "a", X)

    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.act, self.b = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.a(x)
            return self.b(self.act(h)) + h[:, :4]

    with pytest.raises(RefusalError) as caught:
        grow(Skipping(), "a", X)
    assert "at='act'" in caught.value.suggestions
    grow(Skipping(), "act", X)


# -- DEEPER-3 and DEEPER-4: everywhere -----------------------------------------------------------


@pytest.mark.parametrize("block", ["residual", "parametric"])
@pytest.mark.parametrize(
    "activation",
    [
        nn.Tanh(),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Mish(),
        nn.Softplus(2.0),
        nn.PReLU(),
        nn.ELU(0.5),
        nn.LeakyReLU(0.3),
        nn.Hardswish(),
        nn.Identity(),
    ],
    ids=str,
)
def test_deeper_3_and_4_after_every_activation(block: str, activation: nn.Module):
    model = chain(activation)
    result = grow(model, "1", X, block=block)
    assert result.report.laws[-1] == {"residual": "DEEPER-3", "parametric": "DEEPER-4"}[block]
    inserted = result.module.get_submodule("1_deeper1")
    kind = nn.ReLU if isinstance(activation, nn.Identity) else type(activation)
    assert isinstance(inserted.activation, kind)
    if not isinstance(activation, nn.PReLU | nn.Identity):
        assert repr(inserted.activation) == repr(activation)


@pytest.mark.parametrize("block", ["residual", "parametric"])
@pytest.mark.parametrize("at", ["0", "1", "2"])
def test_deeper_3_and_4_at_every_place(block: str, at: str):
    grow(chain(nn.Tanh()), at, X, block=block)


def test_deeper_3_draws_its_first_layer_from_the_seed_the_place_and_the_count():
    model = chain(nn.Tanh())

    def first(at: str = "1", seed: int = 0, model: nn.Module = model) -> torch.Tensor:
        grown = grow(model, at, X, block="residual", seed=seed).module
        (name,) = [n for n in new_modules(model, grown) if n.endswith(".first")]
        return grown.get_submodule(name).weight.detach()

    assert torch.equal(first(), first())
    assert not torch.equal(first(), first(seed=1))
    assert not torch.equal(first(), first(at="0"))
    again = grow(model, "1", X, block="residual").module
    assert not torch.equal(first(), first(model=again)), "the second at the same place"


def test_deeper_3_is_the_same_in_both_modes_where_branches_are_dropped():
    block = grow(Drops(), "block", X, block="residual").module.get_submodule("block.block_deeper1")
    assert all(layer.bias is not None for layer in block.modules() if isinstance(layer, nn.Linear))


def test_deeper_3_has_a_width_of_its_own():
    grown = grow(chain(nn.Tanh()), "1", X, block="residual", hidden=3).module
    block = grown.get_submodule("1_deeper1")
    assert (block.first.weight.shape, block.last.weight.shape) == ((3, 8), (8, 3))
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Tanh(), nn.Conv2d(4, 2, 1))
    grow(model, "1", torch.randn(2, 4, 6, 6), block="residual", hidden=3)


def test_deeper_3_takes_the_activation_that_is_asked_for():
    grown = grow(chain(nn.Tanh()), "1", X, block="residual", activation="gelu").module
    assert isinstance(grown.get_submodule("1_deeper1").activation, nn.GELU)


def test_deeper_3_and_4_need_shapes():
    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.b(torch.tanh(self.a(x + y)))

    with pytest.raises(RefusalError, match="example_inputs"):
        morphir.apply(Opaque(), DeeperPass(at="a", block="residual"))
    grow(Opaque(), "a", X, X, block="residual")
