"""Copies have what `copy.deepcopy` loses, and nothing in common with the original."""

import gc
import threading

import pytest
import torch
from torch import nn

import morphir
from morphir.backend.copying import attached_optimizers, duplicate
from morphir.errors import RefusalError
from tests.specimens import Net, fingerprint, train_a_little


def storages(*values) -> set[int]:
    return {t.untyped_storage().data_ptr() for t in values if t.numel()}


def all_tensors(model, optimizers=()):
    state = [
        t for o in optimizers for s in o.state.values() for t in s.values() if torch.is_tensor(t)
    ]
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return [*model.parameters(), *model.buffers(), *grads, *state]


def test_back_5_no_storage_is_shared_and_the_original_is_untouched():
    """BACK-5"""
    net = nn.Sequential(Net(), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    before = fingerprint(net, [optimizer])
    twin = duplicate(net, [optimizer])
    assert fingerprint(net, [optimizer]) == before
    (other,) = twin.optimizers
    assert not storages(*all_tensors(net, [optimizer])) & storages(
        *all_tensors(twin.model, [other])
    )
    assert twin.notes == ()


def test_back_5_gradients_attributes_and_flags_are_kept():
    """BACK-5"""
    net = Net()
    net(torch.randn(3, 4)).sum().backward()
    net.head.bias.grad = None
    net.head.bias.requires_grad_(False)
    net.head.weight.no_decay = True
    net.head.weight.history = [1]
    net.head.weight.partner = net.head.bias
    copied = duplicate(net).model
    assert torch.equal(copied.head.weight.grad, net.head.weight.grad)
    assert copied.head.bias.grad is None
    assert not copied.head.bias.requires_grad
    assert copied.head.weight.no_decay is True
    assert copied.head.weight.history == [1]
    assert copied.head.weight.history is not net.head.weight.history
    assert copied.head.weight.partner is copied.head.bias


def test_back_5_ties_stay_tied_and_the_others_apart():
    """BACK-5: one parameter, two views of one storage, a parameter that is also a buffer"""
    net = nn.Module()
    net.a, net.b = nn.Linear(3, 3), nn.Linear(3, 3)
    net.b.weight = net.a.weight
    flat = torch.randn(10)
    net.first, net.second = nn.Parameter(flat[:4]), nn.Parameter(flat[3:].t())
    net.register_buffer("mirror", net.a.weight.data)
    net.equal = nn.Parameter(net.a.weight.detach().clone())
    copied = duplicate(net).model
    assert copied.b.weight is copied.a.weight
    assert copied.mirror.data_ptr() == copied.a.weight.data_ptr()
    assert len(storages(copied.first, copied.second)) == 1
    assert copied.equal.data_ptr() != copied.a.weight.data_ptr()
    assert not storages(*all_tensors(net)) & storages(*all_tensors(copied))
    for name, parameter in net.named_parameters():
        twin = copied.get_parameter(name)
        assert torch.equal(parameter, twin)
        assert parameter.stride() == twin.stride()
    with torch.no_grad():
        copied.first[3] = 7.0
    assert copied.second[0] == 7.0
    assert net.second[0] != 7.0


class Hooked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.seen: list[str] = []
        self.layer.register_forward_pre_hook(self.before)
        self.layer.register_forward_hook(self.after)
        self.layer.weight.register_hook(self.halve)
        self.layer.bias.register_post_accumulate_grad_hook(self.note)
        self.register_state_dict_post_hook(lambda m, *_: m.seen.append("saved"))
        self.register_load_state_dict_post_hook(lambda m, keys: m.seen.append("loaded"))

    def before(self, module, args):
        self.seen.append("before")

    def after(self, module, args, output):
        self.seen.append("after")

    def halve(self, gradient):
        self.seen.append("halved")
        return gradient / 2

    def note(self, parameter):
        self.seen.append("accumulated")

    def forward(self, x):
        return self.layer(x)


def test_back_5_hooks_are_kept_and_methods_become_those_of_the_copy():
    """BACK-5"""
    net = Hooked()
    twin = duplicate(net)
    assert twin.notes == ()
    copied, x = twin.model, torch.randn(2, 4)
    copied(x).sum().backward()
    net_gradient = torch.autograd.grad(net(x).sum(), net.layer.weight)[0]
    net.seen.clear()
    copied.load_state_dict(copied.state_dict())
    assert sorted(copied.seen[2:4]) == ["accumulated", "halved"]
    assert copied.seen[:2] + copied.seen[4:] == ["before", "after", "saved", "loaded"]
    assert net.seen == []
    assert torch.equal(copied.layer.weight.grad, net_gradient)
    assert torch.equal(copied.layer.weight.grad, x.sum(0).expand(4, 4) / 2)


def test_back_5_what_still_refers_to_the_old_model_is_named():
    """BACK-5: nothing can point a closure elsewhere"""
    net, counts = Net(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.head.register_forward_hook(lambda *_: counts.append(1))  # refers to nothing of ours
    net.head.weight.register_hook(lambda g: g * net.head.bias.numel())
    net.extractor.register_forward_hook(lambda m, a, out, kept=net.head: None)
    optimizer.register_step_post_hook(lambda *_: net.head.weight.data.clamp_(-1, 1))
    twin = duplicate(net, [optimizer])
    assert sorted(twin.notes) == [
        "SGD: a function in _optimizer_step_post_hooks still refers to the old model",
        "extractor: a function in _forward_hooks still refers to the old model",
        "head.weight: a function in _backward_hooks still refers to the old model",
    ]
    twin.model(torch.randn(2, 4)).sum().backward()
    assert counts == [1]


def test_back_5_optimizer_hooks_and_attributes_are_kept():
    """BACK-5"""
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=torch.tensor(0.1))
    steps = []
    optimizer.register_step_pre_hook(lambda o, a, k: steps.append(o))
    optimizer.tag = ["mine"]
    train_a_little(net, optimizer, 1)
    twin = duplicate(net, [optimizer])
    (other,) = twin.optimizers
    assert type(other) is torch.optim.AdamW
    assert other.tag == ["mine"]
    assert other.tag is not optimizer.tag
    assert other.param_groups[0]["lr"] is not optimizer.param_groups[0]["lr"]
    train_a_little(twin.model, other, 1)
    assert steps == [optimizer, other]


def test_the_copied_optimizer_goes_on_where_the_original_was():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), weight_decay=0.1)
    train_a_little(net, optimizer)
    twin = duplicate(net, [optimizer])
    for model, each in ((net, optimizer), (twin.model, twin.optimizers[0])):
        torch.manual_seed(7)
        train_a_little(model, each, 3)
    assert all(map(torch.equal, net.parameters(), twin.model.parameters()))


