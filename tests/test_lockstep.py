"""LOCK-1 and LOCK-2: several models change alike, or none does."""

import copy

import pytest
import torch
from torch import nn

import morphir
from morphir import (
    DeeperPass,
    PruneDormantPass,
    RecycleDormantPass,
    RefusalError,
    SparsifyPass,
    VerificationError,
    WiderPass,
)
from morphir.ir import Grade
from tests.specimens import Net, fingerprint, train_a_little

PASSES = [WiderPass(at="extractor.0", width=12), DeeperPass(at="extractor.1", block="residual")]


@pytest.mark.parametrize("inplace", [False, True])
def test_lock_1_models_get_the_same_changes(inplace):
    online, target = Net(), Net()
    optimizer = torch.optim.Adam(online.parameters())
    train_a_little(online, optimizer)
    x = torch.randn(5, 4)
    wanted = [online(x), target(x)]
    results = morphir.transform(
        [online, target], PASSES, optimizer=optimizer, example_inputs=(x,), inplace=inplace
    )
    assert [result.report.grade for result in results] == [Grade.PROVED] * 2
    for result, old, y in zip(results, (online, target), wanted, strict=True):
        assert (result.module is old) == inplace
        assert torch.allclose(result.module(x), y, rtol=0, atol=1e-6)
    first, second = (result.lineage.steps for result in results)
    assert [step.spec for step in first] == [step.spec for step in second]
    assert first[0].changes == second[0].changes
    assert results[1].optimizer is None
    assert (results[0].optimizer is optimizer) == inplace
    train_a_little(results[0].module, results[0].optimizer)
    for one, other in zip(*(result.module.parameters() for result in results), strict=True):
        assert one.shape == other.shape


def test_lock_1_apply_returns_the_models_in_order():
    nets = [Net(), Net(), Net()]
    x = torch.randn(5, 4)
    grown = morphir.apply(nets, PASSES, example_inputs=(x,))
    for old, new in zip(nets, grown, strict=True):
        assert torch.allclose(new(x), old(x), rtol=0, atol=1e-6)


def test_lock_1_all_or_nothing_in_place(monkeypatch):
    """The second model fails its checks: the first is as it was."""
    nets = [Net(), Net()]
    optimizers = [torch.optim.Adam(net.parameters()) for net in nets]
    for net, optimizer in zip(nets, optimizers, strict=True):
        train_a_little(net, optimizer)
    before = [fingerprint(net, [o]) for net, o in zip(nets, optimizers, strict=True)]
    real = morphir.pipeline.Application.run
    runs = []

    def run(self, *arguments):
        runs.append(self)
        if len(runs) == 4:
            raise VerificationError("planted")
        return real(self, *arguments)

    monkeypatch.setattr(morphir.pipeline.Application, "run", run)
    with pytest.raises(VerificationError, match="planted"):
        morphir.transform(nets, PASSES, optimizer=optimizers, inplace=True)
    assert [fingerprint(net, [o]) for net, o in zip(nets, optimizers, strict=True)] == before


@pytest.mark.parametrize("dead_in", [0, 1])
def test_lock_1_what_is_decided_by_numbers_has_to_be_the_same(dead_in: int):
    """A unit is dead in one model only: which model would change is said, and how."""
    nets = [nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)) for _ in range(2)]
    with torch.no_grad():
        nets[dead_in][2].weight[:, 3] = 0
    before = [fingerprint(net, []) for net in nets]
    with pytest.raises(RefusalError) as error:
        morphir.transform(nets, PruneDormantPass(at="0"), inplace=True)
    assert error.value.reason == (
        f"model {dead_in} would change and model {1 - dead_in} would not: "
        "0: 6 to 5 units in 3 tensors (PRUNE-1), of units 3 in 0.weight, 0.bias, 2.weight"
    )
    assert "replay" in error.value.suggestions[0]
    assert [fingerprint(net, []) for net in nets] == before


def silent(*units: int) -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        net[0].weight.abs_()
        net[0].bias.fill_(1)
        net[0].bias[[*units]] = -100
    return net


def test_lock_1_units_that_start_anew_have_to_be_the_same():
    """LOCK-1: those of one model are others, or there are none"""
    x = torch.rand(8, 4)
    recycle = RecycleDormantPass((x,), threshold=0.0)
    for nets in ([silent(1), silent(2)], [silent(1), silent()]):
        before = [fingerprint(net, []) for net in nets]
        with pytest.raises(RefusalError, match="would change"):
            morphir.transform(nets, recycle, example_inputs=(x,), inplace=True)
        assert [fingerprint(net, []) for net in nets] == before
    one, other = morphir.apply([silent(1), silent(1)], recycle, example_inputs=(x,))
    assert torch.equal(one[0].weight[1] == 0, other[0].weight[1] == 0)


