"""MASK-7: what SparsifyPass keeps."""

import copy
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import Grade, RefusalError, SparsifyPass
from tests.passes.masked import assert_masked, masked, masks_of
from tests.passes.test_wider import IMAGE, X
from tests.passes.widenings import Images, Tied, mlp


def sparse(model: nn.Module, *inputs: torch.Tensor, **options) -> morphir.TransformResult:
    result = morphir.transform(model, SparsifyPass(**options), example_inputs=inputs)
    assert result.report.grade is Grade.NOT_PRESERVING, result.report
    assert_masked(result.module)
    return result


@pytest.mark.parametrize("distribution", ["erdos_renyi", "uniform"])
@pytest.mark.parametrize("keep", ["magnitude", "random"])
@pytest.mark.parametrize(("make", "x"), [(mlp, X), (Images, IMAGE), (Tied, X)])
def test_mask_7_all_but_the_floor_of_the_rest_are_kept(make, x, keep: str, distribution: str):
    """MASK-6, MASK-7"""
    model = make()
    result = sparse(model, x, density=0.3, keep=keep, distribution=distribution)
    masks, parameters = masks_of(result.module), dict(model.named_parameters())
    assert set(masks) == {n for n, p in parameters.items() if p.dim() > 1}
    total = sum(mask.numel() for mask in masks.values())
    assert 0.3 * total <= sum(int(mask.sum()) for mask in masks.values()) < 0.3 * total + len(masks)
    for name, mask in masks.items():
        numbers = parameters[name]
        if distribution == "uniform":
            assert int(mask.sum()) == mask.numel() - 7 * mask.numel() // 10
        assert torch.equal(result.module.get_parameter(name), numbers * mask)
        if keep == "magnitude" and 0 < mask.sum() < mask.numel():
            assert numbers.abs()[mask == 1].min() >= numbers.abs()[mask == 0].max()


