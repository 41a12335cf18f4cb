"""Tensors change their shape and stay the tensors they were."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from morphir.backend.scaling import scaled
from morphir.backend.surgery import Surgery
from morphir.errors import RefusalError
from morphir.ir import AttributeChange, AxisMap, Mapped
from tests.backend.exact import peak_of, same_bits
from tests.backend.widenings import (
    UNEQUAL,
    WITH_FRESH,
    Attention,
    Recurrent,
    Residual,
    Shared,
    attributes_of,
    changes,
    conv,
    mlp,
    norm,
    resize_of,
    widen,
)
from tests.specimens import fingerprint

MAKERS = [mlp, conv, Residual, Shared, Attention, Recurrent, norm]
COPY, SPLIT = Mapped(6, UNEQUAL, "copy"), Mapped(6, UNEQUAL, "split")
MLP = resize_of(changes(UNEQUAL)[mlp])


def backward(net: nn.Module) -> None:
    net(torch.randn(5, 4, dtype=next(net.parameters()).dtype)).square().sum().backward()


@pytest.mark.parametrize("axis_map", [UNEQUAL, WITH_FRESH], ids=["copies", "fresh"])
@pytest.mark.parametrize("make", [m for m in MAKERS if m is not norm])
def test_the_function_is_kept(make, axis_map):
    old, new, _ = widen(make, axis_map)
    x = torch.randn(5, 4, dtype=torch.float64)
    for mode in (True, False):
        torch.testing.assert_close(new.train(mode)(x), old.train(mode)(x), rtol=0, atol=1e-13)


def test_back_11_parameters_stay_who_they_are():
    """BACK-11: identity, flags, hooks, attributes; and they train on"""
    net = Shared()
    net.tied = net.cell
    net.cell.bias.requires_grad_(False)
    net.cell.weight.no_decay = True
    seen = []
    net.cell.weight.register_hook(lambda g: seen.append(tuple(g.shape)))
    net.cell.weight.register_post_accumulate_grad_hook(lambda p: seen.append(tuple(p.grad.shape)))
    before = dict(net.named_parameters(remove_duplicate=False))
    backward(net)
    gradient = net.cell.weight.grad
    expected = scaled(gradient, (COPY, SPLIT), "gradient")
    Surgery(net).apply([resize_of(changes(UNEQUAL)[Shared])])
    after = dict(net.named_parameters(remove_duplicate=False))
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert net.tied.weight is net.cell.weight
    assert net.cell.weight.grad is gradient
    assert torch.equal(gradient, expected)
    assert gradient.shape == net.cell.weight.shape == (9, 9)
    assert not net.cell.bias.requires_grad
    assert net.cell.weight.no_decay
    seen.clear()
    net.zero_grad()
    backward(net)
    assert seen == [(9, 9), (9, 9)]
    assert net.cell.weight.grad.shape == (9, 9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("make", [mlp, Shared])
def test_back_11_gradients_are_accumulated_at_the_new_shape(make, dtype):
    """BACK-11: where the node that accumulates them is held by somebody"""
    net = make().to(dtype)
    held = [p.expand_as(p).grad_fn.next_functions[0][0] for p in net.parameters()]
    surgery = Surgery(net)
    surgery.apply([resize_of(changes(UNEQUAL)[make])])
    backward(net)
    assert all(p.grad.shape == p.shape for p in net.parameters())
    surgery.undo()
    net.zero_grad()
    backward(net)
    assert all(p.grad.shape == p.shape for p in net.parameters())
    assert len(held) == len([*net.parameters()])


def test_back_11_a_graph_from_before_can_not_be_run_backward():
    """BACK-11: it would leave gradients of the old shape; after an undo it can"""
    net = mlp()
    losses = [net(torch.randn(5, 4)).sum() for _ in range(2)]
    surgery = Surgery(net)
    surgery.apply([MLP])
    with pytest.raises(RuntimeError, match=r"'2\.weight' has changed its shape since this graph"):
        losses[0].backward()
    net.zero_grad()
    surgery.undo()
    losses[1].backward()
    assert all(p.grad.shape == p.shape for p in net.parameters())


@pytest.mark.parametrize("axis_map", [UNEQUAL, WITH_FRESH], ids=["copies", "fresh"])
@pytest.mark.parametrize("make", MAKERS)
def test_back_4_undo_restores_every_number(make, axis_map):
    """BACK-4: classes, attributes, gradients and numbers, to the bit"""
    if make is norm:
        axis_map = AxisMap.copies(6, [*range(6), *range(6)])
    net = make()
    backward(net)
    before = fingerprint(net)
    bits = {name: value.clone() for name, value in net.state_dict().items()}
    surgery = Surgery(net)
    width = len(axis_map.source)
    surgery.apply([resize_of(changes(axis_map)[make], *attributes_of(make, width))])
    assert fingerprint(net) != before
    surgery.undo()
    assert fingerprint(net) == before
    assert all(same_bits(value, bits[name]) for name, value in net.state_dict().items())
    assert all(p.is_contiguous() for p in net.parameters())


def test_back_4_what_was_removed_comes_back():
    """BACK-4"""
    net = mlp()
    pruned = AxisMap.copies(6, [4, 0, 2])
    before = fingerprint(net)
    surgery = Surgery(net)
    surgery.apply([resize_of(changes(pruned)[mlp])])
    assert net[0].weight.shape == (3, 4)
    surgery.undo()
    assert fingerprint(net) == before


@pytest.mark.parametrize("number", [1, 2, 3])
def test_back_4_a_failure_on_the_way_is_undone(number):
    """BACK-4: with gradients and attributes"""
    net = mlp()
    backward(net)
    before, seen = fingerprint(net), []

    def watch(name, old, new):
        seen.append((name, tuple(old.shape), tuple(new.shape)))
        if len(seen) == number:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Surgery(net, watch=watch).apply([MLP])
    assert fingerprint(net) == before
    shapes = [("0.weight", (6, 4), (9, 4)), ("0.bias", (6,), (9,)), ("2.weight", (3, 6), (3, 9))]
    assert seen == shapes[:number]


def test_back_12_descriptions_follow_and_what_means_something_else_does_not():
    """BACK-12"""
    net = conv()
    net[5].in_features = "mine"
    net.register_module("tied", nn.Linear(54, 3, bias=False))
    net.tied.weight = net[5].weight
    Surgery(net).apply([resize_of(changes(UNEQUAL)[conv])])
    assert (net[1].in_channels, net[1].out_channels, net[2].num_features) == (1, 9, 9)
    assert net[5].in_features == "mine"
    assert net.tied.in_features == 81


def test_back_12_recurrent_layers_go_on():
    """BACK-12: the list of their weights too"""
    net = Recurrent()
    edit = resize_of(changes(UNEQUAL)[Recurrent], AttributeChange("lstm", "hidden_size", 6, 9))
    Surgery(net).apply([edit])
    assert net.lstm.hidden_size == 9
    assert all(
        held is getattr(net.lstm, name)
        for held, name in zip(net.lstm._flat_weights, net.lstm._flat_weights_names, strict=True)
    )
    assert net.lstm.weight_hh_l0.shape == (36, 9)


def test_back_12_grouped_convolutions_count_their_groups():
    """BACK-12: the attribute that forward reads comes first"""
    net = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6))
    change = (COPY, *map(Mapped, (1, 3, 3)))
    tensors = {"0.weight": change, "0.bias": (COPY,)}
    Surgery(net).apply([resize_of(tensors, AttributeChange("0", "groups", 6, 9))])
    assert (net[0].in_channels, net[0].out_channels, net[0].groups) == (9, 9, 9)
    assert net(torch.randn(1, 9, 4, 4)).shape == (1, 9, 2, 2)


def test_parametrizations_change_underneath():
    net = mlp()
    parametrizations.weight_norm(net[0])
    x = torch.randn(5, 4)
    y = net(x)
    weight = "0.parametrizations.weight.original"
    tensors = {
        f"{weight}0": (COPY, Mapped(1)), f"{weight}1": (COPY, Mapped(4)), "0.bias": (COPY,),
        "2.weight": (Mapped(3), SPLIT),
    }  # fmt: skip
    Surgery(net).apply([resize_of(tensors)])
    assert net[0].weight.shape == (9, 4)
    assert net[0].out_features == 9
    torch.testing.assert_close(net(x), y)


def test_buffers_persistent_or_not_and_of_any_dtype():
    net = nn.Module()
    net.register_buffer("a", torch.arange(6), persistent=False)
    net.register_buffer("b", torch.arange(6) > 2)
    net.register_buffer("c", torch.randn(6, dtype=torch.complex64))
    before, known = fingerprint_of(net), dict(net.named_buffers())
    surgery = Surgery(net)
    surgery.apply([resize_of(dict.fromkeys("abc", (COPY,)))])
    assert net.a.tolist() == [*UNEQUAL.source]
    assert all(len(buffer) == 9 for buffer in net.buffers())
    assert all(net.get_buffer(name) is buffer for name, buffer in known.items())
    assert [*net.state_dict()] == ["b", "c"]
    surgery.undo()
    assert fingerprint_of(net) == before


def fingerprint_of(net: nn.Module):
    return [(name, id(b), b.dtype, b.tolist()) for name, b in net.named_buffers()]


def test_numbers_that_a_pass_computed():
    net = mlp()
    given = {"0.weight": torch.full((2, 4), 7.0), "0.bias": torch.full((2,), 8.0)}
    Surgery(net, given=given).apply([resize_of(changes(WITH_FRESH)[mlp], init="gradmax")])
    assert (net[0].weight[[2, 8]] == 7).all()
    assert (net[0].bias[[2, 8]] == 8).all()
    assert (net[2].weight[:, [2, 8]] == 0).all()


@pytest.mark.parametrize(
    ("tensors", "attributes", "message"),
    [
        ({"0.scale": (COPY,)}, (), "Sequential has no parameter or buffer '0.scale'"),
        ({"9.weight": (COPY,)}, (), "Sequential has no parameter or buffer '9.weight'"),
        ({"0.bias": (Mapped(5),)}, (), r"has the shape \(6,\), and a change of \(5,\)"),
        (
            {"0.bias": (COPY,)},
            [AttributeChange("0", "out_features", 5, 9)],
            "'0.out_features' is 6, and a change of 5 was planned",
        ),
        (
            {"0.bias": (COPY,), "twin": (COPY,)},
            (),
            "'0.bias' and 'twin' are two tensors that share their memory|'twin' and '0.bias'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(tensors, attributes, message):
    net = mlp()
    if "twin" in tensors:
        net.register_buffer("twin", net[0].bias.detach()[:6])
    before = fingerprint(net)
    with pytest.raises(RefusalError, match=message):
        Surgery(net).apply([resize_of(tensors, *attributes)])
    assert fingerprint(net) == before


def test_a_sparse_gradient_is_refused():
    net = nn.Embedding(5, 6, sparse=True)
    net(torch.tensor([1])).sum().backward()
    change = {"weight": (Mapped(5), Mapped(6, UNEQUAL))}
    with pytest.raises(RefusalError, match=r"gradient of 'weight' is no ordinary(.|\n)*zero_grad"):
        Surgery(net).apply([resize_of(change)])
    net.zero_grad()
    Surgery(net).apply([resize_of(change)])
    assert net.embedding_dim == 9


def test_back_13_one_tensor_at_a_time():
    """BACK-13: at no moment is more than one of the tensors there in both sizes"""
    width, extra = 400, 20
    grown = AxisMap.copies(width, [*range(width), *range(extra)])
    keep, copy, split = Mapped(width), Mapped(width, grown), Mapped(width, grown, "split")
    pairs = [{f"{n}.weight": (copy, keep), f"{n + 1}.weight": (keep, split)} for n in (0, 2, 4)]
    edit = resize_of({name: change for pair in pairs for name, change in pair.items()})

    def grow() -> Surgery:
        net = nn.Sequential(*[nn.Linear(width, width, bias=False) for _ in range(6)])
        surgery = Surgery(net)
        surgery.apply([edit])
        return surgery

    grown_size = sum(prod(axis.new_size for axis in change) for change in edit.tensors.values())
    one = 4 * width**2
    assert 4 * grown_size <= peak_of(grow) < 4 * grown_size + 1.5 * one
    assert peak_of(lambda: grow().undo()) < 4 * grown_size + 1.5 * one
