"""RESET-1: layers start anew as torch's constructors make them."""

import math

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade, RefusalError, ResetPass
from morphir.testing.preserving import used_optimizer
from morphir.testing.snapshots import difference, snapshot
from tests.passes.masked import assert_masked, masked, masks_of
from tests.passes.test_wider import X
from tests.passes.widenings import mlp

IMAGE = torch.randn(2, 4, 8, 8)
SERIES = torch.randn(2, 4, 8)
LAYERS = {
    "linear": (lambda: nn.Linear(60, 50), torch.randn(2, 60)),
    "conv1d": (lambda: nn.Conv1d(4, 60, 5), SERIES),
    "conv2d": (lambda: nn.Conv2d(4, 60, 3), IMAGE),
    "conv3d": (lambda: nn.Conv3d(4, 60, 2), torch.randn(2, 4, 3, 3, 3)),
    "groups": (lambda: nn.Conv2d(4, 80, 3, groups=2), IMAGE),
    "transposed": (lambda: nn.ConvTranspose2d(4, 60, 3), IMAGE),
}


def reset(model: nn.Module, *inputs: torch.Tensor, **options) -> morphir.TransformResult:
    result = morphir.transform(model, ResetPass(**options), example_inputs=inputs)
    assert result.report.grade is Grade.NOT_PRESERVING, result.report
    return result


class Biased(nn.Embedding):
    """Scores with what is added to them."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__(count, size)
        self.register_buffer("weight_mask", torch.triu(torch.full((count, size), -1e9), 1))

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.softmax(super().forward(indices) + self.weight_mask[0], -1)


@pytest.mark.parametrize("name", LAYERS)
def test_reset_1_layers_are_drawn_as_their_constructors_draw_them(name: str):
    """RESET-1: bounds and spread are those of torch's own `reset_parameters`"""
    make, x = LAYERS[name]
    layer = make()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(7)
    new = reset(layer, x).module
    twin = make()
    old = [each.detach() for each in twin.parameters()]
    bound = float(old[0].abs().max())  # of thousands of numbers
    for own, other in zip((each.detach() for each in new.parameters()), old, strict=True):
        assert float(own.abs().max()) <= bound * 1.02
        assert float(own.abs().max()) >= 0.9 * float(other.abs().max())
        assert float(own.std()) == pytest.approx(float(other.std()), rel=0.25)
        assert abs(float(own.mean())) < 0.3 * bound
    fan_in = nn.init._calculate_fan_in_and_fan_out(new.weight)[0]
    assert all(bool((each.abs() <= 1 / math.sqrt(fan_in)).all()) for each in new.parameters())


def moved(model: nn.Module) -> nn.Module:
    """The model with other numbers everywhere."""
    with torch.no_grad():
        for each in (*model.parameters(), *model.buffers()):
            each.add_(3)
    return model


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.BatchNorm1d(6), (4, 6)),
        (lambda: nn.BatchNorm2d(4), (2, 4, 3, 3)),
        (lambda: nn.LayerNorm(6), (4, 6)),
        (lambda: nn.RMSNorm(6), (4, 6)),
        (lambda: nn.GroupNorm(2, 6), (4, 6)),
        (lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True), (4, 3, 5)),
    ],
)
def test_reset_1_norms_begin_as_they_began(make, shape: tuple[int, ...]):
    """RESET-1: statistics and how many batches they have seen too"""
    layer = moved(make())
    new = reset(layer, torch.randn(shape)).module.state_dict()
    assert new.keys() == make().state_dict().keys()
    for name, fresh in make().state_dict().items():
        assert torch.equal(new[name], fresh), name


def test_reset_1_embeddings_are_normal_and_the_row_of_a_padding_stays_0():
    """RESET-1"""
    model = nn.Sequential(nn.Embedding(400, 10, padding_idx=3), nn.Linear(10, 2))
    with torch.no_grad():
        model[0].weight.mul_(50)
    new = reset(model, torch.arange(8)[None]).module[0].weight.detach()
    assert not new[3].any()
    others = new[[row for row in range(400) if row != 3]]
    assert bool((others != 0).all())
    assert float(others.std()) == pytest.approx(1, abs=0.05)
    assert float(others.mean()) == pytest.approx(0, abs=0.05)


def test_reset_1_of_layers_that_share_a_weight_the_first_one_says():
    """RESET-1: an embedding and the head that is tied to it"""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(300, 16), nn.Linear(16, 300)
            self.head.weight = self.embedding.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.embedding(x))

    for at in (None, "embedding", "head"):
        new = reset(moved(Tied()), torch.arange(6)[None], at=at).module
        assert new.head.weight is new.embedding.weight
        assert float(new.head.weight.detach().std()) == pytest.approx(1, abs=0.05)
        assert bool((new.head.bias.abs() <= 0.25).all()) is (at != "embedding")


