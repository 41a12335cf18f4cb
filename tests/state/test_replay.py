"""What was done to one model is done to another."""

import json

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import morphir
from morphir.errors import RefusalError
from morphir.lineage import Lineage, lineage_of
from tests.specimens import Attributes, Conv, Net, fingerprint, train_a_little

GROWN = {
    Net: [
        morphir.DeeperPass(at="extractor.1"),
        morphir.DeeperPass(at="extractor.3", block="residual", seed=3),
        morphir.DeeperPass(at="extractor", block="parametric"),
        morphir.DeeperPass(at="head", block="residual", hidden=16),
    ],
    Attributes: [morphir.DeeperPass(at="act"), morphir.DeeperPass(at="act", block="residual")],
    Conv: [
        morphir.DeeperPass(at="conv1"),
        morphir.DeeperPass(at="conv2", block="residual", kernel_size=1),
    ],
}


def inputs(kind) -> torch.Tensor:
    return torch.randn(3, 2, 5, 5) if kind is Conv else torch.randn(3, 4)


def grow(model: nn.Module, **options) -> morphir.TransformResult:
    """Two applications, the second of which grows what the first inserted."""
    x = inputs(type(model))
    first = morphir.transform(model, GROWN[type(model)], example_inputs=(x,), **options)
    name = first.lineage.steps[0].name
    second = {**options, "optimizer": first.optimizer} if options else {}
    return morphir.transform(
        first.module, morphir.DeeperPass(at=name, block="residual"), example_inputs=(x,), **second
    )


@pytest.mark.parametrize("kind", GROWN)
def test_state_3_a_fresh_model_gets_the_same_structure_and_numbers(kind):
    """STATE-3"""
    result = grow(kind())
    fresh = kind()
    old = dict(fresh.named_parameters())
    again = morphir.replay(Lineage.from_json(result.lineage.to_json()), fresh)
    assert again is fresh
    assert str(again) == str(result.module)
    assert [*again.state_dict()] == [*result.module.state_dict()]
    assert [type(m).__name__ for m in again.modules()] == [
        type(m).__name__ for m in result.module.modules()
    ]
    for name, parameter in again.named_parameters():
        if name in old:
            assert parameter is old[name]
        else:
            assert torch.equal(parameter, result.module.get_parameter(name))
    again.load_state_dict(result.module.state_dict())
    x = inputs(kind)
    assert torch.equal(again.eval()(x), result.module.eval()(x))
    assert lineage_of(again) == result.lineage


@pytest.mark.parametrize("init", ["copy", "fresh"])
def test_state_3_a_change_of_sizes_is_replayed(init):
    """STATE-3: with the function kept, optimizer state carried over, and undone as a whole"""
    net, target, x = Net(), Net(), torch.randn(5, 4)
    optimizer = torch.optim.Adam(target.parameters())
    train_a_little(target, optimizer)
    before = target(x)
    passes = [
        morphir.WiderPass(at="extractor.0", width=12, init=init),
        morphir.DeeperPass(at="extractor.1"),
        morphir.WiderPass(at="extractor.0", width=15, init=init),
    ]
    result = morphir.transform(net, passes)
    morphir.replay(result.lineage, target, optimizer=optimizer)
    assert str(target) == str(result.module)
    assert torch.allclose(target(x), before, rtol=0, atol=1e-6)
    for parameter in target.extractor[0].parameters():
        assert optimizer.state[parameter]["exp_avg"].shape == parameter.shape
    train_a_little(target, optimizer)


def steps_with_removals(optimizer: torch.optim.Optimizer | None = None) -> Lineage:
    """Inserted, resized, removed, and inserted again."""
    options = {"block": "residual"}
    passes = [
        morphir.DeeperPass(at="extractor.1", **options),
        morphir.WiderPass(at="extractor.1_deeper1.first", width=11),
        morphir.ShallowerPass(),
        morphir.DeeperPass(at="extractor.3"),
        morphir.DeeperPass(at="extractor.1", **options),
    ]
    return morphir.transform(Net(), passes, optimizer=optimizer).lineage


def test_state_3_a_removal_is_replayed():
    """STATE-3"""
    lineage = steps_with_removals()
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    morphir.replay(lineage, net, optimizer=optimizer)
    assert [name for name in net.extractor._modules if "deeper" in name] == [
        "1_deeper1", "3_deeper1",
    ]  # fmt: skip
    assert net.get_submodule("extractor.1_deeper1").first.weight.shape == (8, 8)
    assert [*optimizer.param_groups[0]["params"]] == [*net.parameters()]
    train_a_little(net, optimizer)


@pytest.mark.parametrize("kept", range(1, 6))
def test_state_4_steps_are_taken_back_in_their_order(kept):
    """STATE-4: parameters that came and went are back at their places in the groups"""
    data = json.loads(steps_with_removals().to_json())
    wrong = {**data["steps"][0], "application": 9, "anchor": "nowhere", "name": "nowhere.x"}
    steps = [*data["steps"][:kept], wrong]
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    before = fingerprint(net, [optimizer])
    with pytest.raises(RefusalError):
        morphir.replay(
            Lineage.from_json(json.dumps({**data, "steps": steps})), net, optimizer=optimizer
        )
    assert fingerprint(net, [optimizer]) == before


