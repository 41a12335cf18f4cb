"""DEEPER-1 to DEEPER-5 on every kind of site, and the refusals."""

import copy
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
    Indexed,
    Shared,
    assert_same_bits,
    grow,
)

X = torch.randn(5, 8)


def chain(*between: nn.Module, width: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, width), *between, nn.Linear(width, 4))


def new_modules(before: nn.Module, after: nn.Module) -> list[str]:
    old = {name for name, _ in before.named_modules()}
    return [name for name, _ in after.named_modules() if name not in old]


def new_weight(model: nn.Module) -> torch.Tensor:
    named = model.named_parameters()
    return next(p for name, p in named if "deeper" in name and name.endswith("weight"))


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


# -- convolutions --------------------------------------------------------------------------------


def convolutions(dimensions: int, **options: Any) -> tuple[nn.Sequential, torch.Tensor]:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    model = nn.Sequential(
        kind(3, 4, 3, padding=1, **options), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )
    x = torch.randn(2, 3, *[5] * dimensions)
    model(x)
    return model, x


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_in_convolutions_of_every_dimension(dimensions: int, block: str):
    model, x = convolutions(dimensions)
    grown = grow(model, "1", x, block=block).module
    weight = new_weight(grown)
    assert weight.shape == (4, 4, *[3] * dimensions)


@pytest.mark.parametrize("kernel", [1, 2, 4, 5, (3, 1), (2, 3), [4, 2]])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_in_convolutions_with_kernels_of_their_own(kernel: Any, block: str):
    model, x = convolutions(2)
    grown = grow(model, "1", x, block=block, kernel_size=kernel).module
    weight = new_weight(grown)
    expected = kernel if isinstance(kernel, int) else tuple(kernel)
    assert tuple(weight.shape[2:]) == ((expected,) * 2 if isinstance(expected, int) else expected)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_takes_the_groups_of_its_surroundings(kernel: int, block: str):
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1))
    x = torch.randn(2, 4, 6, 6)
    grown = grow(model, "1", x, block=block, kernel_size=kernel).module
    weight = new_weight(grown)
    assert weight.shape[:2] == (8, 2)
    dense = grow(model, "1", x, block=block, kernel_size=kernel, groups=1).module
    weight = new_weight(dense)
    assert weight.shape[:2] == (8, 8)
    with pytest.raises(RefusalError, match="groups=3 does not divide its 8 channels"):
        grow(model, "1", x, block=block, groups=3)


def test_deeper_after_a_depthwise_convolution():
    model = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    grown = grow(model, "1", torch.randn(2, 6, 5, 5)).module
    assert grown.get_submodule("1_deeper1").layer.weight.shape == (6, 1, 3, 3)


def test_deeper_after_flatten_is_a_linear_layer():
    model, x = convolutions(2)
    block = grow(model, "2", x).module.get_submodule("2_deeper1")
    assert isinstance(block.layer, nn.Linear)
    assert block.layer.in_features == 100


def test_deeper_after_pooling_is_a_convolution():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1))
    block = grow(model, "2", torch.randn(2, 3, 8, 8)).module.get_submodule("2_deeper1")
    assert block.layer.weight.shape == (4, 4, 3, 3)


def test_deeper_in_an_image_model_at_every_convolution():
    model, x = Images(), torch.randn(2, 3, 6, 6)
    for at in ("stem", "one"):
        model = grow(model, at, x).module
    grow(model, "two", x, block="residual")


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


# -- DEEPER-5: what was inserted learns ----------------------------------------------------------


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_5_everything_new_learns(block: str):
    result = grow(chain(nn.ReLU(), width=16), "1", X, block=block)
    check = result.report.check("learning")
    assert check.grade is morphir.Grade.TESTED, check
    model = result.module
    before = {n: p.detach().clone() for n, p in model.named_parameters() if "deeper" in n}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(X) ** 2).sum().backward()
        optimizer.step()
    still = [n for n, p in model.named_parameters() if n in before and torch.equal(p, before[n])]
    assert not still


# -- DEEPER-6: what was there before learns as it would have ---------------------------------------


