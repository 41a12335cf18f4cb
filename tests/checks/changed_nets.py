"""Networks with a change of their axes each, as a planner would ask for it."""

from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional as F

from morphir.ir import Added, AxisMap, Mapped, Multiplied
from tests.checks.pairs import Net
from tests.checks.resized import kept


def grown(size: int, *extra: int) -> AxisMap:
    """A map that appends copies, or fresh units (-1), with unequal shares."""
    source = (*range(size), *extra)
    share = [Fraction(0 if unit < 0 else 1) for unit in source]
    for position, unit in enumerate(extra, size):
        if unit >= 0:
            share[position] = Fraction(-1, 4)
            share[unit] += Fraction(1, 4)
    return AxisMap(size, source, tuple(share))


def multiply(*factors) -> Multiplied:
    return Multiplied(tuple(factors))


def sides(axis_map: AxisMap) -> tuple[Mapped, Mapped]:
    return Mapped(axis_map.size, axis_map, "copy"), Mapped(axis_map.size, axis_map, "split")


# -- models, each with a change of its axes -------------------------------------------------------


def dense():
    copy_, split = sides(grown(8, 2, 5, -1))
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    tensors = {"0.weight": (copy_, Mapped(4)), "0.bias": (copy_,), "2.weight": (Mapped(3), split)}
    return net, tensors, {}, torch.randn(2, 4)


def images():
    copy_, split = sides(grown(8, 2, -1, 2))
    vector = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (copy_,))
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)
    )
    tensors = {
        "0.weight": (copy_, *kept(3, 3, 3)),
        "0.bias": (copy_,),
        **{f"1.{name}": change for name, change in vector.items()},
        "4.weight": (Mapped(5), multiply(split, Mapped(16))),
    }
    return net, tensors, {}, torch.randn(2, 3, 6, 6)


class Attention(nn.Module):
    """Heads of a width of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, _ = x.shape
        q, k, v = (
            layer(x).view(batch, time, self.heads, -1).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        scores = (q @ k.transpose(-1, -2) * 0.5).softmax(-1)
        return self.o((scores @ v).transpose(1, 2).reshape(batch, time, -1)) + x


def attention():
    """Heads are copied and, of q and k, the width is split, in one dimension."""
    heads, heads_split = sides(grown(2, 0, -1))
    width, width_split = sides(grown(4, 3, -1))
    q, k = multiply(heads, width), multiply(heads, width_split)
    v, o = multiply(heads, Mapped(4)), multiply(heads_split, Mapped(4))
    tensors = {
        f"{name}.{key}": (axis, Mapped(8)) if key == "weight" else (axis,)
        for name, axis in (("q", q), ("k", k), ("v", v))
        for key in ("weight", "bias")
    }
    tensors["o.weight"] = (Mapped(8), o)
    return Attention(), tensors, {"heads": 4}, torch.randn(2, 5, 8)


class Cell(nn.Module):
    """A recurrent net with a zero state; what it returns is concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h, self.o = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.shape[0], self.h.in_features, dtype=x.dtype)
        for t in range(3):
            h = torch.tanh(self.i(x[:, t]) + self.h(h))
        return self.o(torch.cat([h, h.sigmoid() * h], -1))


def recurrent():
    copy_, split = sides(grown(6, 5, -1))
    tensors = {
        "i.weight": (copy_, Mapped(4)),
        "i.bias": (copy_,),
        "h.weight": (copy_, split),
        "h.bias": (copy_,),
        "o.weight": (Mapped(3), Added((split, split))),
    }
    return Cell(), tensors, {"h__in_features": 8}, torch.randn(2, 3, 4)


def gated():
    """The halves of a GLU are one axis; a squeeze-excite gate is another that follows."""
    copy_, split = sides(grown(4, 1, -1))
    net = Net(
        lambda s, x: s.out(F.glu(s.up(x), -1) * s.gate(F.glu(s.up(x), -1)).sigmoid()),
        up=nn.Linear(5, 8),
        gate=nn.Linear(4, 4),
        out=nn.Linear(4, 3),
    )
    tensors = {
        "up.weight": (Added((copy_, copy_)), Mapped(5)),
        "up.bias": (Added((copy_, copy_)),),
        "gate.weight": (copy_, split),
        "gate.bias": (copy_,),
        "out.weight": (Mapped(3), split),
    }
    return net, tensors, {}, torch.randn(2, 5)


