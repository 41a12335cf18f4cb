"""Edits touch nothing that they do not name, and come out again."""

import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

from morphir.backend.surgery import Surgery
from morphir.blocks import BlockSpec
from morphir.errors import RefusalError
from morphir.ir import Insertion, Removal
from morphir.ops import DEFAULT_TABLE
from tests.specimens import Attributes, Net, fingerprint


def block(features: int = 8, *, trained: bool = False) -> nn.Module:
    """A block; a trained one is no identity any more, so a test sees whether it runs."""
    spec = BlockSpec("identity", features, (), True, "relu")
    module = spec.build(torch.empty(0), DEFAULT_TABLE)
    if trained:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.randn_like(parameter)
    return module


def insertion(anchor: str, name: str, *, inside: bool, module: nn.Module | None = None):
    return Insertion(anchor, name, module or block(), "DEEPER-1", {}, (), inside)


def neighbour(module: nn.Module | None = None) -> Insertion:
    return insertion("extractor.1", "extractor.1_deeper1", inside=False, module=module)


def guest(module: nn.Module | None = None) -> Insertion:
    return insertion("act", "act.act_deeper1", inside=True, module=module)


@pytest.mark.parametrize(("kind", "edit"), [(Net, neighbour), (Attributes, guest)])
def test_back_1_what_is_not_named_stays_as_it_was(kind, edit):
    """BACK-1"""
    net = kind().train()
    net.get_submodule("head" if kind is Net else "fc2").eval()
    parameters = dict(net.named_parameters())
    next(iter(parameters.values())).requires_grad_(False)
    modules = dict(net.named_modules())
    keys = [*net.state_dict()]
    flags = {name: module.training for name, module in modules.items()}
    Surgery(net).apply([edit()])
    assert [key for key in net.state_dict() if "_deeper" not in key] == keys
    assert len(net.state_dict()) == len(keys) + 2
    after = dict(net.named_modules())
    assert all(after[name] is module for name, module in modules.items())
    assert {name: after[name].training for name in flags} == flags
    new = dict(net.named_parameters())
    assert all(new[name] is parameter for name, parameter in parameters.items())
    assert [p.requires_grad for p in parameters.values()].count(False) == 1