def test_state_4_a_change_that_does_not_fit_takes_those_before_it_along():
    """STATE-4"""
    steps = morphir.transform(Net(), morphir.WiderPass(at="extractor.0", width=12)).lineage.steps
    data = json.loads(Lineage(steps).to_json())
    second = {**data["steps"][0], "changes": {**data["steps"][0]["changes"]}}
    data["steps"].append(second)  # of another size by now
    net = Net()
    before = fingerprint(net, [])
    with pytest.raises(RefusalError, match="a change of"):
        morphir.replay(Lineage.from_json(json.dumps(data)), net)
    assert fingerprint(net, []) == before


def test_state_3_a_target_network_follows_with_the_function_that_it_had():
    """STATE-3: and can be averaged with the online network again"""
    net, target = Net(), Net()
    x = torch.randn(5, 4)
    before = target(x)
    result = grow(net)
    morphir.replay(result.lineage, target)
    assert torch.equal(target(x), before)
    for online, slow in zip(result.module.parameters(), target.parameters(), strict=True):
        assert online.shape == slow.shape


def test_state_3_an_average_follows_in_place():
    """STATE-3"""
    net = Net()
    average = AveragedModel(net)
    result = morphir.transform(net, GROWN[Net], inplace=True)
    morphir.replay(result.lineage, average.module)
    average.update_parameters(net)
    assert all(map(torch.equal, average.module.parameters(), net.parameters()))


def test_state_3_a_model_that_has_the_first_steps_gets_the_rest():
    """STATE-3"""
    first = morphir.transform(Net(), morphir.DeeperPass(at="extractor.1"))
    follower = morphir.replay(first.lineage, Net())
    second = morphir.transform(first.module, morphir.DeeperPass(at="extractor.1_deeper1"))
    morphir.replay(second.lineage, follower)
    assert lineage_of(follower) == second.lineage
    assert [*follower.state_dict()] == [*second.module.state_dict()]
    before = fingerprint(follower)
    morphir.replay(second.lineage, follower)
    assert fingerprint(follower) == before


def test_state_21_a_model_with_other_numbers_follows_all_the_same(tmp_path):
    """STATE-21: a target network, and what was saved, after twelve events"""
    x = torch.randn(4, 4)
    net = morphir.apply(Net(), morphir.SparsifyPass(0.5), example_inputs=(x,))
    grow = [
        morphir.MaskGrowPass(count=1, score="random", init="random", seed=seed)
        for seed in range(12)
    ]
    early = morphir.transform(net, grow[:6], example_inputs=(x,))
    follower = morphir.replay(early.lineage, Net())
    late = morphir.transform(early.module, grow[6:], example_inputs=(x,))
    assert len(late.lineage.steps) == 2
    assert late.lineage != early.lineage
    seen = [(id(each), each.tolist()) for each in follower.state_dict(keep_vars=True).values()]
    morphir.replay(late.lineage, follower)
    assert [
        (id(each), each.tolist()) for each in follower.state_dict(keep_vars=True).values()
    ] == seen
    assert lineage_of(follower) == late.lineage
    wider = morphir.transform(
        late.module, morphir.WiderPass(at="extractor.0", width=12), example_inputs=(x,)
    )
    again = morphir.transform(wider.module, grow[0], example_inputs=(x,))
    morphir.replay(again.lineage, follower)
    assert [*follower.state_dict()] == [*again.module.state_dict()]
    assert [step.law for step in again.lineage.steps] == ["MASK-7", "MASK-8", "WIDER-1", "MASK-8"]
    morphir.save(again, tmp_path / "net")
    loaded = morphir.load(tmp_path / "net", Net)
    assert all(torch.equal(t, loaded.state_dict()[k]) for k, t in again.module.state_dict().items())
    assert lineage_of(loaded) == again.lineage
    with pytest.raises(RefusalError, match="not the beginning"):
        morphir.replay(early.lineage, loaded)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_state_3_new_layers_take_the_dtype_of_the_model(dtype):
    """STATE-3"""
    lineage = grow(Net()).lineage
    replica = morphir.replay(lineage, Net().to(dtype).eval())
    assert {p.dtype for p in replica.parameters()} == {dtype}
    assert not any(m.training for m in replica.modules())


def test_state_2_its_optimizer_takes_the_new_parameters():
    """STATE-2"""
    lineage = grow(Net()).lineage
    follower = Net()
    optimizer = torch.optim.Adam(follower.parameters())
    train_a_little(follower, optimizer)
    morphir.replay(lineage, follower, optimizer=optimizer)
    assert {*map(id, optimizer.param_groups[0]["params"])} == {*map(id, follower.parameters())}
    before = [p.detach().clone() for p in follower.parameters()]
    train_a_little(follower, optimizer, 2)
    assert not any(map(torch.equal, before, follower.parameters()))


