"""PRUNE-1 to PRUNE-4: what goes, what it changes, and what is refused."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import DeeperPass, Grade, PruneDormantPass, RefusalError, VerificationError
from morphir.backend import resizing
from morphir.passes import constants
from tests.axes.attentions import Separate
from tests.passes.compactions import assert_same_state, place, silence, zero
from tests.passes.random_nets import Random, step
from tests.passes.test_wider import IMAGE, SEQUENCE, SITES, X
from tests.passes.widenings import Agent, Sequence, assert_same, mlp, wide


def pruned(model: nn.Module, *inputs: torch.Tensor, **options: Any) -> morphir.TransformResult:
    return morphir.transform(model, PruneDormantPass(**options), example_inputs=inputs)


def silent(dead: Any = (1, 4), threshold: float = -100.0) -> nn.Sequential:
    """A net with units that are off on any reasonable input, but not on every one."""
    torch.manual_seed(0)
    model = mlp(hidden=8)
    with torch.no_grad():
        model[0].bias[[*dead]] = threshold
    return model


# -- what provably does nothing --------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(step, max_size=6),
    silenced=st.lists(place, max_size=6),
    in_place=st.booleans(),
    seed=st.integers(0, 3),
)
def test_prune_1_on_random_nets(steps: Any, silenced: Any, in_place: bool, seed: int):
    """PRUNE-1: proved, and the same in both modes, in float64"""
    torch.manual_seed(seed)
    model = Random(steps, True).double()
    silence(model, silenced)
    note(f"{model} {model.plan}")
    before = copy.deepcopy(model)
    result = morphir.transform(
        model, PruneDormantPass(), example_inputs=(X.double(),), inplace=in_place
    )
    assert result.report.grade is Grade.PROVED
    assert (result.module is model) == in_place
    event(result.report.laws[-1])
    for training in (False, True):
        assert_same(before, result.module, X.double(), training=training)


def test_prune_1_named_units_only():
    model = mlp(hidden=8)
    zero(model[2].weight, slice(None), [1, 3, 5])
    result = pruned(model, X, at="0", units=[5, 1])
    assert "2 of 8 units of 0.weight removed: 1, 5 (PRUNE-1)" in str(result.report)
    assert torch.equal(result.module[0].weight, model[0].weight[[0, 2, 3, 4, 6, 7]])
    assert pruned(model, X, max_fraction=0.25).module[0].out_features == 6
    assert pruned(model, X, min_width=7).module[0].out_features == 7


def test_prune_1_through_flatten_and_padding():
    """PRUNE-1: a channel that is 0 is 0 behind zero padding too, and each of its pixels goes"""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1),
        nn.Flatten(), nn.Linear(3 * 36, 2),
    )  # fmt: skip
    zero(model[1].weight, 2)
    zero(model[1].bias, 2)
    zero(model[5].weight, slice(None), slice(36, 72))
    result = pruned(model, IMAGE)
    assert result.report.grade is Grade.PROVED
    assert (result.module[3].in_channels, result.module[5].in_features) == (3, 72)


def test_prune_1_within_a_box():
    """PRUNE-1: what no input of a box can wake is proved for these"""
    model = silent(threshold=-50.0)
    result = pruned(model, X, box=(-5.0, 5.0))
    assert result.report.grade is Grade.PROVED_ON_BOX
    assert result.module[0].out_features == 6
    assert "no unit that does nothing" in str(pruned(model, X, box=(-1e6, 1e6)).report)


def test_prune_1_in_every_entry_point():
    model = Agent()
    zero(model.actor.weight, slice(None), 1)
    given = {"example_inputs": (X,), "entry_points": ("act", "value")}
    with pytest.raises(RefusalError, match="unit 1 is not known to do nothing"):
        morphir.apply(model, PruneDormantPass(at="trunk.0", units=[1]), **given)
    zero(model.critic.weight, slice(None), 1)
    smaller = morphir.apply(model, PruneDormantPass(at="trunk.0", units=[1]), **given)
    assert smaller.trunk[0].out_features == 5


# -- on data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [5, 64])
def test_prune_2_the_bound_is_what_the_outputs_differ_by(rows: int):
    """PRUNE-2: measured in float64, and true in float32 but for rounding"""
    torch.manual_seed(1)
    model, data = mlp(hidden=8), torch.randn(rows, 4)
    result = pruned(model, X, at="0", data=(data,), threshold=0.6)
    assert result.report.grade is Grade.EMPIRICAL
    (check,) = (check for check in result.report.checks if check.name == "data")
    new, old = (copy.deepcopy(each).double()(data.double()) for each in (result.module, model))
    assert result.module[0].out_features < 8
    assert 0 < (new - old).abs().max() == check.figures["bound"]
    in_float32 = (result.module(data) - model(data)).abs().max()
    assert in_float32 <= check.figures["bound"] + 1e-6
    assert f"on {rows} rows" in check.summary


def test_prune_2_silence_is_not_a_proof():
    model = silent()
    result = pruned(model, X, data=(X,))
    assert result.report.grade is Grade.EMPIRICAL
    assert result.module[0].out_features <= 6
    assert "(PRUNE-2)" in str(result.report)
    with pytest.raises(VerificationError, match="EMPIRICAL, expected PROVED"):
        morphir.transform(
            model, PruneDormantPass(data=(X,)), example_inputs=(X,), min_grade=Grade.PROVED
        )


@pytest.mark.parametrize("mode", ["remove", "reseed"])
def test_prune_2_a_unit_that_is_silent_in_one_layer_of_a_stack_stays(mode: Any):
    """PRUNE-2: and one that is silent in all goes, and nothing moves"""
    model = Sequence(nn.RNN, num_layers=2, nonlinearity="relu")
    with torch.no_grad():
        model.rnn.bias_ih_l1[[1, 2]] = -50
        model.rnn.bias_ih_l0[[2, 3]] = -50
    options = {"at": "rnn", "data": (SEQUENCE,), "mode": mode}
    with pytest.raises(RefusalError, match=r"unit 1 is not known to do nothing: its score is \d"):
        pruned(model, SEQUENCE, units=[1], **options)
    result = pruned(model, SEQUENCE, **options)
    assert "1 of 6 units of rnn.weight_ih_l0" in str(result.report)
    assert result.module.rnn.hidden_size == (5 if mode == "remove" else 6)
    torch.testing.assert_close(result.module(SEQUENCE), model(SEQUENCE), rtol=1e-5, atol=1e-6)


def test_prune_2_the_most_dormant_go_first():
    torch.manual_seed(2)
    model = mlp(hidden=8)
    activity = model[:2](X).abs().mean(0)
    order = (activity / activity.mean()).argsort()
    result = pruned(model, X, at="0", data=(X,), threshold=100.0, max_fraction=0.5)
    kept = sorted(order[4:].tolist())
    assert torch.equal(result.module[0].weight, model[0].weight[kept])
    result = pruned(model, X, at="0", data=(X,), threshold=100.0, min_width=3)
    assert torch.equal(result.module[0].weight, model[0].weight[sorted(order[5:].tolist())])


def test_prune_3_units_start_anew():
    """PRUNE-3: random in, zero out, fresh moments; the others keep theirs"""
    model = silent()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model(X).square().sum().backward()
        optimizer.step()
    result = morphir.transform(
        model, PruneDormantPass(at="0", data=(X,), mode="reseed", seed=3), optimizer=optimizer,
        example_inputs=(X,),
    )  # fmt: skip
    assert result.report.grade is Grade.EMPIRICAL
    assert result.report.laws[-1] == "PRUNE-3"
    new = result.module
    weight, moments = new[0].weight, result.optimizer.state[new[0].weight]
    fresh = (new[0].weight != model[0].weight).any(1)
    assert fresh[[1, 4]].all()
    assert (new[2].weight[:, fresh] == 0).all()
    assert weight[fresh].std() > 0.01
    assert (moments["exp_avg"][fresh] == 0).all()
    assert (moments["exp_avg_sq"][fresh] == 0).all()
    old = optimizer.state[model[0].weight]
    assert torch.equal(moments["exp_avg_sq"][~fresh], old["exp_avg_sq"][~fresh])
    assert (result.optimizer.state[new[2].weight]["exp_avg"][:, fresh] == 0).all()
    again = pruned(model, X, at="0", data=(X,), mode="reseed", seed=3).module
    assert torch.equal(again[0].weight, weight)
    other = pruned(model, X, at="0", data=(X,), mode="reseed", seed=4).module
    assert not torch.equal(other[0].weight, weight)


@pytest.mark.parametrize("name", SITES)
def test_prune_1_fresh_units_can_be_taken_back(name: str):
    """PRUNE-1: widening by fresh units and pruning these gives the old weights, bit for bit"""
    make, x, at, options = SITES[name]
    model = make()
    grown = wide(model, at, x, init="fresh", **options).module
    result = pruned(grown, x)
    assert result.report.grade is Grade.PROVED
    assert_same_state(model, result.module)


def test_prune_behind_an_insertion():
    model = mlp(hidden=8)
    zero(model[2].weight, slice(None), [1, 3, 5])
    result = morphir.transform(
        model, [PruneDormantPass(), DeeperPass(at="1")], example_inputs=(X,)
    )  # fmt: skip
    assert result.report.grade is Grade.PROVED
    assert result.module.get_submodule("1_deeper1.layer").in_features == 5


# -- constants -------------------------------------------------------------------------------------


def constant(activation: type[nn.Module] = nn.Sigmoid, **options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), activation(), nn.Linear(6, 5, **options), nn.Linear(5, 2)
    )
    zero(model[0].weight, [2, 3])
    return model


def test_prune_4_a_constant_goes_into_the_bias():
    """PRUNE-4, BACK-14, RUN-6: in float64, rounded once; the report says how far that goes"""
    model = constant()
    result = pruned(model, X, fold=True)
    assert result.report.grade is Grade.TESTED
    assert "2 of 6 units of 0.weight removed: 2, 3 (PRUNE-4)" in str(result.report)
    c = torch.sigmoid(model[0].bias[[2, 3]].double())
    expected = model[2].bias.double() + model[2].weight[:, [2, 3]].double() @ c
    assert torch.equal(result.module[2].bias, expected.float())
    (check,) = (check for check in result.report.checks if check.name == "rounding")
    gap = (expected - expected.float()).abs().max().item()
    assert check.figures["rounding"] == pytest.approx(gap, rel=1e-6)
    assert 0 < check.figures["bound"] < 1e-7
    (run,) = (check for check in result.report.checks if check.name == "float64")
    assert run.grade is Grade.TESTED
    assert pruned(model, X).module[0].out_features == 6


def test_prune_4_through_convolutions_without_padding_and_batch_norm():
    """PRUNE-4: every tap reads the constant; in groups each reads its own"""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2),
    )  # fmt: skip
    for unit in (1, 4):
        zero(model[1].weight, unit)
    with torch.no_grad():
        model[1].bias[[1, 4]] = torch.tensor([0.3, 0.7])
    result = pruned(model, IMAGE, at="0", fold=True)
    assert result.report.grade is Grade.TESTED
    assert result.module[3].in_channels == 4
    for training in (False, True):
        both = [copy.deepcopy(each).train(training)(IMAGE) for each in (model, result.module)]
        torch.testing.assert_close(*both, rtol=0, atol=1e-5)


def test_prune_4_and_the_units_behind_in_one_edit():
    """PRUNE-4: the bias that takes over loses units itself"""
    model = constant()
    zero(model[3].weight, slice(None), 1)
    result = pruned(model, X, fold=True)
    assert [m.out_features for m in (result.module[0], result.module[2])] == [4, 4]
    assert_close(model, result.module)


def assert_close(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one(X), other(X), rtol=0, atol=1e-6)


def test_prune_4_in_place_and_undone(monkeypatch: Any):
    model = constant()
    kept = copy.deepcopy(model)
    monkeypatch.setattr("morphir.pipeline.check_emission", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        morphir.apply(
            model, PruneDormantPass(fold=True), example_inputs=(X,), inplace=True
        )  # fmt: skip
    assert_same_state(kept, model)
    monkeypatch.undo()
    result = morphir.transform(
        model, PruneDormantPass(fold=True), example_inputs=(X,), inplace=True
    )  # fmt: skip
    assert result.module is model
    assert model[0].out_features == 4
    assert_close(kept, model)
    again = morphir.replay(morphir.Lineage.from_json(result.lineage.to_json()), constant())
    assert_same_state(model, again)


class Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.sigmoid(self.a(x))
        return self.b(h) + (h * self.scale).sum(-1, keepdim=True)


def padded() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.Sigmoid(), nn.Conv2d(6, 4, 3, padding=1), nn.Flatten(),
        nn.Linear(64, 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "at", "x", "reason"),
    [
        (lambda: constant(bias=False), "0", X, r"the layer of '2.weight' has no bias that could"),
        (padded, "0", IMAGE, r"'2.weight' is a convolution whose padding is 0 where the unit is"),
        (Summed, "a", X, "sum has no bias that could take a constant over"),
    ],
)
def test_prune_4_refused_where_no_bias_can_take_it(make: Any, at: str, x: Any, reason: str):
    """PRUNE-4"""
    model = make()
    zero(model.get_submodule(at).weight, 3)
    before = copy.deepcopy(model)
    with pytest.raises(RefusalError, match=rf"unit 3 is a constant that can't be folded: {reason}"):
        morphir.apply(
            model, PruneDormantPass(at=at, units=[3], fold=True), example_inputs=(x,), inplace=True
        )
    assert_same_state(before, model)
    assert "no unit that does nothing" in str(pruned(model, x, fold=True).report)


def test_prune_4_a_shared_bias_is_refused():
    model = constant()
    model.append(nn.Linear(2, 5))
    model[4].bias = model[2].bias
    with pytest.raises(RefusalError, match=r"'2.bias' is also read by another linear"):
        pruned(model, X, at="0", units=[2], fold=True)


# -- bugs ------------------------------------------------------------------------------------------


def failed(model: nn.Module, **options: Any) -> str:
    with pytest.raises(VerificationError) as raised:
        pruned(model, X, **options)
    bad = (Grade.UNKNOWN, Grade.REFUTED)
    return ", ".join(check.name for check in raised.value.report.checks if check.grade in bad)


def test_the_wrong_unit_is_caught(monkeypatch: Any):
    """The backend keeps a unit that should go, and the other way round."""
    model = mlp(nn.Tanh, hidden=8)
    zero(model[2].weight, slice(None), 3)
    split = resizing.split

    def wrong(tensor: torch.Tensor, change: Any) -> Any:
        new, lost = split(tensor, change)
        return (new.flip(0) if new.shape == (7, 4) else new), lost

    monkeypatch.setattr(resizing, "split", wrong)
    assert failed(model) == "certificate, certificate (train), float64, native"


def test_a_constant_that_is_off_is_caught(monkeypatch: Any):
    """The bias is the rounded sum, so only the run sees that it is a sum of something else."""
    folds = constants.Constants.folds

    def wrong(self: Any, units: Any) -> Any:
        def off(number: float) -> float:
            return number * (1 + 1e-9)

        found = folds(self, units)
        return tuple(
            type(each)(each.weight, each.bias, tuple(map(off, each.constants))) for each in found
        )

    monkeypatch.setattr(constants.Constants, "folds", wrong)
    assert failed(constant(), fold=True) == "certificate, certificate (train), float64"


def test_a_bias_that_is_not_the_rounded_sum_is_caught(monkeypatch: Any):
    rounded = resizing._Resized._rounded

    def wrong(self: Any, old: torch.Tensor) -> torch.Tensor:
        new = rounded(self, old)
        return new.nextafter(torch.tensor(9.0)) if new.dim() == 1 else new

    monkeypatch.setattr(resizing._Resized, "_rounded", wrong)
    assert "rounding" in failed(constant(), fold=True)


def test_prune_1_of_channels_that_are_flattened_one_may_stay():
    """PRUNE-1, AXIS-11: a view can't tell a factor of 1 from none, but it had more of them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    with torch.no_grad():
        model[3].weight.view(5, 4, 16)[:, 1:] = 0
    for pass_ in (PruneDormantPass(at="0"), morphir.CompactPass()):
        result = morphir.transform(model, pass_, example_inputs=(torch.randn(2, 3, 6, 6),))
        assert result.report.grade is Grade.PROVED
        assert result.module[0].out_channels == 1


def test_prune_1_one_of_two_heads_goes():
    """PRUNE-1: the second head of an attention, whose outgoing columns are zero."""
    torch.manual_seed(0)
    model = Separate(heads=2)
    with torch.no_grad():
        model.mix.weight[:, 5:] = 0
    result = morphir.transform(model, PruneDormantPass(), example_inputs=(torch.randn(2, 4, 2),))
    assert result.report.grade is Grade.PROVED
    assert (result.module.heads, result.module.q.out_features) == (1, 5)
