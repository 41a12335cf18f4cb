"""Models in float64 with a change of axes for each, written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import torch
from torch import nn

from morphir.backend.surgery import Surgery
from morphir.ir import AttributeChange, AxisMap, Mapped, Multiplied, Resize, TensorChange


def axis_map(source: str, share: str) -> AxisMap:
    """A map of six units, written down as two rows."""
    return AxisMap(6, tuple(map(int, source.split())), tuple(map(Fraction, share.split())))


UNEQUAL = axis_map("0 1 2 3 4 5 1 4 4", "1 5/4 1 1 3/8 1 -1/4 1/8 1/2")
DOUBLED = axis_map("0 1 2 3 4 5 " * 2, "5/4 " * 6 + "-1/4 " * 6)
EQUAL = AxisMap.copies(6, [*range(6), *range(6)])
WITH_FRESH = axis_map("0 1 -1 3 4 5 2 4 -1", "1 1 0 1 5/4 1 1 -1/4 0")


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.fc1, self.fc2 = nn.Linear(6, 5), nn.Linear(5, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(x + self.fc2(torch.tanh(self.fc1(x))))


class Shared(nn.Module):
    """One square layer, called twice, and a head tied to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.stem(x))
        for _ in range(2):
            x = x + torch.tanh(self.cell(x))
        return self.head(x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 6) for _ in "qkv")
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.q(x) @ self.k(x).mT / 2, -1)
        return self.out(weights @ self.v(x))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0])


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3))


def conv() -> nn.Module:
    """In train mode; its features are flattened."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 6, 2, padding=1, bias=False), nn.BatchNorm2d(6),
        nn.ReLU(), nn.Flatten(), nn.Linear(54, 3),
    )  # fmt: skip


def changes(m: AxisMap) -> dict[Callable[[], nn.Module], Mapping[str, TensorChange]]:
    """For each model what becomes of its tensors if its features of width 6 change by a map."""
    copy, split, gates = Mapped(6, m, "copy"), Mapped(6, m, "split"), Mapped(4)
    four, three, five, one = Mapped(4), Mapped(3), Mapped(5), Mapped(1)
    stem = {"stem.weight": (copy, four), "stem.bias": (copy,), "head.weight": (three, split)}
    lstm = Multiplied((gates, copy))
    return {
        mlp: {"0.weight": (copy, four), "0.bias": (copy,), "2.weight": (three, split)},
        norm: {
            "0.weight": (copy, four), "0.bias": (copy,), "1.weight": (copy,), "1.bias": (copy,),
            "3.weight": (three, split),
        },
        conv: {
            "1.weight": (copy, one, Mapped(2), Mapped(2)),
            **{f"2.{n}": (copy,) for n in ("weight", "bias", "running_mean", "running_var")},
            "5.weight": (three, Multiplied((split, Mapped(9)))),
        },
        Residual: {
            **stem, "fc1.weight": (five, split), "fc2.weight": (copy, five), "fc2.bias": (copy,),
        },
        Shared: {**stem, "cell.weight": (copy, split), "cell.bias": (copy,)},
        Attention: {
            "q.weight": (copy, four), "q.bias": (copy,),
            "k.weight": (split, four), "k.bias": (split,),
            "v.weight": (copy, four), "v.bias": (copy,), "out.weight": (three, split),
        },
        Recurrent: {
            "lstm.weight_ih_l0": (lstm, four), "lstm.weight_hh_l0": (lstm, split),
            "lstm.bias_ih_l0": (lstm,), "lstm.bias_hh_l0": (lstm,), "head.weight": (three, split),
        },
    }  # fmt: skip


def resize_of(
    tensors: Mapping[str, TensorChange], *attributes: AttributeChange, init: str = "fresh"
) -> Resize:
    return Resize("at", "WIDER-1", tensors, attributes, {"init": init, "seed": 0})


def attributes_of(make: Callable[[], nn.Module], width: int) -> tuple[AttributeChange, ...]:
    """What the forward of a model reads."""
    if make is norm:
        return (AttributeChange("1", "normalized_shape", (6,), (width,)),)
    return (AttributeChange("lstm", "hidden_size", 6, width),) if make is Recurrent else ()


def widen(make: Callable[[], nn.Module], m: AxisMap) -> tuple[nn.Module, nn.Module, Resize]:
    """A model, a widened copy of it and the edit."""
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(make().double())
    old, new = nets
    edit = resize_of(changes(m)[make], *attributes_of(make, len(m.source)))
    Surgery(new).apply([edit])
    return old, new, edit