@pytest.mark.parametrize(("kind", "edit"), [(Net, neighbour), (Attributes, guest)])
def test_the_new_layer_runs_once_on_the_output_of_its_anchor(kind, edit):
    net, x = kind(), torch.randn(5, 4)
    module = block(trained=True)
    name = "extractor.1" if kind is Net else "act"
    seen = {}
    net.get_submodule(name).register_forward_hook(lambda m, a, out: seen.update(last=out))
    net(x)
    before = seen["last"]
    runs = []
    module.register_forward_hook(lambda m, a, out: runs.append((a[0], out)))
    Surgery(net).apply([edit(module)])
    y = net(x)
    ((given, returned),) = runs
    assert torch.equal(given, before)
    assert not torch.equal(given, returned)
    rest = net.extractor[3:] if kind is Net else None
    expected = net.head(rest(returned)) if kind is Net else net.fc2(returned)
    assert torch.equal(y, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_new_layer_takes_the_training_flag_of_its_anchor(training):
    net = Net().train(not training)
    net.extractor[1].train(training)
    Surgery(net).apply([neighbour()])
    assert [m.training for m in net.extractor[2].modules()] == [training] * 3


@pytest.mark.parametrize(
    ("kind", "edits"),
    [
        (Net, lambda: [neighbour()]),
        (Attributes, lambda: [guest()]),
        (
            Net,
            lambda: [
                neighbour(),
                insertion("extractor.1", "extractor.1_deeper2", inside=False),
                insertion("extractor.1_deeper1", "extractor.1_deeper1_deeper1", inside=False),
                insertion("extractor", "extractor.extractor_deeper1", inside=True),
                insertion("head", "head.head_deeper1", inside=True, module=block(3)),
            ],
        ),
        (
            Attributes,
            lambda: [
                guest(),
                insertion("act", "act.act_deeper2", inside=True),
                insertion("act.act_deeper1", "act.act_deeper1.act_deeper1_deeper1", inside=True),
                insertion("act.act_deeper1.layer", "act.act_deeper1.layer_deeper1", inside=False),
            ],
        ),
    ],
)
def test_back_4_undo_restores_everything(kind, edits):
    """BACK-4: classes, keys, order and attributes"""
    net = kind()
    before = fingerprint(net)
    surgery = Surgery(net)
    surgery.apply(edits())
    assert fingerprint(net) != before
    surgery.undo()
    assert fingerprint(net) == before


@pytest.mark.parametrize(("kind", "edit"), [(Net, neighbour), (Attributes, guest)])
def test_back_18_what_was_inserted_is_taken_out_as_if_it_had_never_been(kind, edit):
    """BACK-18, BACK-4: and undo puts the very module back, at its place"""
    net = kind()
    before = fingerprint(net)
    inserted = edit()
    Surgery(net).apply([inserted])
    deeper = fingerprint(net)
    surgery = Surgery(net)
    surgery.apply([Removal(inserted.anchor, inserted.name, "SHALLOWER-1", inserted.inside)])
    assert fingerprint(net) == before
    surgery.undo()
    assert fingerprint(net) == deeper
    assert net.get_submodule(inserted.name) is inserted.module


@pytest.mark.parametrize(
    ("name", "inside", "reason"),
    [
        ("extractor.9", False, "there is no 'extractor.9'"),
        ("head", False, "'head' is called by the code of Net"),
        ("head", True, "'head' is called by the code of Net"),
    ],
)
def test_back_18_what_runs_by_other_code_is_not_taken_out(name, inside, reason):
    """BACK-18"""
    net = Net()
    before = fingerprint(net)
    with pytest.raises(RefusalError, match=reason):
        Surgery(net).apply([neighbour(), Removal("", name, "SHALLOWER-1", inside)])
    assert fingerprint(net) == before


def test_back_18_hooks_would_go_along():
    """BACK-18"""
    net = Net()
    Surgery(net).apply([neighbour()])
    handle = net.get_submodule("extractor.1_deeper1.layer").register_forward_hook(lambda *_: None)
    edit = Removal("extractor.1", "extractor.1_deeper1", "SHALLOWER-1", inside=False)
    with pytest.raises(RefusalError, match="has hooks, which would go with it"):
        Surgery(net).apply([edit])
    handle.remove()
    Surgery(net).apply([edit])


def test_back_4_a_failing_edit_takes_the_others_with_it():
    """BACK-4"""
    net = Net()
    before = fingerprint(net)
    with pytest.raises(AttributeError):
        Surgery(net).apply([neighbour(), insertion("nowhere", "nowhere.x", inside=True)])
    assert fingerprint(net) == before


def test_back_2_neighbours_stand_in_the_order_in_which_they_run():
    """BACK-2"""
    net = Net()
    surgery = Surgery(net)
    surgery.apply([neighbour()])
    surgery.apply([insertion("extractor.3", "extractor.3_deeper1", inside=False)])
    surgery.apply([insertion("extractor.1", "extractor.1_deeper2", inside=False)])
    expected = ["0", "1", "1_deeper2", "1_deeper1", "2", "3", "3_deeper1"]
    assert [*net.extractor._modules] == expected
    assert [
        m is net.extractor.get_submodule(k) for m, k in zip(net.extractor, expected, strict=True)
    ]


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_back_2_never_in_a_list_of_modules():
    """BACK-2"""
    net = Listed()
    with pytest.raises(RefusalError, match=r"needs an nn.Sequential.*found ModuleList"):
        Surgery(net).apply([insertion("layers.1", "layers.1_deeper1", inside=False)])
    Surgery(net).apply([insertion("layers.1", "layers.1.1_deeper1", inside=True, module=block(4))])
    assert [*net.layers._modules] == ["0", "1"]


def test_back_2_after_a_sequential_is_at_its_end():
    """BACK-2: a guest would be run by the Sequential as well"""
    net, module = Net(), block(trained=True)
    runs = []
    module.register_forward_hook(lambda *_: runs.append(1))
    Surgery(net).apply(
        [insertion("extractor", "extractor.extractor_deeper1", inside=True, module=module)]
    )
    net(torch.randn(2, 4))
    assert runs == [1]
    assert type(net.extractor) is nn.Sequential
    assert [*net.extractor._modules][-1] == "extractor_deeper1"


def test_back_2_a_sequential_with_other_uses_takes_no_more_children():
    """BACK-2"""
    net = Net()
    with pytest.raises(RefusalError, match=r"used by index(.|\n)*at='extractor\.3'"):
        Surgery(net, sequentials=()).apply(
            [insertion("extractor", "extractor.extractor_deeper1", inside=True)]
        )
    assert len(net.extractor) == 4


def test_a_taken_name_is_refused():
    net = Attributes()
    with pytest.raises(RefusalError, match="'act' already has a 'inplace'"):
        Surgery(net).apply([insertion("act", "act.inplace", inside=True)])


def test_a_replaced_forward_is_refused():
    net = Attributes()
    net.fc1.forward = lambda x: x
    before = fingerprint(net)
    with pytest.raises(RefusalError, match=r"its forward was replaced(.|\n)*at: fc1"):
        Surgery(net).apply([insertion("fc1", "fc1.fc1_deeper1", inside=True)])
    assert fingerprint(net) == before


class Copies(nn.Linear):
    def __deepcopy__(self, memo):
        twin = type(self)(self.in_features, self.out_features)
        twin.load_state_dict(self.state_dict())
        return twin


def test_an_anchor_whose_copies_would_lose_the_layer_is_refused():
    net = Attributes()
    net.fc1 = Copies(4, 8)
    with pytest.raises(RefusalError, match=r"copied by Copies.__deepcopy__"):
        Surgery(net).apply([insertion("fc1", "fc1.fc1_deeper1", inside=True)])
    net.fc1 = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 8)))
    with pytest.raises(RefusalError, match=r"copied by GraphModule\."):
        Surgery(net).apply([insertion("fc1", "fc1.fc1_deeper1", inside=True)])


