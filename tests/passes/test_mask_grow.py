"""MASK-8, MASK-9: what MaskGrowPass brings into use."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import Grade, MaskGrowPass, RefusalError, SparsifyPass
from morphir.recordings import Traces
from tests.passes.masked import assert_masked, masked, masks_of
from tests.passes.test_wider import X
from tests.passes.widenings import assert_same, mlp


def with_gradients(model: nn.Module) -> nn.Module:
    model.zero_grad()
    model(X).square().sum().backward()
    return model


def grown(model: nn.Module, **options) -> morphir.TransformResult:
    result = morphir.transform(model, MaskGrowPass(**options), example_inputs=(X,))
    assert_masked(result.module)
    return result


def begun(old: nn.Module, new: nn.Module) -> dict[str, set[int]]:
    """The flat positions that begin to be used; none ceases to be."""
    found = {}
    for name, mask in masks_of(new).items():
        change = mask - masks_of(old)[name]
        assert change.min() >= 0
        found[name] = set(change.flatten().nonzero().flatten().tolist())
    return found


def largest(model: nn.Module, names: list[str], count: int) -> dict[str, set[int]]:
    """The brute force: sort every unused weight by its gradient, and take the first."""
    ranked = [
        (-float(gradient.abs()), order, name, position)
        for order, name in enumerate(names)
        for position, gradient in enumerate(model.get_parameter(name).grad.flatten())
        if masks_of(model)[name].flatten()[position] == 0
    ]
    found: dict[str, set[int]] = {name: set() for name in names}
    for _, _, name, position in sorted(ranked)[:count]:
        found[name].add(position)
    return found


@settings(max_examples=25)
@given(st.integers(0, 60), st.floats(0.1, 0.9), st.integers(0, 5))
def test_mask_8_the_largest_gradients_of_all_layers_are_chosen(
    count: int, density: float, seed: int
):
    """MASK-8, MASK-9"""
    model = with_gradients(masked(mlp(), density, seed))
    result = grown(model, count=count)
    names = [*masks_of(model)]
    assert begun(model, result.module) == largest(model, names, count)
    assert result.report.grade is Grade.PROVED
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, result.module.get_parameter(name))


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_mask_8_the_largest_of_each_layer_are_chosen(fraction: float):
    """MASK-8"""
    model = with_gradients(masked(mlp(), 0.3))
    found = begun(model, grown(model, fraction=fraction).module)
    for name, mask in masks_of(model).items():
        count = int(fraction * int((mask == 0).sum()))
        assert found[name] == largest(model, [name], count)[name]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_mask_8_the_largest_are_chosen_in_every_dtype(dtype: torch.dtype):
    """MASK-8: in half precision many are equal"""
    model = masked(mlp().to(dtype), 0.3)
    model(X.to(dtype)).square().sum().backward()
    grow = MaskGrowPass(count=17)
    result = morphir.transform(model, grow, example_inputs=(X.to(dtype),), checks=("certificate",))
    assert begun(model, result.module) == largest(model, [*masks_of(model)], 17)
    assert result.report.grade is Grade.PROVED


def test_mask_8_of_complex_weights_those_with_the_largest_gradients_in_size():
    """MASK-8"""
    layers = [nn.Linear(4, 6, dtype=torch.complex64), nn.Linear(6, 2, dtype=torch.complex64)]
    x = torch.randn(5, 4, dtype=torch.complex64)
    sparse = SparsifyPass(density=0.3)
    model = morphir.apply(nn.Sequential(*layers), sparse, example_inputs=(x,))
    model(x).abs().square().sum().backward()
    result = morphir.transform(model, MaskGrowPass(count=9), example_inputs=(x,))
    gained = {
        (name, place)
        for name, mask in masks_of(result.module).items()
        for place in (mask - masks_of(model)[name]).real.flatten().nonzero().flatten().tolist()
    }
    sizes = {
        (name, place): float(size)
        for name, mask in masks_of(model).items()
        for place, size in enumerate(model.get_parameter(name).grad.abs().flatten())
        if mask.flatten()[place] == 0
    }
    assert gained == {*sorted(sizes, key=sizes.__getitem__)[-9:]}


def test_mask_8_counts_by_name_and_no_more_than_there_are():
    """MASK-8"""
    model = with_gradients(masked(mlp(), 0.5))
    found = begun(model, grown(model, count={"2.weight": 3, "4.weight": 1000}).module)
    unused = int((model[4].weight_mask == 0).sum())
    assert {name: len(each) for name, each in found.items()} == {
        "0.weight": 0, "2.weight": 3, "4.weight": unused,
    }  # fmt: skip
    with pytest.raises(RefusalError, match=r"names 'odd', which is no masked weight"):
        grown(model, count={"odd": 3})
    assert begun(model, grown(model, at="2", count=10_000).module)["0.weight"] == set()


def test_mask_8_the_gradient_may_be_that_of_a_loss_on_data():
    """MASK-8"""
    model = masked(mlp(), 0.4)
    y = torch.randn(5, 3)

    def loss(output: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(output, y)

    found = begun(model, grown(model, count=7, data=(X,), loss=loss).module)
    loss(model(X)).backward()
    assert found == largest(model, [*masks_of(model)], 7)


def test_mask_8_random_ones_depend_on_the_seed_and_not_on_gradients():
    """MASK-8"""
    model = masked(mlp(), 0.4)
    first, again, other = (
        begun(model, grown(model, count=9, score="random", seed=seed).module) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert sum(map(len, first.values())) == 9


def test_mask_8_equal_scores_come_in_the_order_of_the_model():
    """MASK-8"""
    model = masked(mlp(), 0.4)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    found = begun(model, grown(model, count=4).module)
    unused = (model[0].weight_mask.flatten() == 0).nonzero().flatten().tolist()
    assert found["0.weight"] == set(unused[:4])


def test_mask_9_random_numbers_are_within_the_clip_and_change_the_function():
    """MASK-9, RUN-10"""
    model = with_gradients(masked(mlp(), 0.4))
    result = grown(model, count=20, init="random", clip=0.5)
    assert result.report.grade is Grade.NOT_PRESERVING
    assert result.report.check("drift").figures["bound"] > 0
    sizes = []
    for name, positions in begun(model, result.module).items():
        old, new = (each.get_parameter(name).detach() for each in (model, result.module))
        for position, (a, b) in enumerate(zip(old.flatten(), new.flatten(), strict=True)):
            if position in positions:
                sizes.append(float(b.abs()) * math.sqrt(old.shape[1]) / 0.5)
            else:
                assert torch.equal(a, b)
    assert len(sizes) == 20
    assert 0 < min(sizes) <= max(sizes) <= 1
    assert max(sizes) > 0.7


def test_a_life_of_sparsifying_training_growing_and_saving(tmp_path):
    """MASK-1, MASK-5, STATE-3, STATE-19: as an agent lives it"""
    model = morphir.apply(mlp(hidden=12), SparsifyPass(0.25), example_inputs=(X,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(4):
        masks = morphir.Masks(model)
        for _ in range(3):
            optimizer.zero_grad()
            model(X).square().sum().backward()
            masks.mask_gradients()
            optimizer.step()
            masks.mask_parameters()
        with_gradients(model)
        before, old = copy.deepcopy(model), masks_of(copy.deepcopy(model))
        result = morphir.transform(
            model, MaskGrowPass(fraction=0.2), optimizer=optimizer, example_inputs=(X,),
            inplace=True,
        )  # fmt: skip
        assert result.report.grade is Grade.PROVED
        assert_same(before, model, X)
        for name, mask in masks_of(model).items():
            new = mask != old[name]
            state = optimizer.state[model.get_parameter(name)]
            assert not state["exp_avg"][new].any()
            assert not state["exp_avg_sq"][new].any()
    assert [step.law for step in result.lineage.steps] == ["MASK-7", "MASK-8"]
    morphir.save(result, tmp_path / "model", optimizer=optimizer)
    loaded = morphir.load(tmp_path / "model", lambda: mlp(hidden=12))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(t, loaded.state_dict()[n]) for n, t in model.state_dict().items())
    replica = morphir.replay(result.lineage, mlp(hidden=12))
    assert all(mask.all() for mask in masks_of(replica).values()), "which are in use is not known"


def test_without_a_gradient_or_a_mask_it_is_refused():
    model = masked(mlp(), 0.4)
    with pytest.raises(RefusalError, match=r"'0\.weight' has no gradient") as refused:
        grown(model, count=3)
    assert "score='random'" in refused.value.suggestions
    for number in (torch.nan, torch.inf, -torch.inf):
        with_gradients(model)[0].weight.grad[0, 0] = number
        with pytest.raises(RefusalError, match="a gradient that is not finite"):
            grown(model, count=3)
    with pytest.raises(RefusalError, match="none of these weights has a mask") as refused:
        morphir.apply(mlp(), MaskGrowPass(count=3), example_inputs=(X,))
    assert "SparsifyPass" in refused.value.suggestions[0]


def test_nothing_to_do_is_said():
    model = with_gradients(masked(mlp(), 1.0))
    assert "nothing begins to be used" in str(grown(model, count=3).report)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"count": 1, "fraction": 0.5}, {"count": -1}, {"count": 1.5}, {"count": {"a": -1}},
        {"fraction": 2}, {"count": 1, "score": "size"}, {"count": 1, "init": "one"},
        {"count": 1, "clip": 0}, {"count": 1, "loss": len}, {"count": 1, "data": (X,)},
        {"count": 1, "data": (X,), "loss": len, "score": "random"}, {"count": 1, "seed": "a"},
        {"count": 1, "at": [3]},
    ],
)  # fmt: skip
def test_options_that_fit_no_model_are_refused(options):
    with pytest.raises(RefusalError, match="expected"):
        MaskGrowPass(**options)


class Looking(nn.Module):
    """A model in which Python looks at a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.a(x))
        return self.b(h) if self.a.weight.sum() > 100 else self.b(h * 2)


