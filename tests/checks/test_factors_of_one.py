"""CERT-11, AXIS-4: a factor that becomes 1, which the new call's own layout does not tell."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ir import AxisMap, Certificate, Grade, Mapped, Multiplied, ResizeClaim, TensorChange
from morphir.ops import DEFAULT_TABLE, OpTable
from tests.checks.pairs import Net
from tests.checks.resized import check, coarse, kept, resize

FIRST, SECOND = AxisMap.copies(2, (0,)), AxisMap.copies(2, (1,))
Case = tuple[nn.Module, dict[str, TensorChange], dict[str, int], Tensor]


class Attention(nn.Module):
    """Two heads of width 4; the second one is not read."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        with torch.no_grad():
            self.o.weight[:, 4:] = 0

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (
            layer(x).view(b, t, self.heads, 4).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        mixed = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.o(mixed.transpose(1, 2).reshape(b, t, -1))


def heads(axis_map: AxisMap = FIRST) -> Case:
    rows = Multiplied((Mapped(2, axis_map, "copy"), Mapped(4)))
    columns = Multiplied((Mapped(2, axis_map, "split"), Mapped(4)))
    tensors = {
        f"{name}.{key}": (rows, Mapped(8)) if key == "weight" else (rows,)
        for name in "qkv"
        for key in ("weight", "bias")
    }
    return (
        Attention(),
        {**tensors, "o.weight": (Mapped(8), columns)},
        {"heads": 1},
        torch.randn(2, 5, 8),
    )


def channels() -> Case:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
    with torch.no_grad():
        net[3].weight[:, 16:] = 0
    row = Mapped(2, FIRST, "copy")
    tensors = {
        "0.weight": (row, *kept(3, 3, 3)),
        "0.bias": (row,),
        "3.weight": (Mapped(5), Multiplied((Mapped(2, FIRST, "split"), Mapped(16)))),
    }
    return net, tensors, {}, torch.randn(2, 3, 6, 6)


def groups() -> Case:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1, groups=2), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        net[2].weight[:, 2:] = 0
    four, two = (Multiplied((Mapped(2, FIRST, "copy"), Mapped(n))) for n in (4, 2))
    tensors = {
        "0.weight": (four, *kept(3, 1, 1)),
        "0.bias": (four,),
        "1.weight": (two, *kept(4, 1, 1)),
        "1.bias": (two,),
        "2.weight": (
            Mapped(2), Multiplied((Mapped(2, FIRST, "split"), Mapped(2))), *kept(1, 1)
        ),
    }  # fmt: skip
    return net, tensors, {"1__groups": 1}, torch.randn(2, 3, 4, 4)


def grown_heads() -> Case:
    """One head becomes two: here the old layout is the one that does not tell."""
    twice = AxisMap.copies(1, (0, 0))
    _, pruned, one, x = heads()
    tensors = {
        name: tuple(
            Multiplied((Mapped(1, twice, "split" if name[0] == "o" else "copy"), Mapped(4)))
            if isinstance(axis, Multiplied)
            else axis
            for axis in change
        )
        for name, change in pruned.items()
    }
    return resize(Attention(), pruned, **one), tensors, {"heads": 2}, x


CASES: list[Callable[[], Case]] = [heads, channels, groups]


@pytest.mark.parametrize("case", [*CASES, grown_heads])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_cert_11_a_factor_may_become_one_and_one_may_become_more(
    case: Callable[[], Case], mode: str
):
    torch.manual_seed(0)
    net, tensors, attributes, x = case()
    new = resize(coarse(net), tensors, **attributes)
    assert torch.allclose(new(x), net(x), atol=1e-6)
    found = check(net, new, tensors, x, mode=mode)
    assert found.grade is Grade.PROVED, found


@pytest.mark.parametrize("case", CASES)
def test_cert_11_one_that_does_something_may_not(case: Callable[[], Case]):
    torch.manual_seed(0)
    net, tensors, attributes, x = case()
    name = [*tensors][-1]
    with torch.no_grad():
        net.get_parameter(name).flatten(1)[0, -1] = 1e-30
    assert check(net, resize(net, tensors, **attributes), tensors, x).grade is Grade.UNKNOWN