def test_state_2_an_optimizer_that_hangs_on_the_model_takes_them_too():
    """STATE-2"""
    follower = Net()
    follower.optimizer = torch.optim.SGD(follower.parameters(), lr=0.1)
    morphir.replay(grow(Net()).lineage, follower)
    held = follower.optimizer.param_groups[0]["params"]
    assert {*map(id, held)} == {*map(id, follower.parameters())}


class Other(Net):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(2, 2)


def without_home() -> nn.Module:
    net = Net()
    net.extractor = nn.ModuleList([*net.extractor])
    return net


def foreign() -> nn.Module:
    return morphir.apply(Net(), morphir.DeeperPass(at="extractor.3"))


def taken() -> nn.Module:
    net = Net()
    net.extractor.append(nn.Identity())
    net.extractor._modules["1_deeper1"] = net.extractor._modules.pop("4")
    return net


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Net(16),
            "other names or shapes than those of the model that the lineage",
        ),
        (Attributes, r"this Attributes have other names or shapes(.|\n)*no 'extractor.0.weight'"),
        (Other, "other names or shapes"),
        (without_home, "needs an nn.Sequential with that child, found ModuleList"),
        (foreign, "a lineage of its own"),
        (taken, "already has a '1_deeper1'"),
        (lambda: Net().to("meta"), "on the meta device"),
        (lambda: [Net()], "expected a torch.nn.Module, found list"),
    ],
)
def test_state_4_what_does_not_fit_is_refused_and_nothing_changed(make, message):
    """STATE-4"""
    lineage = grow(Net()).lineage
    model = make()
    whole = model if isinstance(model, nn.Module) else model[0]
    optimizers = []
    if not any(p.is_meta for p in whole.parameters()):
        optimizers = [torch.optim.SGD(whole.parameters(), lr=0.1)]
    before = fingerprint(whole, optimizers) if optimizers else None
    with pytest.raises(RefusalError, match=message):
        morphir.replay(lineage, model, optimizer=optimizers or None)
    if optimizers:
        assert fingerprint(whole, optimizers) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gated"}, "can't be done: not the description of a block"),
        ({"activation": "linear"}, "'linear' is no activation"),
        ({"settings": {"no": 1}}, "can't be done: .*unexpected keyword argument 'no'"),
    ],
)
def test_state_4_a_later_step_that_fails_undoes_the_earlier_ones(changes, message):
    """STATE-4"""
    data = json.loads(grow(Net()).lineage.to_json())
    data["steps"][-1]["spec"].update(changes)
    follower = Net()
    optimizer = torch.optim.Adagrad(follower.parameters())
    before = fingerprint(follower, [optimizer])
    with pytest.raises(RefusalError, match=message):
        morphir.replay(Lineage.from_json(json.dumps(data)), follower, optimizer=optimizer)
    assert fingerprint(follower, [optimizer]) == before


def test_what_is_no_lineage_is_refused():
    with pytest.raises(RefusalError, match=r"expected a morphir.Lineage, found TransformResult"):
        morphir.replay(grow(Net()), Net())


def test_state_3_an_injection_is_replayed():
    """STATE-3: the same fresh numbers, on a model with others, in the places of its optimizer"""
    passes = [
        morphir.InjectPlasticityPass(at="extractor.2"),
        morphir.DeeperPass(at="extractor.3"),
        morphir.InjectPlasticityPass(at="extractor", seed=3),
    ]
    result = morphir.transform(Net(), passes)
    net, x = Net(), torch.randn(3, 4)
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    before = net(x)
    morphir.replay(result.lineage, net, optimizer=optimizer)
    assert str(net) == str(result.module)
    assert torch.equal(net(x), before)
    new, old = (m.get_submodule("extractor.injected1") for m in (net, result.module))
    assert all(torch.equal(a, b) for a, b in zip(new.parameters(), old.parameters(), strict=True))
    flags = [{n: p.requires_grad for n, p in m.named_parameters()} for m in (net, result.module)]
    assert flags[0] == flags[1]
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert {*held} == {id(p) for p in net.parameters() if p.requires_grad}
    train_a_little(net, optimizer)


@pytest.mark.parametrize(
    "change",
    [{"spec": {}}, {"anchor": "nowhere"}, {"freezes": ["nowhere"]}, {"heirs": {"a": "nowhere"}}],
)
def test_state_4_an_injection_that_does_not_fit_changes_nothing(change):
    """STATE-4"""
    result = morphir.transform(Net(), morphir.InjectPlasticityPass(at="extractor"))
    data = json.loads(result.lineage.to_json())
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    before = fingerprint(net, [optimizer])
    data["steps"][0] |= change
    with pytest.raises(RefusalError, match="can't be done"):
        morphir.replay(Lineage.from_json(json.dumps(data)), net, optimizer=optimizer)
    assert fingerprint(net, [optimizer]) == before


def test_state_4_another_structure_has_no_place_for_an_injection():
    """STATE-4"""
    result = morphir.transform(Net(), morphir.InjectPlasticityPass(at="extractor"))
    with pytest.raises(RefusalError, match="have other names or shapes"):
        morphir.replay(result.lineage, nn.Linear(4, 4))
