"""WIDER-1, WIDER-2 and WIDER-3 on every kind of net, and the refusals."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import Grade, RefusalError, WiderPass
from tests.axes.nets import NETS
from tests.passes.random_nets import Random, step
from tests.passes.widenings import (
    Agent,
    Encoder,
    Images,
    Sequence,
    Tied,
    assert_dual,
    assert_same,
    copies,
    gradients,
    mlp,
    wide,
    without_dropout,
)

X = torch.randn(5, 4)
IMAGE = torch.randn(3, 2, 6, 6)
SEQUENCE = torch.randn(2, 5, 4)
Make = Callable[[], nn.Module]

# A model, its input, what is widened, options, and whether a mean runs over the units.
SITES: dict[str, tuple[Make, torch.Tensor, Any, dict[str, Any]]] = {
    "mlp": (mlp, X, "0", {"width": 9}),
    "thrice": (mlp, X, "0", {"width": 20}),
    "both layers": (mlp, X, ["0", "2"], {"width": 8}),
    "glob": (mlp, X, "[02]", {"width": 7}),
    "stream": (Images, IMAGE, "stem", {"width": 8}),
    "block": (Images, IMAGE, "one", {"width": 7}),
    "norm": (Images, IMAGE, "inner", {"width": 8}),
    "tied": (Tied, X, "a", {"width": 8}),
    "lstm": (lambda: Sequence(nn.LSTM), SEQUENCE, "rnn", {"width": 9}),
    "gru": (lambda: Sequence(nn.GRU), SEQUENCE, "rnn", {"width": 9}),
    "rnn": (lambda: Sequence(nn.RNN), SEQUENCE, "rnn", {"width": 9}),
    "stem of an lstm": (lambda: Sequence(nn.LSTM), SEQUENCE, "stem", {"width": 7}),
    "inner of an encoder": (Encoder, SEQUENCE, "layer.linear1", {"width": 10}),
}
STATISTICS: dict[str, tuple[Make, torch.Tensor, Any, dict[str, Any]]] = {
    "encoder": (Encoder, SEQUENCE, "stem", {"width": 16, "joint": True}),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)),
        X, "0", {"width": 12},
    ),
    "rms norm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.RMSNorm(6), nn.Tanh(), nn.Linear(6, 3)),
        X, "0", {"width": 18},
    ),
    "group norm": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.GroupNorm(3, 6), nn.Tanh(), nn.Conv2d(6, 3, 1)
        ),
        IMAGE, "0", {"width": 12},
    ),
}  # fmt: skip
EVERY = {**SITES, **STATISTICS}


# -- the function, and what it learns --------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_wider_1_copies_compute_the_same(name: str):
    """WIDER-1"""
    make, x, at, options = EVERY[name]
    result = wide(make(), at, x, **options)
    assert result.report.laws == ("CERT-5", "WIDER-1")


@pytest.mark.parametrize("name", EVERY)
def test_wider_3_copies_part(name: str):
    """WIDER-3: pairs at the first step, all by the second"""
    make, x, at, options = EVERY[name]
    result = wide(make(), at, x, **options)
    is_pair = name in SITES and name != "thrice"
    for kind, steps in ((torch.optim.SGD, 1), (torch.optim.Adam, 1 if is_pair else 2)):
        model = without_dropout(result.module).train()
        optimizer = kind(model.parameters(), lr=0.01)
        for _ in range(steps):
            received = gradients(model, x)
            optimizer.step()
        # A ReLU may be off for all inputs, and what BatchNorm subtracts has no gradient.
        least = 1e-6 * max(gradient.abs().max() for gradient in received.values())
        parted = [
            not torch.equal(p.select(axis, one), p.select(axis, two))
            for n, p in model.named_parameters()
            if n in result.certificate.tensors
            for axis, one, two in copies(result.certificate.tensors[n])
            if received[n].select(axis, one).abs().max() > least
        ]
        assert parted
        assert all(parted), kind


@pytest.mark.parametrize("name", SITES)
def test_wider_2_fresh_units_compute_nothing_and_learn(name: str):
    """WIDER-2, WIDER-3"""
    make, x, at, options = SITES[name]
    result = wide(make(), at, x, init="fresh", **options)
    assert result.report.laws == ("CERT-5", "WIDER-2")
    found = gradients(result.module.eval(), x)
    fresh = 0
    for key, change in result.certificate.tensors.items():
        for axis, each in enumerate(change):
            zero = (torch.from_numpy(each.relation.take) == -2).nonzero().flatten()
            tensor = result.module.state_dict()[key]
            assert (tensor.index_select(axis, zero) == 0).all()
            if len(zero) and key in found:
                fresh += int((found[key].index_select(axis, zero) != 0).any())
    assert fresh


@pytest.mark.parametrize("init", ["copy", "fresh"])
@pytest.mark.parametrize("name", SITES)
def test_wider_1_gradients_are_the_transported_ones(name: str, init: Any):
    """WIDER-1, WIDER-2: the duality of copies and splits, to 1e-12 in float64"""
    make, x, at, options = SITES[name]
    model, x = make().double().eval(), x.double()
    result = wide(model, at, x, init=init, **options)
    for training in (False, True):
        both = [without_dropout(each).train(training) for each in (model, result.module)]
        old, new = (gradients(each, x) for each in both)
        assert_dual(old, new, result.certificate.tensors)


@pytest.mark.parametrize("name", STATISTICS)
def test_wider_1_behind_a_mean_over_units_equal_shares_are_dual(name: str):
    """WIDER-1"""
    make, x, at, options = STATISTICS[name]
    model, x = make().double().eval(), x.double()
    result = wide(model, at, x, shares="equal", **options)
    old, new = gradients(model, x), gradients(result.module, x)
    assert_dual(old, new, result.certificate.tensors)


def test_wider_1_equal_shares_never_part():
    result = wide(mlp(), "0", X, width=12, shares="equal")
    model = result.module
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        gradients(model, X)
        optimizer.step()
    assert torch.equal(model[0].weight[:6], model[0].weight[6:])


def test_wider_1_batch_norm_keeps_its_statistics_in_train_mode():
    """WIDER-1"""
    model = Images().train()
    result = wide(model, "stem", IMAGE, width=8)
    source = result.certificate.tensors["norm.running_mean"][0].relation.source
    for _ in range(2):
        model(IMAGE), result.module(IMAGE)
    for name in ("running_mean", "running_var"):
        old, new = (getattr(each.norm, name) for each in (model, result.module))
        torch.testing.assert_close(new, old[source], rtol=0, atol=1e-6)
    assert result.module.norm.num_features == 8


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("init", ["copy", "fresh"])
def test_wider_1_in_other_dtypes(dtype: torch.dtype, init: Any):
    """WIDER-1: splits are exact in every dtype"""
    result = wide(mlp().to(dtype), "0", X.to(dtype), width=20, init=init)
    assert {p.dtype for p in result.module.parameters()} == {dtype}


@pytest.mark.parametrize("name", NETS)
def test_wider_1_wherever_the_planner_knows_a_way(name: str):
    """WIDER-1: for every layer of nets of all kinds, proved or refused"""
    make, x, entry_points = NETS[name]
    model = make()
    proved = 0
    for at, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not at or weight is None:
            continue
        wider = WiderPass(at=at, width=2 * len(weight))
        given = {"example_inputs": (x,), "entry_points": entry_points}
        try:
            result = morphir.transform(model, wider, **given)
        except RefusalError:
            continue
        assert result.report.grade is Grade.PROVED
        proved += 1
    assert proved or name in ("gram", "summed", "literal", "normalised")


# -- several entry points, in place, twice ---------------------------------------------------------


def test_wider_1_in_all_entry_points():
    """WIDER-1"""
    model, x = Agent().double(), X.double()
    result = morphir.transform(
        model, WiderPass(at="trunk.0", width=9), example_inputs=(x,), entry_points=("act", "value")
    )
    assert result.report.grade is Grade.PROVED
    assert result.module.actor.in_features == result.module.critic.in_features == 9
    for call in ("act", "value"):
        old, new = (gradients(each, x, call=call) for each in (model, result.module))
        assert_dual(old, new, result.certificate.tensors)


def test_wider_1_an_entry_point_that_was_not_recorded_is_not_forgotten():
    with pytest.raises(RefusalError, match="no recorded entry point"):
        morphir.apply(
            Agent(), WiderPass(at="critic", width=2), example_inputs=(X,), entry_points=("act",)
        )


@pytest.mark.parametrize("init", ["copy", "fresh"])
def test_wider_1_in_place_everything_keeps_its_identity(init: Any):
    """WIDER-1"""
    model = Images()
    optimizer = torch.optim.Adam(model.parameters())
    gradients(model, IMAGE)
    optimizer.step()
    before, held = copy.deepcopy(model), dict(model.named_parameters())
    result = morphir.transform(
        model, WiderPass(at="stem", width=9, init=init), example_inputs=(IMAGE,),
        optimizer=optimizer, inplace=True,
    )  # fmt: skip
    assert result.module is model
    assert result.optimizer is optimizer
    assert all(parameter is held[name] for name, parameter in model.named_parameters())
    assert_same(before, model, IMAGE)
    for parameter in model.parameters():
        assert optimizer.state[parameter]["exp_avg"].shape == parameter.shape
    gradients(model, IMAGE)
    optimizer.step()


def test_wider_1_and_again():
    """WIDER-1"""
    model = mlp()
    passes = [WiderPass(at="0", width=9), WiderPass(at="0", width=10), WiderPass(at="2", width=7)]
    result = morphir.transform(model, passes, example_inputs=(X,))
    assert_same(model, result.module, X)
    assert [layer.out_features for layer in result.module[::2]] == [10, 7, 3]
    again = morphir.replay(result.lineage, copy.deepcopy(model))
    assert_same(model, again, X)


@pytest.mark.parametrize("between", [nn.ReLU(), nn.Dropout(0.5)])
def test_the_present_width_is_nothing_to_do(between: nn.Module):
    """Also where the program is one of two modes."""
    result = wide(nn.Sequential(nn.Linear(4, 6), between, nn.Linear(6, 3)), "0", X, width=6)
    assert "already has 6 features" in str(result.report)
    assert not result.lineage.steps


def test_the_draws_are_those_of_the_seed_and_the_users_are_his():
    state = torch.get_rng_state()
    model = mlp()
    state = torch.get_rng_state()
    options: dict[str, Any] = {"width": 9, "init": "fresh"}
    one, same, other = (
        morphir.apply(model, WiderPass(at="0", seed=seed, **options)) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


# -- optimizers ------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Adadelta": {"eps": 1e-60},
    "Adagrad": {"eps": 1e-60},
    "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.1},
    "Adamax": {"eps": 1e-60},
    "ASGD": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.5, "centered": True, "eps": 1e-60},
    "Rprop": {"step_sizes": (0.0, 50.0)},
    "SGD": {"momentum": 0.9},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_wider_1_moments_are_those_of_the_same_history(name: str):
    """WIDER-1: widening a model that stood still for three gradients, or before them"""
    torch.manual_seed(0)
    history = [torch.randn(5, 4, dtype=torch.float64) for _ in range(3)]

    def stand_still(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for x in history:
            gradients(model, x)
            optimizer.step()

    def made(model: nn.Module) -> torch.optim.Optimizer:
        return getattr(torch.optim, name)(model.parameters(), lr=0.0, **OPTIMIZERS[name])

    model = mlp(nn.Tanh).double()
    optimizer = made(model)
    stand_still(model, optimizer)
    late = morphir.transform(
        model, WiderPass(at="0", width=9), example_inputs=(history[0],), optimizer=optimizer
    )
    early = morphir.apply(model, WiderPass(at="0", width=9), example_inputs=(history[0],))
    other = made(early)
    stand_still(early, other)
    for mine, theirs in zip(late.module.parameters(), early.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        found, wanted = late.optimizer.state[mine], other.state[theirs]
        assert found.keys() == wanted.keys()
        for entry, value in wanted.items():
            if isinstance(value, torch.Tensor) and value.dim():
                error = (found[entry] - value).abs().max()
                assert error <= 1e-12 * value.abs().max(), (entry, error)
            else:
                assert found[entry] == value


@pytest.mark.parametrize(
    "kind", [lambda p: torch.optim.LBFGS(p), lambda p: torch.optim.Adafactor(p)], ids=["lbfgs", "f"]
)
def test_an_optimizer_whose_state_is_not_known_is_refused_by_name(kind: Any):
    model = mlp()
    optimizer = kind(model.parameters())
    gradients(model, X)
    optimizer.step(lambda: model(X).square().sum())
    with pytest.raises(RefusalError, match=type(optimizer).__name__):
        morphir.transform(
            model, WiderPass(at="0", width=9), example_inputs=(X,), optimizer=optimizer
        )


# -- random nets -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    steps=st.lists(step, min_size=1, max_size=8),
    bias=st.booleans(),
    where=st.integers(0, 20),
    more=st.integers(0, 9),
    init=st.sampled_from(["copy", "copy", "fresh"]),
    shares=st.sampled_from(["unequal", "equal"]),
    seed=st.integers(0, 3),
    double=st.booleans(),
)
def test_wider_1_and_2_on_random_nets_refused_or_proved_and_equal(
    steps: Any, bias: bool, where: int, more: int, init: Any, shares: Any, seed: int, double: bool
):
    """WIDER-1, WIDER-2"""
    torch.manual_seed(seed)
    model = Random(steps, bias)
    x = torch.randn(3, 4)
    if double:
        model, x = model.double(), x.double()
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "head"}
    if not layers:
        return
    at = [*layers][where % len(layers)]
    width = layers[at].out_features + more
    note(f"{model}\n{model.plan}\nat={at!r} width={width} {init}")
    wider = WiderPass(at=at, width=width, init=init, shares=shares, seed=seed)
    try:
        result = morphir.transform(model, wider, example_inputs=(x,))
    except RefusalError as refusal:
        event(f"refused: {refusal.reason.split(chr(39))[0][:40]}")
        return
    event("proved")
    assert result.report.grade is Grade.PROVED
    assert result.module.get_submodule(at).out_features == width
    for training in (False, True):
        assert_same(model, result.module, x, training=training)


# -- refusals --------------------------------------------------------------------------------------


class Literal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.fc(x).reshape(-1, 2, 3).relu().reshape(-1, 6))


class Opaque(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.linalg.qr(self.fc(x), mode="complete")[0].mean(0) @ self.fc(x)[:5])


class Spare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.spare = nn.Linear(4, 3), nn.Linear(4, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def normed(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), norm, nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("model", "at", "width", "match", "suggestion"),
    [
        (mlp(), "0", 5, "'0' has 6 output features, more than width=5", "width=12"),
        (mlp(), "4", 5, "it is an axis of the output of 'forward'", ""),
        (mlp(), "1", 9, "'1' returns no axis that its own parameters have", "at='0'"),
        (mlp(), "7", 9, "there is no module '7'", "at='0'"),
        (Spare(), "spare", 9, "'spare' was called by no recorded entry point", ""),
        (Literal(), "fc", 12, "[0-9]+ does not follow: it is written in the code", ""),
        (Opaque(), "fc", 12, "linalg", ""),
        (normed(nn.LayerNorm(6)), "0", 9, "layer_norm wants every unit equally often", "width=12"),
        (normed(nn.RMSNorm(6)), "0", 9, "rms_norm wants every unit equally often", "width=18"),
        (NETS["gram"][0](), "features", 14, "copied and split at once", ""),
        (NETS["tied"][0](), "embedding", 6, "more than width=6", "width=14"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why_and_what_would_work(
    model: nn.Module, at: str, width: int, match: str, suggestion: str
):
    before = copy.deepcopy(model.state_dict())
    inputs = {type(NETS[n][0]()): NETS[n][1] for n in ("gram", "tied")}.get(type(model), X)
    with pytest.raises(RefusalError, match=match) as caught:
        morphir.transform(model, WiderPass(at=at, width=width), example_inputs=(inputs,))
    assert any(suggestion in each for each in caught.value.suggestions) or not suggestion
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_tied_embedding_and_head_contradict_one_another():
    make, x, _ = NETS["transformer"]
    with pytest.raises(RefusalError, match="copied and split at once") as caught:
        morphir.transform(make(), WiderPass(at="embedding", width=22), example_inputs=(x,))
    assert {*caught.value.nodes} == {"embedding", "head"}


def test_where_others_have_to_change_too_joint_is_suggested_and_works():
    with pytest.raises(RefusalError, match="parts of equal size") as caught:
        wide(Encoder(), "stem", SEQUENCE, width=16)
    assert caught.value.suggestions[-1] == "joint=True"
    result = wide(Encoder(), "stem", SEQUENCE, width=16, joint=True)
    assert result.module.layer.self_attn.num_heads == 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"width": 0},
        {"width": 2.0},
        {"width": True},
        {"width": 8, "heads": 2},
        {"heads": 0},
        {"width": 8, "init": "net2net"},
        {"width": 8, "shares": "random"},
        {"width": 8, "joint": 1},
        {"width": 8, "seed": 0.5},
        {"width": 8, "at": []},
        {"width": 8, "at": 3},
        {"width": 8, "init": "gradmax"},
        {"width": 8, "init": "gradmax", "data": (X,)},
        {"width": 8, "data": (X,)},
        {"width": 8, "loss": torch.sum},
    ],
    ids=lambda options: " ".join(options),
)
def test_options_that_no_model_could_fit_are_refused_at_once(options: dict[str, Any]):
    with pytest.raises(RefusalError, match="expected"):
        WiderPass(**{"at": "0", **options})


def test_a_pass_is_frozen_hashable_and_prints_as_it_was_typed():
    wider = WiderPass(at=["a", "b"], width=8, init="fresh")
    assert hash(wider) == hash(WiderPass(at=("a", "b"), width=8, init="fresh"))
    assert wider.describe() == "WiderPass(at=('a', 'b'), width=8, init='fresh')"
    on_data = WiderPass(at="a", width=8, init="gradmax", data=(X,), loss=F.mse_loss)
    assert on_data.describe() == "WiderPass(at='a', width=8, init='gradmax', data=..., loss=...)"