def test_cert_11_two_heads_that_were_one_count_once():
    """The columns that read the second head are copied too: everything counts twice."""
    torch.manual_seed(0)
    net, tensors, attributes, x = grown_heads()
    wrong = {**tensors, "o.weight": (Mapped(8), tensors["q.bias"][0])}
    found = check(net, resize(coarse(net), wrong, **attributes), wrong, x)
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-11")


def test_cert_10_the_head_that_stays_is_the_one_that_was_claimed():
    torch.manual_seed(0)
    net, tensors, attributes, x = heads()
    _, other, _, _ = heads(SECOND)
    new = resize(coarse(net), {**tensors, "k.weight": other["k.weight"]}, **attributes)
    assert check(net, new, tensors, x).grade is Grade.UNKNOWN


def test_cert_11_what_was_two_heads_is_not_two_of_half_the_width():
    """The attribute does not follow: the shapes fit, and halves of a head attend by themselves."""
    torch.manual_seed(0)
    fused = Net(
        lambda s, x: s.o(s.q(x).unflatten(-1, (s.q.heads, -1)).softmax(-1).flatten(-2)),
        q=nn.Linear(8, 8),
        o=nn.Linear(8, 3),
    )
    fused.q.heads = 2
    with torch.no_grad():
        fused.o.weight[:, 4:] = 0
    rows, columns = (
        Multiplied((Mapped(2, FIRST, polarity), Mapped(4))) for polarity in ("copy", "split")
    )
    tensors = {"q.weight": (rows, Mapped(8)), "q.bias": (rows,), "o.weight": (Mapped(3), columns)}
    x = torch.randn(2, 8)
    assert (
        check(fused, resize(coarse(fused), tensors, q__heads=1), tensors, x).grade is Grade.PROVED
    )
    found = check(fused, resize(coarse(fused), tensors), tensors, x)
    assert found.grade is Grade.UNKNOWN
    assert "CERT-1" in found.summary


@pytest.mark.parametrize("spelling", ["view", "permuted", "axis"])
def test_cert_11_a_call_that_is_equal_only_in_shape_is_another_one(spelling: str):
    """With one head left its axis and that of time may be mixed up, and the shapes still fit."""
    torch.manual_seed(0)

    class Wrong(Attention):
        def forward(self, x: Tensor) -> Tensor:
            if self.heads == 2:
                return super().forward(x)
            b, t, _ = x.shape
            shape = (b, self.heads, t, 4)
            if spelling == "view":  # what it computes is the same: another program, not a wrong one
                q, k, v = (layer(x).view(shape) for layer in (self.q, self.k, self.v))
            elif spelling == "permuted":
                q, k, v = (
                    layer(x).view(b, t, 4, 1).transpose(1, 2).transpose(1, 3).transpose(1, 2)
                    for layer in (self.q, self.k, self.v)
                )
            else:
                q, k, v = (
                    layer(x).view(b, t, self.heads, 4).transpose(1, 2)
                    for layer in (self.q, self.k, self.v)
                )
            dim = -2 if spelling == "axis" else -1
            mixed = (q @ k.transpose(-1, -2)).softmax(dim) @ v
            return self.o(mixed.transpose(1, 2).reshape(b, t, -1))

    _, tensors, attributes, x = heads()
    net = Wrong()
    found = check(net, resize(coarse(net), tensors, **attributes), tensors, x)
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-11")


def test_cert_12_the_one_head_that_is_left_is_moved_as_its_numbers_are():
    """A view that moves the units of the head that stays."""
    torch.manual_seed(0)
    net, tensors, attributes, x = heads()
    new = resize(coarse(net), tensors, **attributes)
    before, after = (record(m, example_inputs=(x,)).program for m in (net, new))
    claim = Certificate(before.hash, after.hash, resizes=(ResizeClaim("PRUNE-1", "", tensors),))
    real = DEFAULT_TABLE.get("reshape")
    assert real is not None

    def rolled(input: Tensor, shape: tuple[int, ...]) -> Tensor:
        result = real.run(input=input, shape=shape)
        return result.roll(1, -1) if 1 in result.shape[1:] else result

    lying = OpTable([replace(o, run=rolled) if o is real else o for o in DEFAULT_TABLE.ops])
    assert check_certificate(before, after, claim, DEFAULT_TABLE).grade is Grade.PROVED
    found = check_certificate(before, after, claim, lying)
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-12")