@pytest.mark.parametrize(
    ("between", "options"),
    [
        ([nn.ReLU()], {}),
        ([nn.ReLU6()], {}),
        ([nn.Hardtanh(-2.0, 0.5)], {}),
        ([nn.Threshold(0.0, 0.0)], {}),
        ([nn.ReLU()], {"activation": "leaky_relu"}),
        ([nn.Dropout(0.3), nn.Unflatten(1, (2, 4)), nn.MaxPool1d(1), nn.Flatten(), nn.ReLU()], {}),
    ],
    ids=str,
)
def test_deeper_5_a_blend_that_what_follows_would_hide_is_refused(
    between: list[nn.Module], options: dict[str, Any]
):
    model = chain(*between)
    with pytest.raises(RefusalError, match="after '0' would not learn: wherever") as caught:
        grow(model, "0", X, block="parametric", **options)
    place, *_, other = caught.value.suggestions
    assert (place, other) == (f"at='{len(between)}'", "block='residual'")
    for suggestion in caught.value.suggestions:
        changed = {"at": "0", "block": "parametric", **options, **eval(f"dict({suggestion})")}
        if "identity" in suggestion:
            changed.pop("activation", None)
        learning = grow(model, changed.pop("at"), X, **changed).report.check("learning")
        assert learning is not None
        assert learning.grade is morphir.Grade.TESTED


@pytest.mark.parametrize(
    ("between", "options"),
    [
        ([nn.LeakyReLU()], {}),
        ([nn.ReLU()], {"activation": "tanh"}),
        ([nn.Hardtanh()], {"activation": "relu"}),
        ([nn.LayerNorm(8), nn.ReLU()], {}),
        ([nn.Unflatten(1, (2, 4)), nn.AvgPool1d(3, 1, 1), nn.Flatten(), nn.ReLU()], {}),
    ],
    ids=str,
)
def test_deeper_5_a_blend_that_shows_somewhere_is_not_refused(
    between: list[nn.Module], options: dict[str, Any]
):
    learning = grow(chain(*between), "0", X, block="parametric", **options).report.check("learning")
    assert learning is not None
    assert learning.grade is morphir.Grade.TESTED


