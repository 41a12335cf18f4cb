"""Where a layer can go, and what a refusal says and suggests."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, RefusalError
from tests.passes.nets import Indexed, chain, grow

X = torch.randn(5, 8)


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