@pytest.mark.parametrize("make", [mlp, Looking])
def test_mask_10_a_model_is_recorded_again_only_where_python_saw_numbers(make, monkeypatch):
    """MASK-10"""
    model = with_gradients(masked(make(), 0.5))
    recorded = []
    of = Traces.of.__func__
    monkeypatch.setattr(
        Traces, "of", classmethod(lambda *given: recorded.append(given) or of(*given))
    )
    result = grown(model, count=5, init="random", seed=3)
    assert len(recorded) == (1 if make is mlp else 2)
    result = grown(model, count=5)
    assert result.report.grade is Grade.PROVED
    after = morphir.trace(result.module, example_inputs=(X,))
    assert result.certificate.after == after.hash
    assert_same(model, result.module, X)


def test_mask_8_gradients_that_were_masked_before_say_nothing_and_the_report_says_so():
    model = masked(mlp())
    model(X).square().sum().backward()
    grow = morphir.MaskGrowPass(count={"0.weight": 3})
    told = morphir.transform(model, grow, example_inputs=(X,)).report
    assert "are all 0" not in str(told)
    morphir.Masks(model).mask_gradients()
    told = morphir.transform(model, grow, example_inputs=(X,)).report
    assert "0.weight: their gradients are all 0" in str(told)
    assert "Masks.mask_gradients() comes after growing" in str(told)


def test_mask_8_frozen_weights_are_left_out_unless_nothing_is_trained():
    model = masked(mlp())
    model[2].requires_grad_(False)
    result = grown(model, count=10, score="random")
    assert torch.equal(result.module[2].weight_mask, model[2].weight_mask)
    result = grown(model.requires_grad_(False), count=10, score="random")
    assert not torch.equal(result.module[2].weight_mask, model[2].weight_mask)