def gradients(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of a loss with respect to all parameters, and to the input."""
    leaf = x.clone().requires_grad_()
    model.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    (model(leaf) ** 3).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert leaf.grad is not None
    return {**found, "the input": leaf.grad}


def readable(value: object) -> str:
    """An identifier for a parameter of a test."""
    if isinstance(value, torch.Tensor):
        return "x".join(map(str, value.shape))
    return type(value).__name__ if isinstance(value, nn.Module) else str(value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("model", "at", "block", "x"),
    [
        (chain(nn.ReLU()), "1", "identity", X),
        (chain(nn.BatchNorm1d(8), nn.ReLU6(), nn.Dropout(0.2)), "2", "identity", X),
        (chain(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)), "3", "identity", X),
        (Functional(F.relu), "a", "identity", X),
        (chain(nn.Tanh()), "1", "residual", X),
        (chain(nn.GELU()), "0", "residual", X),
        (chain(nn.SiLU()), "1", "parametric", X),
        (Images(), "stem", "identity", torch.randn(2, 3, 6, 6)),
        (Images(), "two", "residual", torch.randn(2, 3, 6, 6)),
    ],
    ids=readable,
)
def test_deeper_6_old_gradients_are_the_same_to_the_bit(
    model: nn.Module, at: str, block: str, x: torch.Tensor, training: bool
):
    grown = grow(model, at, x, block=block).module
    before = gradients(copy.deepcopy(model).train(training), x)
    after = gradients(grown.train(training), x)
    assert before.keys() < after.keys()
    assert all(torch.equal(gradient, after[name]) for name, gradient in before.items())


# -- growing again and again ---------------------------------------------------------------------


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_growing_three_times_then_training_then_growing_again(block: str):
    model: nn.Module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-2)
    start = copy.deepcopy(model)

    def grow_and_carry() -> None:
        nonlocal model, optimizer
        result = morphir.transform(
            model, DeeperPass(at="1", block=block), optimizer=optimizer, example_inputs=(X,)
        )
        assert result.report.grade is morphir.Grade.PROVED
        model, optimizer = result.module, result.optimizer

    for _ in range(3):
        grow_and_carry()
    assert_same_bits(start, model, X)
    names = [name for name, _ in model.named_children()]
    assert names == ["0", "1", "1_deeper3", "1_deeper2", "1_deeper1", "2"]
    for _ in range(5):
        optimizer.zero_grad()
        (model(X) - 1).square().mean().backward()
        optimizer.step()
    trained = copy.deepcopy(model)
    assert not torch.equal(trained(X), start(X))
    grow_and_carry()
    assert_same_bits(trained, model, X)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len({*held}) == len([*model.parameters()])


def test_growing_inside_what_was_inserted():
    model = grow(chain(nn.ReLU()), "1", X).module
    model = grow(model, "1_deeper1", X).module
    model = grow(model, "1_deeper1.layer", X).module
    grow(model, "1_deeper1_deeper1", X, block="residual")


# -- where -----------------------------------------------------------------------------------------


def test_globs_and_lists_insert_once_per_place():
    model = nn.Sequential(
        *(m for _ in range(3) for m in (nn.Linear(8, 8), nn.ReLU())), nn.Linear(8, 2)
    )
    result = grow(model, "[0-5]", X)
    assert [n for n, _ in result.module.named_children() if "deeper" in n] == [
        "1_deeper1",
        "3_deeper1",
        "5_deeper1",
    ]
    assert any("is the same place as" in line for line in result.report.passes)
    result = grow(model, ["1", "4"], X)
    assert len(result.certificate.insertions) == 2


def test_every_entry_point_is_rewritten():
    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
            self.actor, self.critic = nn.Linear(8, 2), nn.Linear(8, 1)

        def act(self, x: torch.Tensor) -> torch.Tensor:
            return self.actor(self.body(x))

        def value(self, x: torch.Tensor) -> torch.Tensor:
            return self.critic(self.body(x))

    model = Agent()
    result = morphir.transform(
        model, DeeperPass(at="body.1"), example_inputs=(X,), entry_points=("act", "value")
    )
    assert result.report.grade is morphir.Grade.PROVED
    assert result.report.entry_points == ("act", "value")
    assert torch.equal(result.module.act(X), model.act(X))
    assert torch.equal(result.module.value(X), model.value(X))


def test_a_layer_whose_calls_are_followed_by_different_activations_is_refused():
    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def act(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(F.relu(self.body(x)))

        def value(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.body(x)))

    with pytest.raises(RefusalError, match="followed by different activations"):
        morphir.transform(
            Agent(), DeeperPass(at="body"), example_inputs=(X,), entry_points=("act", "value")
        )


@pytest.mark.parametrize(
    ("at", "nearest"),
    [("extractor.9", "extractor"), ("extracter.2", "extractor.2"), ("haed", "head")],
)
def test_a_wrong_name_names_the_nearest(at: str, nearest: str):
    model = nn.Sequential()
    model.add_module("extractor", nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)))
    model.add_module("head", nn.Linear(8, 4))
    with pytest.raises(RefusalError, match=f"there is no module '{at}'") as caught:
        grow(model, at, X)
    assert any(nearest in suggestion for suggestion in caught.value.suggestions)


@pytest.mark.parametrize(
    ("model", "at", "match", "suggestion"),
    [
        (chain(nn.Tanh()), "1", "tanh returns no interval", "block='residual'"),
        (chain(nn.GELU()), "1", "gelu returns no interval", "block='parametric'"),
        (chain(nn.Sigmoid()), "1", "lies in \\[0, 1\\]", "activation='relu'"),
        (chain(nn.Softplus()), "1", "softplus returns no interval", "activation='relu'"),
        (
            chain(nn.LeakyReLU()),
            "1",
            "leaky_relu is the identity on \\[0, inf\\]",
            "block='residual'",
        ),
        (chain(nn.Tanh()), "0", "tanh, which follows, is not idempotent", "block='residual'"),
        (chain(nn.ReLU()), "2", "its output leaves the model", "at='1'"),
        (
            chain(nn.Identity()),
            "0",
            "goes into 'linear', which is no activation",
            "block='residual'",
        ),
        (chain(nn.ReLU()), "", "the whole model", "at='0'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why_and_what_would_work(
    model: nn.Module, at: str, match: str, suggestion: str
):
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RefusalError, match=match) as caught:
        grow(model, at, X)
    assert suggestion in caught.value.suggestions
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_what_is_exact_in_eval_mode_only_is_refused():
    """Dropout scales by 1 / (1 - p) in train mode: 6 becomes 7.5, and ReLU6 cuts it."""
    model = chain(nn.ReLU6(), nn.Dropout(0.2))
    with pytest.raises(RefusalError, match="in train mode an identity block") as caught:
        grow(model, "2", X)
    assert "lies in [0, inf] and relu6" in caught.value.reason.replace("hardtanh", "relu6")
    assert "at='1'" in caught.value.suggestions
    grow(model, "1", X)
    grow(model, "2", X, activation="relu")
    grow(chain(nn.ReLU(), nn.Dropout(0.2)), "2", X)


def test_what_a_refusal_suggests_works():
    model = nn.Sequential(
        nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)
    )
    with pytest.raises(RefusalError) as caught:
        grow(model, "3", X)
    for suggestion in caught.value.suggestions:
        options = eval(f"dict({suggestion})")
        morphir.apply(model, DeeperPass(**{"at": "3", **options}), example_inputs=(X,))
    assert len(caught.value.suggestions) >= 4


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_a_sequential_that_is_read_by_index_is_refused_with_its_last_child(block: str):
    with pytest.raises(RefusalError, match="children are also used by index") as caught:
        morphir.transform(Indexed(), DeeperPass("stages.0", block), example_inputs=(X,))
    same = "" if block != "identity" else ", block='residual'"
    assert caught.value.suggestions == (f"at='stages.0.1'{same}",)
    grow(Indexed(), "stages.0.1", X, block=block if block != "identity" else "residual")


def test_blocks_that_would_be_refused_are_not_suggested():
    """A blend is hidden by the two ReLUs that follow."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.fc(x)
            return F.relu(h) + F.relu(h)

    with pytest.raises(RefusalError, match="has 2 consumers") as caught:
        morphir.transform(Two(), DeeperPass("fc"), example_inputs=(X,))
    assert caught.value.suggestions == ("block='residual'",)


def test_several_results_and_attention():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, _ = self.attention(x, x, x)
            return self.head(y)

    x = torch.randn(2, 5, 8)
    with pytest.raises(RefusalError, match="returns 2 tensors"):
        grow(Block(), "attention", x, block="residual")
    grow(Block(), "head", x, block="residual")

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, weights = self.attention(x, x, x, need_weights=False)
            assert weights is None
            return self.head(y)

    grow(Wrapped(), "attention", x, block="residual")

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).chunk(3, -1)
            return self.head(self.out(F.scaled_dot_product_attention(q, k, v)))

    grow(Own(), "out", x, block="residual")


