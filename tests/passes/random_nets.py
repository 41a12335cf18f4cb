"""Random networks of one layer after the other: every list of steps is one."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

WIDTHS = (1, 3, 8)
MODULES = {
    "relu": nn.ReLU,
    "inplace": lambda: nn.ReLU(inplace=True),
    "relu6": nn.ReLU6,
    "leaky": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "prelu": nn.PReLU,
    "sigmoid": nn.Sigmoid,
    "dropout": lambda: nn.Dropout(0.3),
}
FUNCTIONS = {"F.relu": F.relu, "F.silu": F.silu, "F.hardtanh": F.hardtanh, "abs": torch.abs}


class Random(nn.Module):
    """Interprets a list of steps; every list is a net."""

    def __init__(self, steps: list[tuple[str, int]], bias: bool) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.ModuleList()
        self.plan: list[tuple[str, Any, int]] = []
        widths, seen = [4], {}
        for name, number in steps:
            width = widths[-1]
            back = number % len(widths)
            if name == "linear":
                width = WIDTHS[number % len(WIDTHS)]
                self._add(name, nn.Linear(widths[-1], width, bias=bias))
            elif name == "norm":
                self._add(name, (nn.BatchNorm1d, nn.LayerNorm)[number % 2](width))
            elif name == "again" and seen:
                self.plan.append(("module", seen[[*seen][number % len(seen)]], 0))
            elif name == "residual" and widths[back] == width:
                self.plan.append(("residual", None, back))
            elif name in MODULES:
                seen[name] = self._add(name, MODULES[name]())
            elif name in FUNCTIONS:
                self.plan.append(("function", FUNCTIONS[name], 0))
            else:
                continue
            widths.append(width)
        self.head = nn.Linear(widths[-1], 2)

    def _add(self, name: str, module: nn.Module) -> nn.Module:
        self.layers.append(module)
        self.plan.append(("module", module, 0))
        return module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [x]
        for kind, what, back in self.plan:
            h = values[-1].clone() if kind == "module" else values[-1]
            values.append(h + values[back] if kind == "residual" else what(h))
        return self.head(values[-1])


step = st.tuples(
    st.sampled_from(["linear", "relu", "relu", *MODULES, *FUNCTIONS, "norm", "again", "residual"]),
    st.integers(0, 11),
)