def grown(kind) -> nn.Module:
    net = kind()
    Surgery(net).apply(
        [neighbour(block(trained=True)) if kind is Net else guest(block(trained=True))]
    )
    return net


@pytest.mark.parametrize("kind", [Net, Attributes])
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save", "state_dict"])
def test_the_result_survives_every_way_of_copying(kind, way):
    net, x = grown(kind), torch.randn(5, 4)
    if way == "deepcopy":
        twin = copy.deepcopy(net)
    elif way == "pickle":
        twin = pickle.loads(pickle.dumps(net))
    elif way == "torch.save":
        stream = io.BytesIO()
        torch.save(net, stream)
        stream.seek(0)
        twin = torch.load(stream, weights_only=False)
    else:
        twin = grown(kind)
        twin.load_state_dict(net.state_dict())
    assert type(twin) is kind
    assert [*twin.state_dict()] == [*net.state_dict()]
    assert torch.equal(twin(x), net(x))
    with torch.no_grad():
        next(iter(twin.parameters())).add_(1)
    assert not torch.equal(twin(x), net(x))
    Surgery(twin).apply(
        [
            insertion("extractor.1_deeper1", "extractor.1_deeper1_deeper1", inside=False)
            if kind is Net
            else insertion("act", "act.act_deeper2", inside=True)
        ]
    )


@pytest.mark.parametrize("kind", [Net, Attributes])
def test_the_result_exports(kind):
    net, x = grown(kind), torch.randn(5, 4)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), net(x), rtol=1e-6, atol=1e-6)


def test_other_libraries_may_still_edit_the_sequential():
    net = grown(Net)
    net.extractor.append(nn.Tanh())
    assert len(net.extractor) == 6
    net.extractor[0] = nn.Identity()
    assert isinstance(next(iter(net.extractor)), nn.Identity)
    sequential = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    Surgery(sequential).apply([insertion("a", "a_deeper1", inside=False)])
    assert [*sequential._modules] == ["a", "a_deeper1", "b"]