def test_a_module_that_is_never_called_is_refused():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.spare = nn.Linear(8, 4), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x)

    with pytest.raises(RefusalError, match="never called by 'forward'"):
        grow(Net(), "spare", X)


def test_integers_and_images_that_no_convolution_made_are_refused():
    class Pick(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pick, self.pool, self.head = Pick(), nn.MaxPool2d(2), nn.Linear(12, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.pool(x).flatten(1)) + self.pick(x).sum()

    x = torch.randn(2, 3, 4, 4)
    with pytest.raises(RefusalError, match="expected a floating-point tensor"):
        grow(Net(), "pick", x)
    with pytest.raises(RefusalError, match="no linear layer or convolution feeds it"):
        grow(Net(), "pool", x, block="residual")


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"at": []},
        {"at": 3},
        {"at": ["1", 2]},
        {"at": "1", "block": "magic"},
        {"at": "1", "kernel_size": 0},
        {"at": "1", "kernel_size": (3, -1)},
        {"at": "1", "kernel_size": (3, 3, 3, 3)},
        {"at": "1", "kernel_size": ()},
        {"at": "1", "kernel_size": 2.0},
        {"at": "1", "groups": 0},
        {"at": "1", "hidden": 0, "block": "residual"},
        {"at": "1", "hidden": 4},
        {"at": "1", "activation": nn.ReLU()},
        {"at": "1", "seed": 0.5},
        {"at": "1", "seed": True},
    ],
    ids=str,
)
def test_options_that_no_model_could_fit_are_refused_at_once(options: dict[str, Any]):
    with pytest.raises(RefusalError, match="expected"):
        DeeperPass(**options)