def test_mask_7_random_ones_are_random_and_the_same_for_a_seed():
    """MASK-7"""
    model = mlp()
    first, again, other = (
        masks_of(sparse(model, X, density=0.5, keep="random", seed=seed).module)
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_mask_7_dense_ends_stay():
    """MASK-6, MASK-7"""
    found = masks_of(sparse(mlp(), X, density=0.8, dense_ends=True).module)
    assert found["0.weight"].all()
    assert found["4.weight"].all()
    assert not found["2.weight"].all()
    with pytest.raises(RefusalError, match="39 weights are in dense layers") as refused:
        sparse(mlp(), X, density=0.3, dense_ends=True)
    assert refused.value.nodes == ("0.weight", "4.weight")


def test_each_network_has_its_own_density():
    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor, self.critic = mlp(hidden=9), mlp(hidden=20)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.actor(x), self.critic(x)

    both = [SparsifyPass(0.5, at="actor"), SparsifyPass(0.25, at="critic")]
    model = Agent()
    result = morphir.transform(model, both, example_inputs=(X,))
    assert result.report.grade is Grade.NOT_PRESERVING
    for net, density in (("actor", 0.5), ("critic", 0.25)):
        masks = [mask for name, mask in masks_of(result.module).items() if name.startswith(net)]
        total = sum(prod(mask.shape) for mask in masks)
        used = sum(int(mask.sum()) for mask in masks)
        assert density * total <= used < density * total + 3
    given = {"example_inputs": (X,), "certificate": result.certificate, "checks": ("kept",)}
    assert morphir.verify(model, result.module, **given).check("kept").grade is Grade.TESTED
    result.module.critic[0].bias.data[0] += 1
    found = morphir.verify(model, result.module, **given).check("kept")
    assert (found.grade, found.where) == (Grade.REFUTED, "critic.0.bias")


def test_what_was_masked_and_is_kept_stays_zero():
    """MASK-7"""
    first = sparse(mlp(), X, density=0.5).module
    again = sparse(first, X, density=0.25)
    for name, mask in masks_of(again.module).items():
        assert not (again.module.get_parameter(name)[masks_of(first)[name] == 0]).any()
        assert mask.sum() <= masks_of(first)[name].sum()
    same = morphir.transform(first, SparsifyPass(1.0), example_inputs=(X,))
    assert same.report.grade is Grade.PROVED, "nothing but masks changed"
    assert all(mask.all() for mask in masks_of(same.module).values())


@settings(max_examples=30)
@given(
    count=st.dictionaries(
        st.sampled_from(["0.weight", "2.weight", "4.weight"]), st.integers(0, 15), min_size=1
    ),
    keep=st.sampled_from(["magnitude", "random"]),
    seed=st.integers(0, 99),
)
def test_mask_7_as_many_are_kept_as_are_named(count: dict[str, int], keep: str, seed: int):
    """MASK-7: the largest by a literal sort, and of layers that are not named all"""
    torch.manual_seed(seed)
    model = mlp()
    pass_ = SparsifyPass(count=count, keep=keep, seed=seed)
    found = masks_of(morphir.apply(model, pass_, example_inputs=(X,)))
    assert {*found} == {*count}
    for name, mask in found.items():
        assert int(mask.sum()) == count[name]
        weights = model.get_parameter(name).detach().flatten()
        sizes = [(-abs(float(w)), n) for n, w in enumerate(weights)]
        largest = {number for _, number in sorted(sizes)[: count[name]]}
        if keep == "magnitude":
            assert {*mask.flatten().nonzero().flatten().tolist()} == largest


@settings(max_examples=30)
@given(
    density=st.sampled_from([0.2, 0.5, 0.8]),
    keep=st.sampled_from(["magnitude", "random"]),
    seed=st.integers(0, 99),
    count=st.integers(0, 30),
)
def test_mask_7_what_is_in_use_is_kept_before_anything_else(
    density: float, keep: str, seed: int, count: int
):
    """MASK-7: also where what is in use is exactly 0, as weights are that have just grown"""
    model = masked(mlp(), density, seed)
    with torch.no_grad():
        model[2].weight[:, ::2] = 0
    used = model[2].weight_mask.clone()
    pass_ = SparsifyPass(count={"2.weight": count}, keep=keep, seed=seed)
    found = masks_of(morphir.apply(model, pass_, example_inputs=(X,)))
    now = found["2.weight"]
    assert int(now.sum()) == count
    if count <= int(used.sum()):
        assert bool((now <= used).all())
    else:
        assert bool((now >= used).all())
    assert torch.equal(found["0.weight"], masks_of(model)["0.weight"])


@pytest.mark.parametrize("keep", ["magnitude", "random"])
def test_mask_7_as_many_as_are_in_use_are_those_in_use(keep: str):
    """MASK-7"""
    model = masked(mlp(), 0.5)
    with torch.no_grad():
        model[2].weight.zero_()
    used = int(model[2].weight_mask.sum())
    result = morphir.transform(
        model, SparsifyPass(count={"2.weight": used}, keep=keep), example_inputs=(X,)
    )
    assert torch.equal(result.module[2].weight_mask, model[2].weight_mask)
    assert result.report.grade is Grade.PROVED, "nothing changed"


@pytest.mark.parametrize(
    ("options", "message", "node"),
    [
        ({"count": {"odd": 3}}, "3 weights of 'odd', which is no weight of these", "odd"),
        ({"count": {"0.bias": 3}}, r"of '0\.bias', which is no weight of these", "0.bias"),
        ({"count": {"0.weight": 25}}, r"25 weights of '0\.weight', which has 24", "0.weight"),
        (
            {"count": {"0.weight": 3}, "at": "2"},
            r"of '0\.weight', which is no weight of these",
            "0.weight",
        ),
    ],
)
def test_mask_7_counts_that_fit_no_layer_are_refused(options, message: str, node: str):
    with pytest.raises(RefusalError, match=message) as refused:
        morphir.apply(mlp(), SparsifyPass(**options), example_inputs=(X,))
    assert refused.value.nodes == (node,)
    assert refused.value.suggestions[0].startswith("count={")


def test_the_report_says_how_dense_each_layer_is_and_how_far_outputs_move():
    """RUN-10"""
    model = mlp()
    result = sparse(model, X, density=0.5)
    total = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    used = sum(int(mask.sum()) for mask in masks_of(result.module).values())
    assert f"{used} of {total} weights stay in use" in str(result.report)
    moved = (model.double()(X.double()) - result.module.double()(X.double())).abs().max()
    drift = result.report.check("drift")
    assert drift.figures["bound"] == pytest.approx(float(moved.detach()))
    assert f"no output differs by more than {moved:.2g}" in drift.summary


def test_in_place_it_is_all_or_nothing_and_the_optimizer_starts_anew_there(monkeypatch):
    """BACK-19, STATE-19"""
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    model(X).sum().backward()
    optimizer.step()
    before = copy.deepcopy(model.state_dict())
    moments = {p: copy.copy(state) for p, state in optimizer.state.items()}
    with pytest.raises(morphir.VerificationError, match="expected PROVED"):
        morphir.transform(
            model, SparsifyPass(0.5), optimizer=optimizer, example_inputs=(X,), inplace=True,
            min_grade=Grade.PROVED,
        )  # fmt: skip
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(
        tensor is moments[p][key] for p, s in optimizer.state.items() for key, tensor in s.items()
    )
    weight = model[2].weight
    morphir.apply(model, SparsifyPass(0.5), optimizer=optimizer, example_inputs=(X,), inplace=True)
    assert model[2].weight is weight
    mask = model[2].weight_mask
    for key in ("exp_avg", "exp_avg_sq"):
        now, was = optimizer.state[weight][key], moments[weight][key]
        assert not now[mask == 0].any()
        assert torch.equal(now[mask == 1], was[mask == 1])


@pytest.mark.parametrize(
    "options",
    [
        {"density": 0}, {"density": 1.5}, {"density": "0.5"},
        {"density": 0.5, "distribution": "er"}, {"density": 0.5, "at": [1]},
        {"density": 0.5, "keep": "largest"}, {"density": 0.5, "dense_ends": 1},
        {"density": 0.5, "seed": 0.5}, {}, {"count": {}}, {"count": 3}, {"count": {"a": -1}},
        {"count": {"a": 0.5}}, {"count": {"a": 1}, "density": 0.5},
        {"count": {"a": 1}, "dense_ends": True},
    ],
)  # fmt: skip
def test_options_that_fit_no_model_are_refused(options):
    with pytest.raises(RefusalError, match="expected"):
        SparsifyPass(**options)


def test_a_name_that_is_taken_is_refused():
    """BACK-19"""
    model = mlp()
    model[0].weight_mask = "mine"
    with pytest.raises(RefusalError, match=r"would be '0\.weight_mask', which is something else"):
        morphir.apply(model, SparsifyPass(0.5), example_inputs=(X,), inplace=True)
    assert model[0].weight_mask == "mine"
    assert "weight_mask" not in model[2]._buffers


@pytest.mark.parametrize(
    ("size", "density", "kept"), [(10, 0.9, 9), (100, 0.9, 90), (1000, 0.8, 800)]
)
def test_mask_7_the_floor_is_that_of_the_number_that_was_meant(size, density, kept):
    """MASK-7: (1 - 0.9) * 10 is a little less than 1"""
    model, x = nn.Sequential(nn.Linear(size, 1)), torch.rand(3, size)
    found = sparse(model, x, density=density, distribution="uniform")
    assert int(found.module[0].weight_mask.sum()) == kept


def test_mask_7_magnitudes_are_compared_as_they_are():
    model = nn.Sequential(nn.Linear(4, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(1 + 1e-9 * torch.arange(4).double())
    found = sparse(model, torch.rand(3, 4).double(), density=0.25)
    assert found.module[0].weight_mask.tolist() == [[0, 0, 0, 1]]


def test_tensors_that_cannot_be_written_to_are_refused_in_place():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(RefusalError, match="made in inference mode"):
        morphir.apply(model, SparsifyPass(0.5), example_inputs=(X,), inplace=True)


@pytest.mark.parametrize("inplace", [False, True])
def test_run_10_what_nobody_could_measure_is_refused(inplace: bool):
    """RUN-10"""
    model, pass_ = Two(), SparsifyPass(0.5)
    with pytest.raises(RefusalError, match=r"there are no inputs(.|\n)*example_inputs=\(x,\)"):
        morphir.transform(model, pass_, inplace=inplace)
    with pytest.raises(RefusalError, match=r"checks= leaves it out(.|\n)*'runs'"):
        morphir.transform(model, pass_, example_inputs=(X, X), checks=("certificate",))
    assert not morphir.Masks(model).masks
    result = morphir.transform(model, pass_, min_grade=Grade.UNKNOWN)
    assert result.report.grade is Grade.UNKNOWN


class Two(nn.Module):
    """What it takes can't be told from its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(torch.cat([x, y], 1))))