def test_a_scheduler_is_named_and_does_not_drive_the_copy():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    twin = duplicate(net, [optimizer])
    assert twin.notes == (
        "SGD: a learning-rate scheduler drives the old one: make another over the new one, "
        "or use inplace=True",
    )
    before = [p.detach().clone() for p in net.parameters()]
    train_a_little(twin.model, twin.optimizers[0])
    assert all(map(torch.equal, before, net.parameters()))
    assert not any(map(torch.equal, before, twin.model.parameters()))
    optimizer.step()
    scheduler.step()
    assert twin.optimizers[0].param_groups[0]["lr"] == 1.0


class Holder(Net):
    """Holds its optimizers, as Stable-Baselines3 policies do."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizer = torch.optim.Adam(self.parameters())
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.others = {"alpha": torch.optim.Adam([self.log_alpha])}
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.5)


def test_optimizers_that_hang_on_the_model_come_along():
    net = Holder()
    train_a_little(net, net.optimizer)
    net.log_alpha.sum().backward()
    net.others["alpha"].step()
    assert attached_optimizers(net) == [net.optimizer, net.others["alpha"]]
    twin = duplicate(net)
    copied = twin.model
    assert twin.optimizers == ()
    assert twin.notes == ()
    assert copied.optimizer is not net.optimizer
    assert copied.scheduler.optimizer is copied.optimizer
    assert copied.optimizer.param_groups[0]["params"] == [*copied.parameters()]
    assert copied.others["alpha"].param_groups[0]["params"] == [copied.log_alpha]
    assert copied.log_alpha.data_ptr() != net.log_alpha.data_ptr()
    assert not storages(*all_tensors(net, [net.optimizer])) & storages(
        *all_tensors(copied, [copied.optimizer])
    )


def test_parameters_of_other_models_stay_shared():
    actor, critic = Net(), nn.Linear(4, 1)
    optimizer = torch.optim.SGD([*actor.parameters(), *critic.parameters()], lr=0.1, momentum=0.9)
    train_a_little(actor, optimizer)
    critic(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    twin = duplicate(actor, [optimizer])
    (other,) = twin.optimizers
    assert other.param_groups[0]["params"] == [*twin.model.parameters(), *critic.parameters()]
    old, new = (each.state[critic.weight]["momentum_buffer"] for each in (optimizer, other))
    assert torch.equal(old, new)
    assert old.data_ptr() != new.data_ptr()
    assert "2 parameters of other models are shared" in twin.notes[0]


class OwnCopy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.load_state_dict(self.state_dict())
        return twin


class NoCopy(nn.Module):
    def __getstate__(self):
        raise TypeError("no copies")


@pytest.mark.parametrize(
    ("kind", "message"), [(OwnCopy, "a way of its own of being copied"), (NoCopy, "no copies")]
)
def test_a_model_with_a_way_of_its_own_is_refused(kind, message):
    with pytest.raises(RefusalError, match=rf"{message}(.|\n)*try: inplace=True"):
        duplicate(kind())


def test_what_cannot_be_copied_is_named():
    net = Net()
    net.lock = threading.Lock()
    net.head.weight.lock = threading.Lock()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.lock = threading.Lock()
    twin = duplicate(net, [optimizer])
    assert [note.partition(":")[0] for note in twin.notes] == [
        "lock",
        "SGD['lock']",
        "head.weight['lock']",
    ]
    assert twin.optimizers[0].param_groups[0]["params"] == [*twin.model.parameters()]


def test_back_5_a_compiled_model_is_copied_uncompiled_and_named():
    """BACK-5"""
    net = Net()
    net.compile(backend="eager")
    twin = duplicate(net)
    assert twin.notes == ("Net: it was compiled and the copy is not: call .compile() again",)
    assert twin.model._compiled_call_impl is None
    assert net._compiled_call_impl is not None


@pytest.mark.parametrize("inplace", [False, True])
def test_back_5_a_compiled_model_is_grown(inplace):
    """BACK-5: what was compiled is a cache, and no one's promise"""
    net, x = Net(), torch.randn(2, 4)
    net.compile(backend="eager")
    expected = net(x)
    result = morphir.transform(net, morphir.DeeperPass(at="extractor.1"), inplace=inplace)
    assert result.report.grade.name == "PROVED"
    assert any("compile() again" in note for note in result.report.notes) != inplace
    torch.testing.assert_close(result.module(x), expected, rtol=0, atol=0)
    assert net._compiled_call_impl is not None


def test_nothing_is_kept_alive_by_mistake():
    net = Net()
    twin = duplicate(net, [torch.optim.Adam(net.parameters())])
    del net
    gc.collect()
    twin.model(torch.randn(1, 4)).sum().backward()
    twin.optimizers[0].step()
    assert all(p.grad is not None for p in twin.model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64])
def test_dtypes_and_odd_shapes(dtype):
    net = nn.Module()
    net.scalar = nn.Parameter(torch.tensor(2.0, dtype=dtype))
    net.empty = nn.Parameter(torch.empty(0, 3, dtype=dtype))
    net.turned = nn.Parameter(torch.randn(3, 2).to(dtype).t())
    net.register_buffer("sparse", torch.eye(3).to_sparse())
    copied = duplicate(net).model
    for name, parameter in net.named_parameters():
        assert torch.equal(copied.get_parameter(name), parameter)
        assert copied.get_parameter(name).stride() == parameter.stride()
    assert copied.sparse.is_sparse