class Heads(nn.Module):
    """Layers of which a part is read: columns of the first one, rows of the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(400, 50), nn.Linear(50, 300)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = nn.functional.linear(x, self.first.weight[:, 20:24], self.first.bias)
        weight, bias = self.last.weight[100:][:60], self.last.bias[100:160]
        return nn.functional.linear(h.relu(), weight, bias)


def test_reset_1_the_fan_in_of_a_layer_that_is_read_in_part_is_that_of_the_part():
    """RESET-1: 4 of 400 columns; of rows that are read each has all 50"""
    for at, fan_ins in {None: (4, 50), "first": (4, None), "last": (None, 50)}.items():
        old = moved(Heads())
        new = reset(old, X, at=at).module
        for name, fan_in in zip(("first", "last"), fan_ins, strict=True):
            weight, bias = (each.detach() for each in getattr(new, name).parameters())
            if fan_in is None:
                assert torch.equal(weight, getattr(old, name).weight)
                assert torch.equal(bias, getattr(old, name).bias)
                continue
            bound = 1 / math.sqrt(fan_in)
            assert 0.99 * bound < float(weight.abs().max()) <= bound
            assert 0.9 * bound < float(bias.abs().max()) <= bound
            assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_reset_1_what_a_mask_switches_off_stays_0():
    """RESET-1, MASK-1"""
    model = masked(mlp(hidden=20), 0.4)
    new = reset(model, X).module
    assert_masked(new)
    for name, mask in masks_of(model).items():
        assert torch.equal(masks_of(new)[name], mask)
        assert bool((new.get_parameter(name)[mask == 1] != 0).all())


@pytest.mark.parametrize("at", ["2", ["0", "4"], "*"])
def test_reset_1_only_what_is_named_is_drawn_and_forgotten(at):
    """RESET-1, KEPT-9, STATE-22"""
    model = mlp()
    optimizer = used_optimizer(model, 0)
    result = morphir.transform(model, ResetPass(at), optimizer=optimizer, example_inputs=(X,))
    named = {"0", "2", "4"} if at == "*" else {*at}
    assert result.report.check("carried").grade is Grade.TESTED
    for name, parameter in result.module.named_parameters():
        old, kept = model.get_parameter(name), result.optimizer.state[parameter]
        if name.partition(".")[0] in named:
            assert not torch.equal(parameter, old)
            assert kept == {}
        else:
            assert torch.equal(parameter, old)
            assert kept.keys() == {"step", "exp_avg", "exp_avg_sq"}
            assert all(torch.equal(v, optimizer.state[old][k]) for k, v in kept.items())
        assert optimizer.state[old]["step"] == 1, "the caller's own is left alone"


def test_reset_1_draws_derive_from_the_seed():
    """RESET-1"""
    model = mlp()
    first, again, other = (reset(model, X, seed=seed).module[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_reset_1_numbers_have_the_dtype_of_the_model(dtype: torch.dtype):
    model = mlp().to(dtype)
    new = reset(model, X.to(dtype)).module
    assert {each.dtype for each in new.parameters()} == {dtype}


def test_reset_1_what_it_drew_is_said():
    result = reset(mlp(), X, at="2")
    assert "2 tensors drawn anew: 2.weight, 2.bias" in str(result.report)
    assert result.report.check("drift").figures["bound"] > 0


class Raw(nn.Module):
    """A parameter that no layer explains."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * self.scale


@pytest.mark.parametrize(
    ("make", "x", "name"),
    [
        (Raw, X, "scale"),
        (lambda: nn.LSTM(4, 3), torch.randn(2, 3, 4), "weight_ih_l0"),
        (lambda: nn.Linear(4, 3, dtype=torch.complex64), X.cfloat(), "weight"),
    ],
)
def test_what_is_drawn_in_no_known_way_is_refused(make, x: torch.Tensor, name: str):
    with pytest.raises(RefusalError, match=f"how '{name}' is drawn is not known") as refused:
        morphir.apply(make(), ResetPass(), example_inputs=(x,))
    assert refused.value.nodes == (name,)
    assert "at=" in refused.value.suggestions[0]


def test_what_no_entry_point_reads_is_refused_and_may_be_left_out():
    agent = nn.ModuleDict({"net": mlp(), "target": mlp()})
    agent.forward = agent.net.forward
    with pytest.raises(RefusalError, match="no entry point reads it") as refused:
        morphir.apply(agent, ResetPass(), example_inputs=(X,), inplace=True)
    assert refused.value.nodes == ("target.0.weight",)
    with pytest.raises(RefusalError, match="nothing"):
        morphir.apply(agent, ResetPass("nothing"), example_inputs=(X,), inplace=True)
    old = agent.target[0].weight.clone()
    morphir.apply(agent, ResetPass("net"), example_inputs=(X,), inplace=True)
    assert torch.equal(agent.target[0].weight, old)


@pytest.mark.parametrize("options", [{"at": [3]}, {"at": []}, {"at": 3}, {"seed": 0.5}])
def test_options_that_fit_no_model_are_refused(options):
    with pytest.raises(RefusalError, match="expected"):
        ResetPass(**options)


def test_back_6_a_failure_leaves_everything_as_it_was():
    """BACK-6, STATE-13: state that was dropped is back, the very dictionary"""
    model = masked(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)))
    optimizer = used_optimizer(model, 0)
    before, state = snapshot(model, optimizer), dict(optimizer.state)
    with pytest.raises(morphir.VerificationError, match="NOT_PRESERVING"):
        morphir.transform(
            model, ResetPass(), optimizer=optimizer, example_inputs=(X,), inplace=True,
            min_grade=Grade.PROVED,
        )  # fmt: skip
    assert not difference(before, snapshot(model, optimizer))
    assert all(optimizer.state[p] is kept for p, kept in state.items())


def test_mask_1_a_buffer_by_the_name_of_a_mask_that_a_forward_reads_is_none():
    """MASK-1, KEPT-12"""
    model, i = nn.Sequential(Biased(6, 6), nn.Linear(6, 2)), torch.randint(0, 6, (7,))
    result = morphir.transform(model, ResetPass(at="0"), example_inputs=(i,))
    assert result.report.grade is Grade.NOT_PRESERVING
    assert torch.equal(result.module[0].weight_mask, model[0].weight_mask)
