"""How soon the copies of a unit become different, under SGD and under Adam.

    python benchmarks/copies.py [--nets 10]

Each unit of Linear(6, 8), tanh, Linear(8, 3) is copied until there are n of it; then the network
learns a random function. Of every pair of copies of one unit the largest difference between their
incoming numbers is taken. Writes `results/copies.json`, from which the table in spec/wider.md is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from typing import Final

import torch
from results import write_results
from torch import nn
from torch.nn import functional as F

import morphir

_UNITS: Final = 8
_STEPS: Final = 30
_OPTIMIZERS: Final = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
}


def distances(optimizer: str, copies: int, seed: int) -> list[list[float]]:
    """For every step how far apart each pair of copies is."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, _UNITS), nn.Tanh(), nn.Linear(_UNITS, 3))
    wider = morphir.WiderPass(at="0", width=_UNITS * copies, seed=seed)
    result = morphir.transform(net, wider)
    (rows, _) = result.certificate.tensors["0.weight"]
    source = rows.relation.source.tolist()
    x, y = torch.randn(64, 6), torch.randn(64, 3)
    step = _OPTIMIZERS[optimizer](result.module.parameters())
    found = []
    for _ in range(_STEPS):
        step.zero_grad()
        F.mse_loss(result.module(x), y).backward()
        step.step()
        layer = result.module[0]
        incoming = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
        found.append([float((incoming[a] - incoming[b]).abs().max()) for a, b in _pairs(source)])
    return found


def _pairs(source: list[int]) -> Iterator[tuple[int, int]]:
    for unit in range(_UNITS):
        yield from combinations([k for k, of in enumerate(source) if of == unit], 2)


def main() -> None:
    """Measures 2, 3, 4 and 8 copies, and prints a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", type=int, default=10, help="networks per row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for copies in (2, 3, 4, 8):
        for optimizer in _OPTIMIZERS:
            nets = [distances(optimizer, copies, seed) for seed in range(options.nets)]
            steps = [[each for net in nets for each in net[step]] for step in range(_STEPS)]
            rows.append(
                {
                    "copies": copies,
                    "optimizer": optimizer,
                    "pairs": len(steps[0]),
                    "equal_after": {n: steps[n - 1].count(0.0) for n in (1, 2, 5)},
                    "closest_after": {n: min(steps[n - 1]) for n in (1, 2, 30)},
                }
            )
            print(rows[-1])
    print("written to", write_results("copies", rows))


if __name__ == "__main__":
    main()