def test_lock_2_numbers_are_no_past():
    """LOCK-2, STATE-21: a target network need not have had the units that started anew"""
    x = torch.rand(8, 4)
    online = morphir.apply(silent(1), RecycleDormantPass((x,), threshold=0.0), example_inputs=(x,))
    nets = morphir.apply([online, silent()], WiderPass(at="0", width=9), example_inputs=(x,))
    assert [net[0].out_features for net in nets] == [9, 9]


@pytest.mark.parametrize("changed", [0, 1])
def test_lock_2_models_of_another_past_are_refused(changed: int):
    """LOCK-2: also where their structure is the same by now"""
    nets = [Net(), Net()]
    nets[changed] = morphir.apply(nets[changed], WiderPass(at="extractor.0", width=12))
    nets[1 - changed].extractor = copy.deepcopy(nets[changed].extractor)
    with pytest.raises(RefusalError) as error:
        morphir.transform(nets, PASSES[1])
    assert error.value.reason == (
        f"models 0 and 1 have another past: model {changed} went through extractor.0: 8 to 12 "
        f"units in 3 tensors (WIDER-1), and model {1 - changed} did not"
    )


def test_lock_1_what_differs_is_named_where_the_sizes_are_the_same():
    """Two other units are dead in each model."""
    one, other = (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)) for _ in range(2))
    with torch.no_grad():
        one[2].weight[:, [1, 2]] = 0
        other[2].weight[:, [1, 3]] = 0
    with pytest.raises(RefusalError, match="of units 1, 2 in one and 1, 3 in the other"):
        morphir.transform([one, other], PruneDormantPass(at="0"))


def shared_optimizer():
    nets = [Net(), Net()]
    return nets, torch.optim.Adam([p for net in nets for p in net.parameters()])


NET = Net()


@pytest.mark.parametrize(
    ("models", "optimizer", "message"),
    [
        ([], None, "an empty list"),
        ([NET, NET], None, "listed twice"),
        ([Net(), Net(9)], None, "extractor.0.weight is .8, 4. in one and .9, 4. in the other"),
        ([Net(), nn.Linear(4, 2)], None, "the model itself is Net in one and Linear"),
        ([Net(), "net"], None, "nn.Module"),
        ([Net(), Net()], torch.optim.Adam(Net().parameters()), "holds no parameter of any"),
        (*shared_optimizer(), "holds parameters of models 0 and 1"),
    ],
)
def test_lock_2_what_does_not_go_together_is_refused(models, optimizer, message):
    with pytest.raises(RefusalError, match=message):
        morphir.transform(models, PASSES, optimizer=optimizer)


def test_lock_1_one_optimizer_over_two_models_in_place():
    nets, optimizer = shared_optimizer()
    results = morphir.transform(nets, PASSES, optimizer=optimizer, inplace=True)
    assert all(result.optimizer is optimizer for result in results)
    for net in nets:
        train_a_little(net, optimizer)


def test_lock_1_an_injection_has_the_same_draws():
    """LOCK-1: the target is frozen, and of the same fresh numbers"""
    online, target = Net(), Net().requires_grad_(False)
    pass_ = morphir.InjectPlasticityPass(at="extractor")
    one, other = morphir.transform([online, target], pass_)
    first, second = (each.module.get_submodule("extractor.injected1") for each in (one, other))
    same = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert all(parameter.requires_grad for parameter in first.fresh.parameters())
    assert not any(parameter.requires_grad for parameter in second.parameters())


@pytest.mark.parametrize("inplace", [False, True])
def test_lock_1_masks_have_to_be_the_same(inplace: bool):
    online, target = Net(), Net()
    before = [fingerprint(net, []) for net in (online, target)]
    with pytest.raises(RefusalError, match="models 0 and 1 would have different masks"):
        morphir.transform([online, target], SparsifyPass(density=0.3), inplace=inplace)
    assert [fingerprint(net, []) for net in (online, target)] == before
    pass_ = SparsifyPass(density=0.3, keep="random")
    one, other = (each.module for each in morphir.transform([online, target], pass_))
    first, second = (morphir.Masks(each).masks for each in (one, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    deeper = morphir.transform([one, other], PASSES[1])  # no masks change
    assert [each.report.grade for each in deeper] == [Grade.PROVED] * 2


def test_a_refusal_says_which_model_it_is_about():
    x = torch.ones(3, 4)
    pass_ = SparsifyPass(density=0.3, keep="random")
    online, target = morphir.apply([Net(), Net()], pass_, example_inputs=(x,))
    online(x).sum().backward()
    with pytest.raises(RefusalError, match=r"model 1 of the list: '.*' has no gradient"):
        morphir.transform([online, target], morphir.MaskGrowPass(count=2), inplace=True)


def test_lock_2_a_model_that_was_injected_is_no_twin_of_one_that_was_not():
    """LOCK-2"""
    pass_ = morphir.InjectPlasticityPass(at="extractor")
    with pytest.raises(RefusalError, match="are not of one structure"):
        morphir.apply([morphir.apply(Net(), pass_), Net()], pass_)
