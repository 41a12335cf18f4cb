"""How much memory it takes to widen one hidden layer of a large model in place.

    python benchmarks/memory.py --parameters 0.8

The model is an MLP of equal layers, alone and with the moments of Adam, which are twice as much
again. Resident memory is sampled while `morphir.transform` runs. Three ratios are written:

    peak_to_before    peak / the whole process before the change, interpreter and torch included
    peak_to_held      peak / the bytes of parameters and moments
    own_peak_to_held  (peak - the process without a model) / the bytes of parameters and moments

The third one is what the change asks for beside the model. Every row is a process of its own, and
has widened a tiny model before anything is counted, since the first change loads code.
"""

from __future__ import annotations

import argparse
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from results import write_results
from torch import nn

import morphir

_PAGE = 4096
_WIDTH = 8192


def resident() -> int:
    """Bytes of resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Peak:
    """Samples resident memory in a thread while a block runs."""

    def __enter__(self) -> Peak:
        self.bytes, self._stop = resident(), False
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._stop:
            self.bytes = max(self.bytes, resident())
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()


def measure(parameters: float, by: float, *, with_moments: bool) -> dict[str, object]:
    """Widens the middle layer of a new model.

    Args:
        parameters: How many there are, in billions.
        by: How much wider the layer gets.
        with_moments: Whether there is an Adam with its moments.
    """
    _widen(*_made(3, 64, with_moments=with_moments), 64, 1 + by)
    without = resident()
    depth = round(parameters * 1e9 / (_WIDTH * (_WIDTH + 1)))
    model, optimizer = _made(depth, _WIDTH, with_moments=with_moments)
    count = sum(parameter.numel() for parameter in model.parameters())
    held = 4 * count * (3 if with_moments else 1)
    before, start = resident(), time.perf_counter()
    with Peak() as peak:
        result = _widen(model, optimizer, _WIDTH, 1 + by)
    return {
        "parameters": count,
        "optimizer": "Adam" if with_moments else None,
        "depth": depth,
        "width": _WIDTH,
        "new_width": round(_WIDTH * (1 + by)),
        "grade": result.report.grade.name,
        "held_bytes": held,
        "without_model_bytes": without,
        "before_bytes": before,
        "peak_bytes": peak.bytes,
        "peak_to_before": round(peak.bytes / before, 4),
        "peak_to_held": round(peak.bytes / held, 4),
        "own_peak_to_held": round((peak.bytes - without) / held, 4),
        "seconds": round(time.perf_counter() - start, 2),
    }


def _made(
    depth: int, width: int, *, with_moments: bool
) -> tuple[nn.Sequential, torch.optim.Adam | None]:
    layers = ((nn.Linear(width, width), nn.ReLU()) for _ in range(depth))
    model = nn.Sequential(*(layer for pair in layers for layer in pair))
    if not with_moments:
        return model, None
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():  # one after the other: a step would hold all gradients
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        parameter.grad = None
    return model, optimizer


def _widen(
    model: nn.Sequential, optimizer: torch.optim.Adam | None, width: int, factor: float
) -> morphir.TransformResult:
    return morphir.transform(
        model,
        morphir.WiderPass(at=str(len(model) // 4 * 2), width=round(width * factor)),
        optimizer=optimizer,
        example_inputs=(torch.randn(2, width),),
        inplace=True,
    )


def main() -> None:
    """Measures the model alone and with moments, and writes what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=float, default=0.8, help="billions of parameters")
    parser.add_argument("--by", type=float, default=0.05, help="how much wider the layer gets")
    options = parser.parse_args()
    rows = []
    for with_moments in (False, True):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            call = partial(measure, options.parameters, options.by, with_moments=with_moments)
            rows.append(process.submit(call).result())
        for name, value in rows[-1].items():
            print(f"{name:<20}{value}")
    print("written to", write_results("memory", rows))


if __name__ == "__main__":
    main()