def normalised():
    """Every unit is copied twice: a LayerNorm's statistics stay."""
    copy_, split = sides(AxisMap.copies(4, (0, 1, 2, 3, 0, 1, 2, 3)))
    net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    tensors = {
        "0.weight": (copy_, Mapped(3)),
        **dict.fromkeys(("0.bias", "1.weight", "1.bias"), (copy_,)),
        "2.weight": (Mapped(2), split),
    }
    return net, tensors, {"1__normalized_shape": (8,)}, torch.randn(2, 3)


def linear_only():
    """Nothing between two layers forces a copy: the first may be the one that is split."""
    copy_, split = sides(grown(4, 0, -1))
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 2))
    tensors = {"0.weight": (split, Mapped(3)), "0.bias": (split,), "2.weight": (Mapped(2), copy_)}
    return net, tensors, {}, torch.randn(2, 3)


class Batched(nn.Module):
    """Heads that share a dimension with the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(2, 15) for _ in "qkv")
        self.out = nn.Linear(15, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = (
            each(x).view(b, t, -1, 5).transpose(1, 2).reshape(-1, t, 5)
            for each in (self.q, self.k, self.v)
        )
        mixed = torch.bmm(torch.bmm(q, k.mT).softmax(-1), v)
        return self.out(mixed.view(b, -1, t, 5).transpose(1, 2).flatten(2))


def batched():
    copy_, split = sides(grown(3, 1, -1))
    rows = multiply(copy_, Mapped(5))
    tensors = {
        f"{name}.{key}": (rows, Mapped(2)) if key == "weight" else (rows,)
        for name in "qkv"
        for key in ("weight", "bias")
    }
    tensors["out.weight"] = (Mapped(2), multiply(split, Mapped(5)))
    return Batched(), tensors, {}, torch.randn(2, 4, 2)


class Grouped(nn.Module):
    """Two heads of keys and values, repeated for two queries each; a state of the input's type."""

    def __init__(self, *, by_view: bool = False) -> None:
        super().__init__()
        self.heads, self.by_view = 4, by_view
        self.q, self.k, self.v = (nn.Linear(8, n) for n in (12, 6, 6))
        self.o = nn.Linear(12, 3)

    def repeated(self, x: torch.Tensor) -> torch.Tensor:
        if not self.by_view:
            return x.repeat_interleave(self.heads // 2, 1)
        b, _, t, d = x.shape
        more = x[:, :, None].expand(b, 2, self.heads // 2, t, d)
        return more.reshape(b, self.heads, t, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q = self.q(x).view(b, t, self.heads, 3).transpose(1, 2)
        k, v = (
            self.repeated(each(x).view(b, t, 2, 3).transpose(1, 2)) for each in (self.k, self.v)
        )
        bias = x.new_ones(self.heads).unsqueeze(-1).unsqueeze(-1)
        scores = (q @ k.transpose(-1, -2) + bias).softmax(-1)
        return self.o((scores @ v).transpose(1, 2).reshape(b, t, -1))


def grouped(*, by_view: bool = False, source=(0, 1, 0, 2, 3, 3)):
    """The queries of each head become three."""
    share = [Fraction(1, source.count(unit)) for unit in source]
    copy_, split = sides(AxisMap(4, source, tuple(share)))
    tensors = {
        "q.weight": (multiply(copy_, Mapped(3)), Mapped(8)),
        "q.bias": (multiply(copy_, Mapped(3)),),
        "o.weight": (Mapped(3), multiply(split, Mapped(3))),
    }
    return Grouped(by_view=by_view), tensors, {"heads": 6}, torch.randn(2, 5, 8)


def grouped_by_view():
    return grouped(by_view=True)


CASES = (
    batched,
    dense,
    images,
    grouped,
    grouped_by_view,
    attention,
    recurrent,
    gated,
    normalised,
    linear_only,
)