def test_an_unknown_activation_names_the_nearest():
    with pytest.raises(RefusalError, match="activation='rleu' is unknown") as caught:
        grow(chain(nn.Tanh()), "1", X, block="residual", activation="rleu")
    assert "activation='relu'" in caught.value.suggestions
    for name in ("softmax", "glu"):
        with pytest.raises(RefusalError, match="is unknown"):
            grow(chain(nn.Tanh()), "1", X, block="residual", activation=name)


def test_a_kernel_of_another_dimension_is_refused():
    model, x = convolutions(1)
    with pytest.raises(RefusalError, match="does not fit a 1-dimensional convolution"):
        grow(model, "1", x, kernel_size=(3, 3))


def test_a_pass_is_frozen_hashable_and_prints_as_it_was_typed():
    deeper = DeeperPass(at=["a", "b"], block="residual", hidden=4)
    assert hash(deeper) == hash(DeeperPass(at=("a", "b"), block="residual", hidden=4))
    assert deeper.describe() == "DeeperPass(at=('a', 'b'), block='residual', hidden=4)"
    with pytest.raises(AttributeError):
        deeper.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("options", [{"kernel_size": 5}, {"kernel_size": (3,)}, {"groups": 2}])
@pytest.mark.parametrize("block", ["identity", "residual"])
def test_an_option_of_convolutions_is_refused_where_a_linear_layer_fits(block, options):
    (name,) = options
    with pytest.raises(RefusalError, match=f"{name}=.* is for a convolution, and what") as caught:
        grow(chain(nn.ReLU()), "1", X, block=block, **options)
    assert caught.value.suggestions == (f"{name}=None",)


def test_a_misspelt_block_names_the_nearest():
    with pytest.raises(RefusalError, match="try: block='identity'"):
        DeeperPass(at="1", block="ident")
    with pytest.raises(RefusalError, match="try: block='residual'"):
        DeeperPass(at="1", block=None)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(4, 4), nn.ReLU()
        self.rnn, self.head = nn.GRU(4, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.act(self.first(x)))[0])


@pytest.mark.parametrize(
    ("make", "at", "x", "expected"),
    [
        (
            lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            "linear2",
            torch.randn(2, 3, 8),
            "at='linear1'",
        ),
        (Recurrent, "rnn", torch.randn(2, 3, 4), "at='act'"),
        (Recurrent, "head", torch.randn(2, 3, 4), "at='act'"),
    ],
)
@pytest.mark.parametrize("grown", [False, True])
def test_every_place_that_a_refusal_suggests_works(make, at, x, expected, grown):
    """Also where dropout follows, and never inside of what was inserted before."""
    model = make()
    if grown:
        site = expected.removeprefix("at='").removesuffix("'")
        model = morphir.apply(model, DeeperPass(at=site), example_inputs=(x,))
    with pytest.raises(RefusalError) as caught:
        morphir.transform(model, DeeperPass(at=at), example_inputs=(x,))
    assert expected in caught.value.suggestions
    assert not any("_deeper1." in each for each in caught.value.suggestions)
    for each in caught.value.suggestions:
        pass_ = DeeperPass(**{"at": at, **eval(f"dict({each})")})
        assert morphir.transform(model, pass_, example_inputs=(x,)).report.grade.name == "PROVED"
